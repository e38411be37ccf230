"""Where charmhelpers' coordinator cannot run, stands still or costs too much, beside ours."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from charmhelpers import coordinator as theirs
from charmhelpers.core import hookenv

from coordinator import juju
from rolling import PEERS, OldSimple
from scenes import (
    LOCK,
    OUR_VERSIONS,
    OnDemand,
    await_work,
    behind,
    charm_of,
    deploy,
    failing_but_for_actions,
    leader_and_others,
    ledger,
    old,
    ours,
)
from simulated_juju import Application, FunctionCharm, Hook, Model

PROJECT = Path(__file__).resolve().parents[2]


def granted_in(hook_names: dict[str, bool], kind: type) -> dict[str, bool]:
    """Whether a handler that wants an option to be set runs in the hook that brings the grant.

    `hook_names` says of each kind of hook whether it sets the flags of the configuration, as a
    hook made from the base layer's template does before anything else.
    """
    used: dict[str, bool] = {}

    def body(hook: Hook, coordinator: Any) -> None:
        if not hookenv.config("revision"):
            return
        flags = hook_names.get(hook.name, True)
        if hook.name == "config-changed":
            coordinator.acquire(LOCK)
        if coordinator.granted(LOCK):
            used[hook.unit] = flags
            if flags:
                hook.work(LOCK, 30)

    model, app = deploy(charm_of(kind, body))
    with model:
        app.configure(revision=1)
        model.settle()
        return used


def test_defect_03_hooks_that_bring_a_grant_and_no_configuration() -> None:
    layer = PROJECT / "layer"
    brought = [path for path in layer.rglob("*") if path.parent.name == "hooks"]
    assert not brought, (
        "charm-build makes hooks from the base layer's template, unless a layer has them"
    )
    # The peer relation is in the metadata, so that the template is used for its hooks.
    assert "coordinator" in yaml.safe_load((layer / "metadata.yaml").read_text())["peers"]
    assert "layer:basic" in yaml.safe_load((layer / "layer.yaml").read_text())["includes"]
    template = (PROJECT / "tests/juju/layers/basic/hooks/hook.template").read_text()
    assert "init_config_states" in template

    # What the older layer brought itself did not set them: such a hook let the grant go unused.
    own_hooks = dict.fromkeys(("leader-elected", "leader-settings-changed"), False)
    own_hooks |= dict.fromkeys(("coordinator-relation-changed",), False)
    assert not all(granted_in(own_hooks, OldSimple).values())
    assert all(granted_in({}, juju.SimpleCoordinator).values())


@pytest.mark.parametrize(
    ("version", "kubernetes", "reason"),
    [("4.0.0", False, "leader-get"), ("3.6.0", True, "IndexError"), ("4.0.0", True, "IndexError")],
)
def test_defect_04_juju_4_and_kubernetes(version: str, kubernetes: bool, reason: str) -> None:
    model, app = deploy(ours(5), version=version, kubernetes=kubernetes)
    with model:
        app.configure(revision=1)
        model.settle()
        assert not behind(app)
        assert model.most_at_once(LOCK) == 1
        assert not [hook for hook in model.hooks_run if hook.outcome != "ok"]
    with Model(seed=2, version=version, kubernetes=kubernetes) as model:
        model.deploy("app", old(5), units=3, peers=PEERS, config={"revision": 0})
        model.run(minutes=10)
        assert {hook.outcome for hook in model.hooks_run} == {"failed"}
        assert all(reason in hook.output for hook in model.hooks_run)


def stuck_holder(kind: type, **options: Any) -> tuple[Model, Application, OnDemand, list[str]]:
    """The holder's agent dies in the middle of its work and never comes back; another waits."""
    roll = OnDemand(kind, 300)
    model, app = deploy(roll.charm, **options)
    _, (holder, waiting) = leader_and_others(model, app)
    roll.ask(model, holder)
    assert await_work(model, holder, 120)
    model.run(10)
    model.unit(holder).kill_agent(restart_after=None)
    roll.ask(model, waiting)
    model.run(hours=6)
    assert waiting in roll.wanted, "nobody but an operator can know that the holder is dead"
    return model, app, roll, [holder, waiting]


@pytest.mark.parametrize("version", OUR_VERSIONS)
@pytest.mark.parametrize("leader_fails", [False, True])
def test_defect_08_a_holder_that_is_stuck_blocks_all(version: str, leader_fails: bool) -> None:
    model, app, roll, units = stuck_holder(juju.SimpleCoordinator, version=version)
    with model:
        holder, waiting = units
        leader = model.leader("app") or ""
        if leader_fails:
            model.unit(leader).agent.charm = failing_but_for_actions(roll.charm)
            assert model.run_until(lambda: model.unit(leader).status[0] == "error", 600)
        action = model.unit(leader).run_action("release-lock", unit=holder)
        model.run(minutes=30)
        assert action.status == "completed", action.message
        assert waiting not in roll.wanted, model.describe()
        (forced,) = ledger(app)["forced"]
        assert (forced["member"], forced["reason"]) == (holder, "its machine is gone")
        assert model.most_at_once(LOCK) == 1


def test_defect_08_charmhelpers_has_no_way_out() -> None:
    model, _, roll, units = stuck_holder(OldSimple)
    with model:
        # Not even its leader's data can be mended: there is nothing that an operator can run.
        model.run(hours=24)
        assert units[1] in roll.wanted


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_defect_08_a_holder_that_is_removed_by_force(version: str) -> None:
    model, app, roll, (holder, waiting) = stuck_holder(juju.SimpleCoordinator, version=version)
    with model:
        app.remove_unit(holder, force=True)
        model.run(minutes=30)
        assert waiting not in roll.wanted, model.describe()
        assert not [grant for grant in ledger(app)["grants"] if grant["member"] == holder]


def leader_breaks(kind: type, **options: Any) -> tuple[Model, set[str]]:
    """The leader's hooks fail from the moment when it has heard of all that the others want."""
    roll = OnDemand(kind, 60)
    model, app = deploy(roll.charm, units=5, **options)
    leader, others = leader_and_others(model, app)
    for unit in others:
        roll.ask(model, unit)
    model.run(30)
    assert len(roll.wanted) == 4
    model.unit(leader).agent.charm = failing_but_for_actions(roll.charm)
    model.run(hours=3)
    assert model.unit(leader).status[0] == "error"
    assert model.leader("app") == leader, "a failing unit keeps its lease"
    assert model.most_at_once(LOCK) == 1
    return model, roll.wanted


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_defect_08_a_leader_in_error_stalls_all(version: str) -> None:
    model, left = leader_breaks(juju.SimpleCoordinator, version=version)
    with model:
        assert not left, model.describe()
    if version < "4":
        model, left = leader_breaks(OldSimple, version=version)
        with model:
            assert len(left) == 3


def test_defect_10_entries_that_belong_to_nobody() -> None:
    seen: dict[str, set[str]] = {}

    def body(hook: Hook, coordinator: Any) -> None:
        if hookenv.config("revision") and hook.name == "config-changed":
            coordinator.acquire(LOCK)
        seen.setdefault(type(coordinator).__name__, set()).update(coordinator.requests)

    left = {}
    for kind in (juju.SimpleCoordinator, OldSimple):
        model, app = deploy(charm_of(kind, body))
        with model:
            gone = app.units[-1].name
            app.configure(revision=1)
            model.settle()
            app.remove_unit(gone)
            model.settle()
            model.run(minutes=30)
            left[kind] = json.loads(app.leader_settings.get("coordinator", "{}"))
            if kind is not OldSimple:
                kept = ledger(app)
                assert not kept["grants"], kept
                assert not kept["queue"]
                assert gone not in json.dumps(kept)
                assert all(len(record) < 250 for record in records(app)), records(app)
                # Of the leader's own latest grant, which its record has ended since.
                assert set(left[kind]) <= {kept["leader"]}
    units = {f"app/{number}" for number in range(3)}
    assert seen["SimpleCoordinator"] == units
    assert seen["OldSimple"] == units | {LOCK}, "a lock among the units"
    assert set(left[OldSimple]) == units, "empty entries, also of the unit that is gone"


def records(app: Application) -> list[str]:
    return [unit.databag("coordinator").get("coordinator-ledger", "") for unit in app.units]


class OurOneLock(juju.BaseCoordinator):
    """Nobody holds two locks at a time."""

    def default_grant(
        self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
    ) -> bool:
        return unit == queue[0] and not any(self.grants.values())


class OldOneLock(theirs.BaseCoordinator):  # type: ignore[misc]
    def default_grant(self, lock: str, unit: str, granted: set[str], queue: list[str]) -> bool:
        return unit == queue[0] and not any(self.grants.values())

    def _save_state(self) -> None:
        self.handle()
        super()._save_state()


def second_lock_of_the_leader(kind: type, **options: Any) -> tuple[str, float]:
    """In which hook, and how long after the first, the leader gets its second lock."""
    done: list[tuple[str, str, float]] = []

    def body(hook: Hook, coordinator: Any) -> None:
        leads = json.loads(hook.tool(["is-leader", "--format=json"]).stdout)
        if not leads or not hookenv.config("revision"):
            return
        for lock in ("first", "second"):
            if lock in {entry[0] for entry in done}:
                continue
            if coordinator.acquire(lock):
                hook.work(lock, 10)
                done.append((lock, hook.name, hook.monotonic()))

    model, app = deploy(charm_of(kind, body), **options)
    with model:
        app.configure(revision=1)
        model.run(minutes=30)
        assert [entry[0] for entry in done] == ["first", "second"], model.describe()
        return done[1][1], done[1][2] - done[0][2]


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_defect_11_a_grant_of_the_leader_to_itself(version: str) -> None:
    hook, seconds = second_lock_of_the_leader(OurOneLock, version=version)
    assert hook == "coordinator-relation-changed"
    assert seconds < 30
    if version < "4":
        hook, seconds = second_lock_of_the_leader(OldOneLock, version=version)
        assert hook == "update-status", "nothing calls it but the timer"
        assert seconds > 30


def most_tool_calls(charm: FunctionCharm, units: int, version: str) -> dict[tuple[str, bool], int]:
    """The largest number of tool calls in a hook of a roll, by its name and who leads."""
    model, app = deploy(charm, units=units, version=version)
    with model:
        began = len(model.hooks_run)
        app.configure(revision=1)
        model.settle()
        model.run(minutes=10)
        leader = model.leader("app")
        most: Counter[tuple[str, bool]] = Counter()
        for hook in model.hooks_run[began:]:
            key = (hook.hook, hook.unit == leader)
            most[key] = max(most[key], hook.tool_calls)
        return dict(most)


@pytest.mark.parametrize("version", ["3.6.0", "4.0.0"])
def test_defect_12_tool_calls_grow_with_the_application(version: str) -> None:
    few, many = (most_tool_calls(ours(20), units, version) for units in (4, 16))
    for key, calls in many.items():
        assert calls <= few.get(key, 0) + 2, (key, few, many)
    assert max(many.values()) < 20
    if version < "4":
        few, many = (most_tool_calls(old(20), units, version) for units in (4, 16))
        grown = {key: many[key] - few.get(key, 0) for key in many}
        assert grown["update-status", False] >= 12
        assert grown["coordinator-relation-changed", True] >= 24


def hooks_per_turn(charm: FunctionCharm, units: int, version: str) -> float:
    """Hooks for each hand-over in the middle of a roll, by the number of other units."""
    model, app = deploy(charm, units=units, version=version)
    with model:
        app.configure(revision=1)
        model.settle()
        starts = [item.start for item in model.work]
        # By then the leader has heard of all requests.
        begin, end = starts[units // 2], starts[units - 2]
        turns = units - 2 - units // 2
        hooks = [hook for hook in model.hooks_run if begin < hook.start <= end]
        counted = sum(hook.hook != "update-status" for hook in hooks)
        return counted / turns / (units - 1)


@pytest.mark.parametrize("version", ["3.6.0", "4.0.0"])
def test_defect_13_hooks_for_each_turn(version: str) -> None:
    assert hooks_per_turn(ours(90), 10, version) < 1.25
    if version < "4":
        assert hooks_per_turn(old(90), 10, version) > 1.6


def mindless(kind: type, version: str) -> tuple[int, int]:
    """Turns and hooks in an hour in which every hook asks for the lock without a need."""
    turns: list[str] = []

    def body(hook: Hook, coordinator: Any) -> None:
        if hookenv.config("revision") and coordinator.acquire(LOCK):
            hook.work(LOCK, 1)
            turns.append(hook.unit)

    model, app = deploy(charm_of(kind, body), version=version)
    with model:
        began = len(model.hooks_run)
        app.configure(revision=1)
        model.run(hours=1)
        assert model.most_at_once(LOCK) == 1
        return len(turns), len(model.hooks_run) - began


@pytest.mark.parametrize("version", ["3.6.0", "4.0.0"])
def test_defect_14_requests_without_a_need_keep_nobody_busy(version: str) -> None:
    # Each release is an event on the other units, in whose hooks they ask again. Ours take such
    # requests up in the next hook of another kind: here in update-status, twelve times an hour.
    turns, hooks = mindless(juju.SimpleCoordinator, version)
    assert 12 < turns < 60
    assert hooks < 600
    if version < "4":
        turns, hooks = mindless(OldSimple, version)
        assert turns > 1000
        assert hooks > 3000


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_defect_14_a_guard_ends_it(version: str) -> None:
    done: set[str] = set()

    def body(hook: Hook, coordinator: Any) -> None:
        def needed() -> bool:
            return bool(hookenv.config("revision")) and hook.unit not in done

        def restart() -> None:
            hook.work(LOCK, 1)
            done.add(hook.unit)

        coordinator.require(LOCK, needed)(restart)()

    model, app = deploy(charm_of(juju.SimpleCoordinator, body), version=version)
    with model:
        app.configure(revision=1)
        model.settle()
        assert len(model.work) == len(app.units)
        model.run(hours=1)
        assert {hook.hook for hook in model.hooks_run if hook.start > model.now - 1800} == {
            "update-status"
        }
        assert len(model.work) == len(app.units)
