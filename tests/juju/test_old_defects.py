"""What charmhelpers' coordinator gets wrong about who holds a lock, each beside what ours does."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from coordinator import juju
from rolling import OldSerial, OldSimple
from scenes import (
    LOCK,
    OUR_VERSIONS,
    OnDemand,
    await_work,
    behind,
    charm_of,
    deploy,
    leader_and_others,
    ledger,
    old,
    ours,
)
from simulated_juju import Application, FunctionCharm, Hook, Model, Scripted


def lead_with_stale_data(charm: FunctionCharm, **options: Any) -> tuple[Model, Application]:
    """A unit that has not heard of the holder's request becomes leader while it works."""
    model, app = deploy(charm, **options)
    _, (holder, stale) = leader_and_others(model, app)
    model.unit(stale).hold_watchers(900)
    app.configure(revision=1)
    assert await_work(model, holder), model.describe()
    model.hand_leadership("app", stale)
    assert model.run_until(lambda: model.leader("app") == stale, 120)
    model.run(minutes=60)
    return model, app


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_defect_01_leader_change_with_stale_peer_data(version: str) -> None:
    model, app = lead_with_stale_data(ours(), version=version)
    with model:
        assert model.most_at_once(LOCK) == 1, model.describe()
        assert not behind(app)
    if version < "4":
        model, app = lead_with_stale_data(old(), version=version)
        with model:
            assert model.most_at_once(LOCK) == 2


def lead_without_having_met(kind: type, **options: Any) -> tuple[Model, set[str]]:
    """A unit becomes leader, and wants to restart, that has not joined the holder yet."""
    roll = OnDemand(kind, 300)
    model, app = deploy(roll.charm, units=2, **options)
    _, (second,) = leader_and_others(model, app)
    model.unit(second).hold_watchers(900)
    holder = app.add_unit().name
    model.run(60)
    roll.ask(model, holder)
    assert await_work(model, holder, 120), model.describe()
    model.hand_leadership("app", second)
    assert model.run_until(lambda: model.leader("app") == second, 120)
    model.run(10)
    roll.ask(model, second)
    model.run(minutes=60)
    return model, roll.wanted


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_defect_02_holder_that_the_new_leader_has_not_joined_yet(version: str) -> None:
    model, waiting = lead_without_having_met(juju.SimpleCoordinator, version=version)
    with model:
        assert model.most_at_once(LOCK) == 1, model.describe()
        assert not waiting
    if version < "4":
        model, _ = lead_without_having_met(OldSimple, version=version)
        with model:
            assert model.most_at_once(LOCK) == 2


def fail_after_the_work(charm: FunctionCharm, **options: Any) -> tuple[Model, str]:
    """The leader restarts, and three times in a row Juju refuses what that hook publishes."""
    model, app = deploy(charm, **options)
    leader, _ = leader_and_others(model, app)
    app.configure(revision=1)
    assert await_work(model, leader), model.describe()
    hook = model.working()[0].context_id
    running = next(record.hook for record in model.hooks_run if record.context_id == hook)
    model.world.agents[leader].operations._plan.commit_fails = True
    for _ in range(2):
        model.inject(Scripted("commit-failure", leader, running))
    model.settle()
    return model, leader


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_defect_05_a_failed_hook_hands_the_lock_on(version: str) -> None:
    for charm, right in ((ours(), True), (old(), False)):
        if not right and version >= "4":
            continue
        model, leader = fail_after_the_work(charm, version=version)
        with model:
            failed = [hook for hook in model.hooks_run if hook.outcome == "commit failed"]
            assert len(failed) == 3
            retried = next(
                hook
                for hook in model.hooks_run
                if hook.unit == leader and hook.start > failed[-1].start and hook.outcome == "ok"
            )
            begun = min(item.start for item in model.work if item.unit == leader)
            others = [item for item in model.work if item.unit != leader and item.start > begun]
            waited = all(item.start >= (retried.end or 0.0) for item in others)
            assert waited is right, model.describe(120)
            assert model.most_at_once(LOCK) == 1
            if right:
                assert Counter(item.unit for item in model.work).most_common(1)[0][1] == 1


def bounce_in_a_long_hook(kind: type, **options: Any) -> tuple[Model, Application]:
    """Leadership goes away and comes back within one hook; meanwhile the other leader granted."""
    wanted: set[str] = set()
    sleeper: list[str] = []

    def body(hook: Hook, coordinator: Any) -> None:
        if hook.name == "config-changed" and hook.unit in sleeper:
            sleeper.clear()
            hook.sleep(400)
        if hook.unit in wanted and coordinator.acquire(LOCK):
            hook.work(LOCK, 600)
            wanted.discard(hook.unit)

    charm = charm_of(kind, body)
    model, app = deploy(charm, units=4, **options)
    # The leader hears of `late` first: hooks come in the order of names.
    leader, (second, late, holder) = leader_and_others(model, app)
    sleeper.append(leader)
    app.configure(revision=1)
    model.run(30)
    assert not sleeper
    model.hand_leadership("app", second, leader)
    assert model.run_until(lambda: model.leader("app") == second, 120)
    wanted.add(holder)
    model.juju_exec(holder, charm.function)
    assert await_work(model, holder, 120), model.describe()
    assert model.run_until(lambda: model.leader("app") == leader, 240)
    wanted.add(late)
    model.juju_exec(late, charm.function)
    model.run(minutes=60)
    assert not wanted, model.describe()
    return model, app


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_defect_06_leadership_bounces_within_a_long_hook(version: str) -> None:
    model, app = bounce_in_a_long_hook(juju.SimpleCoordinator, version=version)
    with model:
        assert model.most_at_once(LOCK) == 1, model.describe()
        assert not ledger(app).get("queue")
    if version < "4":
        model, _ = bounce_in_a_long_hook(OldSimple, version=version)
        with model:
            assert model.most_at_once(LOCK) == 2, model.describe(200)


def work_over_two_hooks(kind: type, **options: Any) -> tuple[Model, Application]:
    """The restart begins in the hook where the grant arrives, and ends in a later action."""
    begun: set[str] = set()
    done: set[str] = set()
    keeps = issubclass(kind, juju.BaseCoordinator)

    def body(hook: Hook, coordinator: Any) -> None:
        if hook.kind == "action":
            hook.end_work(LOCK)
            done.add(hook.unit)
            if keeps:
                coordinator.release(LOCK)
        elif hookenv_revision() and hook.unit not in begun and coordinator.acquire(LOCK):
            begun.add(hook.unit)
            hook.begin_work(LOCK)
            if keeps:
                coordinator.hold(LOCK)

    model, app = deploy(charm_of(kind, body), **options)
    app.configure(revision=1)

    def act(record: Any) -> None:
        def finish() -> None:
            model.unit(record.unit).run_action("finish")

        model.at(model.now + 120, finish)

    model.listen("work-start", act)
    model.run(minutes=60)
    assert len(begun) == len(done) == len(app.units), model.describe()
    return model, app


def hookenv_revision() -> int:
    from charmhelpers.core import hookenv

    return int(hookenv.config("revision") or 0)


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_defect_07_a_lock_that_lasts_for_one_hook(version: str) -> None:
    model, app = work_over_two_hooks(juju.SimpleCoordinator, version=version)
    with model:
        assert model.most_at_once(LOCK) == 1, model.describe()
        model.settle()
        assert not ledger(app)["grants"]
    if version < "4":
        model, _ = work_over_two_hooks(OldSimple, version=version)
        with model:
            assert model.most_at_once(LOCK) > 1


def grant_that_waits_for_a_use(kind: type) -> tuple[Model, set[str]]:
    """The charm can restart in update-status only, and grants arrive in other hooks."""
    done: set[str] = set()

    def body(hook: Hook, coordinator: Any) -> None:
        if not hookenv_revision() or hook.unit in done:
            return
        if hook.name == "config-changed":
            coordinator.acquire(LOCK)
        if coordinator.granted(LOCK):
            if hook.name == "update-status":
                hook.work(LOCK, 30)
                done.add(hook.unit)
                if isinstance(coordinator, juju.BaseCoordinator):
                    coordinator.release(LOCK)
            elif isinstance(coordinator, juju.BaseCoordinator):
                coordinator.hold(LOCK)

    model, app = deploy(charm_of(kind, body))
    app.configure(revision=1)
    model.run(minutes=60)
    return model, {unit.name for unit in app.units} - done


def test_defect_07_a_grant_that_is_not_used_in_its_hook() -> None:
    model, left = grant_that_waits_for_a_use(juju.SimpleCoordinator)
    with model:
        assert not left, model.describe()
        assert model.most_at_once(LOCK) == 1
    model, left = grant_that_waits_for_a_use(OldSimple)
    with model:
        assert len(left) == 3, "charmhelpers drops a grant that its hook does not use"


def skewed_clocks(kind: type) -> list[str]:
    """The order in which two units are served; the clock of the later one is behind."""
    roll = OnDemand(kind, 300)
    model, app = deploy(roll.charm, units=4)
    with model:
        _, (holder, early, late) = leader_and_others(model, app)
        model.unit(early).agent.clock_offset = 3600.0
        model.unit(late).agent.clock_offset = -3600.0
        for unit in (holder, early, late):
            roll.ask(model, unit)
            model.run(60)
        model.run(minutes=30)
        assert not roll.wanted, model.describe()
        order = [item.unit for item in model.work]
        assert order[0] == holder
        return ["early" if unit == early else "late" for unit in order[1:]]


def test_defect_09_a_clock_that_is_wrong_changes_the_order() -> None:
    assert skewed_clocks(juju.SimpleCoordinator) == ["early", "late"]
    assert skewed_clocks(juju.Serial) == ["early", "late"]
    assert skewed_clocks(OldSimple) == ["late", "early"]
    assert skewed_clocks(OldSerial) == ["late", "early"]
