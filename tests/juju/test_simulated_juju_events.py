"""Which hook runs where, in what order, and when a change makes no hook at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from simulated_juju import Application, FunctionCharm, Hook, Model
from simulated_juju.records import HookRecord

PEERS = {"coordinator": "coordinator"}
RELATION = "coordinator:0"
QUIET = FunctionCharm(lambda hook: None)
Body = Callable[[Hook], None]


@pytest.fixture
def model() -> Iterator[Model]:
    with Model(seed=1, update_status_seconds=1e9) as made:
        yield made


def deploy(model: Model, units: int = 2, charm: FunctionCharm = QUIET) -> Application:
    app = model.deploy("app", charm, units=units, peers=PEERS, config={"revision": 1})
    model.settle()
    return app


def hooks(model: Model, unit: str, since: int = 0) -> list[str]:
    """Return the hooks a unit has run, relation hooks with the remote unit's number."""
    return [shown(record) for record in model.hooks_run[since:] if record.unit == unit]


def shown(record: HookRecord) -> str:
    name = record.hook.removeprefix("coordinator-relation-")
    return f"{name} {record.remote_unit.partition('/')[2]}".strip()


def put(*pairs: str, application: bool = False) -> Body:
    """Return a command that sets databag keys."""
    flag = ["--app"] if application else []

    def body(hook: Hook) -> None:
        assert hook.tool(["relation-set", "-r", RELATION, *flag, *pairs]).code == 0

    return body


def in_unit(model: Model, unit: str, body: Body) -> None:
    command = model.juju_exec(unit, body)
    assert model.run_until(lambda: command.code is not None), model.describe()
    assert command.code == 0, command.output


def test_start_of_a_unit_runs_hooks_in_jujus_order(model: Model) -> None:
    deploy(model)
    leader = model.leader("app") or ""
    other = "app/1" if leader == "app/0" else "app/0"
    first, second = leader[-1], other[-1]
    assert hooks(model, leader) == [
        *("install", "created", "leader-elected", "config-changed", "start"),
        *(f"joined {second}", f"changed {second}"),
    ]
    assert hooks(model, other) == [
        *("install", "created", "leader-settings-changed", "config-changed", "start"),
        *(f"joined {first}", f"changed {first}"),
    ]


def test_joined_and_changed_come_in_pairs_before_other_changes(model: Model) -> None:
    app = deploy(model)
    agent = model.unit("app/0").agent
    agent.partitioned = True
    in_unit(model, "app/1", put("a=1"))
    app.add_unit()
    app.add_unit()
    model.run(seconds=30)
    agent.partitioned = False
    since = len(model.hooks_run)
    agent.notify("relation 0")
    model.settle()
    assert hooks(model, "app/0", since) == [
        *("joined 2", "changed 2", "joined 3", "changed 3", "changed 1")
    ]


def test_units_are_sorted_as_strings(model: Model) -> None:
    app = deploy(model, units=1)
    model.unit("app/0").agent.partitioned = True
    for _ in range(10):
        app.add_unit()
    model.run(seconds=60)
    model.unit("app/0").agent.partitioned = False
    since = len(model.hooks_run)
    model.unit("app/0").agent.notify("relation 0")
    model.settle()
    joined = [hook for hook in hooks(model, "app/0", since) if hook.startswith("joined")]
    assert joined == [f"joined {number}" for number in (1, 10, 2, 3, 4, 5, 6, 7, 8, 9)]


def test_departed_comes_before_application_change_before_joined(model: Model) -> None:
    app = deploy(model, units=3)
    leader = model.leader("app") or ""
    waiting, leaving = (unit.name for unit in app.units if unit.name != leader)
    agent = model.unit(waiting).agent
    agent.partitioned = True
    app.remove_unit(leaving)
    app.add_unit()
    in_unit(model, leader, put("a=1", application=True))
    model.run(seconds=25)
    agent.partitioned = False
    since = len(model.hooks_run)
    agent.notify("relation 0")
    model.settle()
    assert hooks(model, waiting, since)[:4] == [
        f"departed {leaving[-1]}",
        "changed",
        "joined 3",
        "changed 3",
    ]


def test_a_write_fires_one_changed_on_every_other_unit_and_none_on_the_writer(
    model: Model,
) -> None:
    deploy(model, units=3)
    since = len(model.hooks_run)
    in_unit(model, "app/0", put("a=1"))
    model.settle()
    assert hooks(model, "app/0", since) == ["run-commands"]
    assert hooks(model, "app/1", since) == hooks(model, "app/2", since) == ["changed 0"]


def test_an_equal_value_makes_no_event(model: Model) -> None:
    deploy(model)
    in_unit(model, "app/0", put("a=1"))
    model.settle()
    since = len(model.hooks_run)
    in_unit(model, "app/0", put("a=1"))
    model.settle()
    assert hooks(model, "app/1", since) == []


def test_many_writes_before_the_hook_runs_make_one_hook(model: Model) -> None:
    deploy(model, units=3)
    model.unit("app/1").agent.partitioned = True
    for number in range(4):
        in_unit(model, "app/0", put(f"a={number}"))
    in_unit(model, "app/2", put("a=1"))
    model.unit("app/1").agent.partitioned = False
    since = len(model.hooks_run)
    model.unit("app/1").agent.notify("relation 0")
    model.settle()
    assert hooks(model, "app/1", since) == ["changed 0", "changed 2"]


def test_leader_elected_runs_before_queued_relation_hooks(model: Model) -> None:
    deploy(model)
    leader = model.leader("app") or ""
    other = "app/1" if leader == "app/0" else "app/0"
    busy = model.juju_exec(other, lambda hook: hook.sleep(200))
    model.run(seconds=2)
    in_unit(model, leader, put("a=1"))
    model.hand_leadership("app", other)
    since = len(model.hooks_run)
    model.run_until(lambda: busy.code is not None)
    model.settle()
    assert hooks(model, other, since) == ["leader-elected", f"changed {leader[-1]}"]


def test_leader_elected_is_skipped_when_leadership_is_gone(model: Model) -> None:
    deploy(model)
    leader = model.leader("app") or ""
    other = "app/1" if leader == "app/0" else "app/0"
    # The machine is busy while the hook waits for its lock, and leadership goes on meanwhile.
    lock = model.world.machine(model.unit(other).agent.machine)
    holder = object()
    lock.acquire(holder, lambda: None)
    since = len(model.hooks_run)
    model.hand_leadership("app", other, leader)
    assert model.run_until(lambda: model.leader("app") == other)
    assert model.run_until(lambda: model.leader("app") == leader)
    lock.release(holder)
    model.settle()
    assert "leader-elected" not in hooks(model, other, since)
    assert any("skips leader-elected" in line for line in model.history())


def test_leader_settings_changed_runs_on_units_that_do_not_lead(model: Model) -> None:
    app = deploy(model, units=3)
    leader = model.leader("app") or ""
    since = len(model.hooks_run)

    def body(hook: Hook) -> None:
        assert hook.tool(["leader-set", "a=1"]).code == 0

    in_unit(model, leader, body)
    model.settle()
    for unit in app.units:
        expected = ["run-commands"] if unit.name == leader else ["leader-settings-changed"]
        assert hooks(model, unit.name, since) == expected


@pytest.mark.parametrize("own_event", [False, True])
def test_whether_a_leader_gets_an_event_for_its_own_application_write_is_a_switch(
    own_event: bool,
) -> None:
    with Model(seed=2, self_app_bag_event=own_event, update_status_seconds=1e9) as model:
        deploy(model)
        leader = model.leader("app") or ""
        other = "app/1" if leader == "app/0" else "app/0"
        since = len(model.hooks_run)
        in_unit(model, leader, put("a=1", application=True))
        model.settle()
        assert hooks(model, other, since) == ["changed"]
        assert hooks(model, leader, since) == ["run-commands", *(["changed"] if own_event else [])]


def test_update_status_comes_every_5_minutes_give_or_take_20_percent() -> None:
    with Model(seed=4) as model:
        deploy(model, units=1)
        model.run(hours=5)
        times = [record.start for record in model.hooks_run if record.hook == "update-status"]
        gaps = [second - first for first, second in pairwise(times)]
        assert all(235 < gap < 365 for gap in gaps)
        assert max(gaps) - min(gaps) > 20


def test_watcher_delays_differ_between_units(model: Model) -> None:
    deploy(model, units=4)
    in_unit(model, "app/0", put("a=1"))
    written = model.now
    model.settle()
    starts = [r.start - written for r in model.hooks_run[-3:]]
    assert len(set(starts)) == 3


def test_a_departing_unit_sees_itself_depart(model: Model) -> None:
    app = deploy(model, units=3)
    since = len(model.hooks_run)
    app.remove_unit("app/2")
    model.settle()
    assert hooks(model, "app/2", since) == ["departed 0", "departed 1", "stop", "remove"]
    departing = {r.departing_unit for r in model.hooks_run[since:] if "departed" in r.hook}
    assert departing == {"app/2"}
    assert hooks(model, "app/0", since)[-1] == "departed 2"
    assert [unit.name for unit in app.units] == ["app/0", "app/1"]


def test_peer_broken_is_a_switch() -> None:
    with Model(seed=1, peer_broken=True) as model:
        app = deploy(model)
        app.remove_unit("app/1")
        model.settle()
        assert "broken" in hooks(model, "app/1")


def test_force_removal_makes_the_unit_depart_without_running_its_hooks(model: Model) -> None:
    app = deploy(model, units=3)
    since = len(model.hooks_run)
    app.remove_unit("app/2", force=True)
    model.settle()
    assert hooks(model, "app/2", since) == []
    assert hooks(model, "app/0", since)[-1] == "departed 2"


def test_removing_the_leader_elects_another(model: Model) -> None:
    for force in (False, True):
        app = model.deploy(f"app-{force}".lower(), QUIET, units=3, peers=PEERS)
        model.settle()
        leader = model.leader(app.name) or ""
        app.remove_unit(leader, force=force)
        model.settle()
        assert model.leader(app.name) not in (None, leader)


def test_settings_of_a_departed_unit_stay_readable(model: Model) -> None:
    app = deploy(model)
    in_unit(model, "app/1", put("a=1"))
    app.remove_unit("app/1")
    model.settle()

    def body(hook: Hook) -> None:
        result = hook.tool(["relation-get", "-r", RELATION, "a", "app/1"])
        assert result.stdout == b"1\n"

    in_unit(model, "app/0", body)


def test_upgrade_runs_upgrade_charm_then_config_changed(model: Model) -> None:
    app = deploy(model)
    seen: list[str] = []
    since = len(model.hooks_run)
    app.upgrade_unit("app/0", FunctionCharm(lambda hook: seen.append(hook.name)))
    model.settle()
    assert hooks(model, "app/0", since) == seen == ["upgrade-charm", "config-changed"]
    assert hooks(model, "app/1", since) == []


def test_which_relation_comes_first_is_chance() -> None:
    first: set[str] = set()
    for seed in range(12):
        with Model(seed=seed) as model:
            model.deploy("app", QUIET, units=2, peers={"one": "peer", "two": "peer"})
            model.settle()
            joined = [r.hook for r in model.hooks_run if r.hook.endswith("joined")]
            first.add(joined[0])
    assert first == {"one-relation-joined", "two-relation-joined"}


def test_units_of_another_application_are_met_over_a_relation(model: Model) -> None:
    deploy(model)
    model.deploy("web", QUIET, units=1)
    model.relate(("app", "client"), ("web", "server"))
    model.settle()
    assert "server-relation-joined 0" in hooks(model, "web/0")
    assert "client-relation-joined 0" in hooks(model, "app/1")
