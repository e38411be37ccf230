"""Hooks that take long, fail in the middle or lose their leadership: who holds afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from charmhelpers.core import hookenv

from coordinator import juju
from coordinator.exceptions import Invalid
from scenes import (
    LOCK,
    OUR_VERSIONS,
    OnDemand,
    await_work,
    charm_of,
    deploy,
    leader_and_others,
    ours,
)
from simulated_juju import FunctionCharm, Hook, Model, Scripted, WorkInterval

each_version = pytest.mark.parametrize("version", OUR_VERSIONS)


def watch(model: Model) -> None:
    """Let the run end as soon as two units work at once."""

    def alone(_work: WorkInterval) -> None:
        units = {work.unit for work in model.working()}
        assert len(units) == 1, f"{units} at once\n{model.describe()}"

    model.listen("work-start", alone)


@pytest.mark.parametrize("asks_again", ["leader", "other"])
@each_version
def test_leadership_that_came_back_in_a_long_hook(version: str, asks_again: str) -> None:
    # The other leader has granted itself and works; nothing of that is in the ledger yet, and no
    # leader-elected hook tells the first one that anybody led in between.
    state: dict[str, Any] = {"wants": set()}

    def body(hook: Hook, coordinator: Any) -> None:
        if hook.unit == leader and state.pop("long", False):
            hook.sleep(150)
        elif hook.name == "leader-elected" and hook.unit == other and state.get("elected"):
            if coordinator.acquire(LOCK):
                hook.work(LOCK, 400)
        elif hook.unit in state["wants"] and coordinator.acquire(LOCK):
            hook.work(LOCK, 20)
            state["wants"].discard(hook.unit)

    leader = other = ""
    charm = charm_of(juju.SimpleCoordinator, body)
    model, app = deploy(charm, units=3, version=version)
    with model:
        leader, (other, third) = leader_and_others(model, app)
        for unit in (leader, third):
            state["wants"].add(unit)
            model.juju_exec(unit, charm.function)
            model.run(minutes=2)
        watch(model)
        state["long"] = state["elected"] = True
        model.juju_exec(leader, charm.function)
        model.run(seconds=5)
        model.hand_leadership("app", other, leader)
        model.run(seconds=200)
        asking = leader if asks_again == "leader" else third
        state["wants"].add(asking)
        model.juju_exec(asking, charm.function)
        model.run(minutes=30)
        assert not state["wants"]


@each_version
def test_a_leader_whose_restart_fails_keeps_its_turn_when_it_is_replaced(version: str) -> None:
    wants: set[str] = set()

    def body(hook: Hook, coordinator: Any) -> None:
        if hook.unit in wants and coordinator.acquire(LOCK):
            hook.begin_work(LOCK)
            hook.sleep(3)
            if hook.unit == leader and failing:
                message = "the database does not start"
                raise RuntimeError(message)
            hook.end_work(LOCK)
            wants.discard(hook.unit)

    leader, failing = "", True
    charm = charm_of(juju.SimpleCoordinator, body)
    model, app = deploy(charm, units=3, version=version)
    with model:
        leader, (successor, third) = leader_and_others(model, app)
        wants.add(third)
        model.juju_exec(third, charm.function)
        model.run(minutes=6)
        wants.add(leader)
        app.configure(revision=1)
        assert await_work(model, leader)
        model.run(seconds=5)
        model.hand_leadership("app", successor)
        model.run(minutes=3)
        wants.add(third)
        model.juju_exec(third, charm.function)
        model.run(minutes=30)
        assert wants == {leader, third}
        failing = False
        model.run(minutes=30)
        assert not wants


@each_version
def test_a_lock_kept_beyond_the_turn_that_lent_it(version: str) -> None:
    def body(hook: Hook, coordinator: Any) -> None:
        if not hookenv.config("revision"):
            return
        if hook.unit != keeper:
            if hook.unit not in done and coordinator.acquire(LOCK):
                hook.work(LOCK, 30)
                done.append(hook.unit)
        elif keeper not in done and coordinator.acquire(LOCK):
            assert coordinator.acquire("reload")
            coordinator.hold("reload")
            coordinator.release(LOCK)
            hook.begin_work("reload")
            done.append(keeper)
        elif coordinator.granted("reload") and hook.name == "update-status":
            hook.end_work("reload")
            coordinator.release("reload")

    done: list[str] = []
    keeper = ""
    model, app = deploy(charm_of(juju.SimpleCoordinator, body), units=3, version=version)
    with model:
        keeper = leader_and_others(model, app)[1][0]
        watch(model)
        app.configure(revision=1)
        model.run(hours=1)
        assert sorted(done) == sorted(unit.name for unit in app.units)


@each_version
def test_a_leader_elected_hook_that_was_skipped(version: str) -> None:
    on_demand = OnDemand(juju.SimpleCoordinator, 5)
    model, app = deploy(on_demand.charm, units=3, version=version)
    with model:
        _, (successor, third) = leader_and_others(model, app)
        on_demand.ask(model, third)
        model.run(minutes=5)
        model.inject(Scripted("hook-failure", successor, "leader-elected"))
        model.hand_leadership("app", successor)
        model.run_until(lambda: model.unit(successor).status[0] == "error", 600)
        model.unit(successor).resolved(retry=False)
        model.run(minutes=3)
        on_demand.ask(model, third)
        model.run(hours=1)
        assert not on_demand.wanted
        assert json.loads(app.databag("coordinator")["coordinator-ledger"])["leader"] == successor


@pytest.mark.parametrize("kind", [juju.SimpleCoordinator, juju.Serial])
@each_version
def test_charms_whose_every_hook_takes_a_minute(version: str, kind: type) -> None:
    # A real hook asks on in a thread of its own; here the charm does it.
    def body(hook: Hook, coordinator: Any) -> None:
        for _ in range(6):
            hook.sleep(10)
            if coordinator._opened().may_decide():
                coordinator._opened().confirm()
        if hookenv.config("revision") and hook.unit not in done and coordinator.acquire(LOCK):
            hook.work(LOCK, 5)
            done.add(hook.unit)

    done: set[str] = set()
    model, app = deploy(charm_of(kind, body), units=3, version=version)
    with model:
        watch(model)
        app.configure(revision=1)
        model.run(hours=2)
        assert done == {unit.name for unit in app.units}


@each_version
def test_a_time_of_no_day_in_a_record(version: str) -> None:
    def bad(hook: Hook) -> None:
        relations = json.loads(hook.tool(["relation-ids", "--format=json", "coordinator"]).stdout)
        for relation in relations:
            at = "2026-02-30 00:00:00.000000Z"
            requests = {"restart": {"request": 1, "at": at}}
            record = json.dumps({"version": 1, "sequence": 1, "clock": at, "requests": requests})
            hook.tool(["relation-set", "-r", relation, f"coordinator-ledger={record}"])

    model, app = deploy(ours(5), units=3, version=version)
    with model:
        app.add_unit(FunctionCharm(bad))
        model.settle()
        app.configure(revision=1)
        model.run(minutes=30)
        assert len({work.unit for work in model.work}) == 3
        assert not [hook for hook in model.hooks_run if hook.outcome == "failed"]


@each_version
def test_a_command_that_fails_between_two_writings(version: str) -> None:
    # juju-exec publishes what a command has set even if the command fails.
    on_demand = OnDemand(juju.SimpleCoordinator, 5)
    model, app = deploy(on_demand.charm, units=3, version=version)
    with model:
        leader, (_, third) = leader_and_others(model, app)

        def cut(hook: Hook) -> None:
            real, settings = hook.tool, 0

            def tool(argv: list[str], stdin: bytes | None = None) -> Any:
                nonlocal settings
                settings += argv[0] == "relation-set"
                if settings > 1:
                    raise FileNotFoundError(2, "the tool is lost")
                return real(argv, stdin)

            hook.tool = tool  # type: ignore[method-assign]
            on_demand.charm.function(hook)

        on_demand.wanted.add(leader)
        model.juju_exec(leader, cut)
        model.run(seconds=30)
        on_demand.wanted.discard(leader)
        on_demand.ask(model, third)
        model.run(hours=1)
        assert not on_demand.wanted


@each_version
def test_a_lock_kept_in_a_hook_too_long_to_write_the_ledger(version: str) -> None:
    # The peer's clock is behind: by times alone its later request would come first.
    def body(hook: Hook, coordinator: Any) -> None:
        if hook.unit == keeper and state == "asking" and hook.name == "config-changed":
            if coordinator.acquire(LOCK):
                hook.begin_work(LOCK)
                hook.sleep(30)
                coordinator.hold(LOCK)
        elif hook.unit == other and state == "asking" and coordinator.acquire(LOCK):
            hook.work(LOCK, 20)

    keeper, other, state = "", "", "idle"
    charm = charm_of(juju.SimpleCoordinator, body)
    model, app = deploy(charm, units=3, version=version)
    with model:
        keeper, (other, _) = leader_and_others(model, app)
        app.configure(revision=1)
        model.run(minutes=7)
        watch(model)
        model.unit(other).agent.clock_offset = -100.0
        state = "asking"
        app.configure(revision=2)
        model.run(seconds=10)
        model.juju_exec(other, charm.function)
        model.run(minutes=10)
        assert model.work


def test_more_locks_than_a_record_holds_are_refused() -> None:
    refused: list[str] = []

    def body(hook: Hook, coordinator: Any) -> None:
        try:
            for number in range(300):
                coordinator.acquire(f"lock-{number}")
        except Invalid as error:
            refused.append(str(error))

    model, _ = deploy(charm_of(juju.Serial, body), units=2, version="3.6.0")
    with model:
        assert refused
        assert "256 locks" in refused[0]
        assert not [hook for hook in model.hooks_run if hook.outcome == "failed"]
