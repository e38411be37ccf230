"""Hooks and their context: what a hook sees, what it changes, and when that is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from simulated_juju import Application, FunctionCharm, Hook, Model, Scripted, ToolResult

PEERS = {"coordinator": "coordinator"}
RELATION = "coordinator:0"
Body = Callable[[Hook], None]


def nothing(hook: Hook) -> None:
    """Do nothing, as a hook does that was given no behaviour."""


class Bodies:
    """A charm whose behaviour a test changes while it runs: a function by unit and hook."""

    def __init__(self) -> None:
        self.charm = FunctionCharm(self.run)
        self._bodies: dict[tuple[str, str], Body] = {}

    def on(self, unit: str, hook: str, body: Body) -> None:
        """Let `unit` do this in `hook`."""
        self._bodies[unit, hook] = body

    def run(self, hook: Hook) -> None:
        """Run what a test has set for this hook."""
        self._bodies.get((hook.unit, hook.name), nothing)(hook)


@pytest.fixture
def bodies() -> Bodies:
    return Bodies()


@pytest.fixture
def model() -> Iterator[Model]:
    with Model(seed=1) as made:
        yield made


def deploy(model: Model, bodies: Bodies, units: int = 2) -> Application:
    app = model.deploy("app", bodies.charm, units=units, peers=PEERS, config={"revision": 1})
    model.settle()
    return app


def in_unit(model: Model, unit: str, body: Body) -> None:
    """Do something in a unit's context."""
    command = model.juju_exec(unit, body)
    assert model.run_until(lambda: command.code is not None), model.describe()
    assert command.code == 0, model.describe() + command.output


def output(result: ToolResult) -> Any:
    assert result.code == 0, result
    return json.loads(result.stdout)


def test_environment_is_built_from_nothing(model: Model, bodies: Bodies) -> None:
    seen: dict[str, dict[str, str]] = {}
    bodies.on("app/0", "config-changed", lambda hook: seen.update(config=hook.environment))
    bodies.on("app/0", "coordinator-relation-changed", lambda h: seen.update(peer=h.environment))
    deploy(model, bodies)
    config, peer = seen["config"], seen["peer"]
    assert not {"HOME", "USER"} & config.keys()
    assert config["JUJU_HOOK_NAME"] == "config-changed"
    assert config["JUJU_DISPATCH_PATH"] == "hooks/config-changed"
    assert config["JUJU_VERSION"] == "3.6.0"
    assert config["JUJU_MACHINE_ID"] == "0"
    assert "JUJU_RELATION" not in config
    assert peer["JUJU_RELATION_ID"] == RELATION
    assert (peer["JUJU_REMOTE_UNIT"], peer["JUJU_REMOTE_APP"]) == ("app/1", "app")


def test_kubernetes_has_no_machine(bodies: Bodies) -> None:
    with Model(kubernetes=True) as model:
        seen: list[dict[str, str]] = []
        bodies.on("app/0", "start", lambda hook: seen.append(hook.environment))
        deploy(model, bodies)
        assert "JUJU_MACHINE_ID" not in seen[0]


def test_context_ids_are_unique_and_tools_are_refused_after_the_hook(
    model: Model, bodies: Bodies
) -> None:
    kept: list[Hook] = []
    bodies.on("app/0", "start", kept.append)
    deploy(model, bodies)
    identifiers = [record.context_id for record in model.hooks_run]
    assert len(set(identifiers)) == len(identifiers)
    assert kept[0].tool(["config-get"]).code == 1


def test_one_operation_at_a_time_per_unit(model: Model, bodies: Bodies) -> None:
    deploy(model, bodies, units=3)
    for unit in ("app/0", "app/1", "app/2"):
        spans = sorted((r.start, r.end or 0.0) for r in model.hooks_run if r.unit == unit)
        assert all(first[1] <= second[0] for first, second in pairwise(spans))


def test_units_on_one_machine_share_its_lock(model: Model, bodies: Bodies) -> None:
    app = deploy(model, bodies, units=1)
    app.add_unit(machine="0")
    app.configure(revision=2)
    model.settle()
    spans = sorted((r.start, r.end or 0.0) for r in model.hooks_run)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["relation-set", "a=b"], 2),
        (["relation-set", "-r", RELATION, "a=b", "a=c"], 2),
        (["relation-set", "-r", RELATION, "nonsense"], 2),
        (["relation-get", "--nonsense"], 2),
        (["relation-get", "-r", "coordinator:7", "-", "app/0"], 2),
        (["relation-ids"], 2),
        (["config-get", "--all", "revision"], 2),
        (["config-get", "--format=xml"], 2),
        (["relation-get", "-r", RELATION, "-", "app/9"], 1),
        (["relation-set", "-r", RELATION, "--file", "missing"], 1),
        (["action-get"], 1),
        (["relation-set", "--help"], 0),
        (["relation-ids", "coordinator"], 0),
    ],
)
def test_exit_codes_tell_usage_from_refusal(
    model: Model, bodies: Bodies, argv: list[str], code: int
) -> None:
    deploy(model, bodies, units=1)

    def body(hook: Hook) -> None:
        result = hook.tool(argv)
        assert result.code == code, result
        assert result.stderr.startswith(b"ERROR ") == (code != 0)

    in_unit(model, "app/0", body)


def test_output_formats(model: Model, bodies: Bodies) -> None:
    deploy(model, bodies)

    def body(hook: Hook) -> None:
        assert hook.tool(["is-leader"]).stdout in (b"True\n", b"False\n")
        assert hook.tool(["relation-ids", "coordinator", "--format=json"]).stdout == (
            b'["coordinator:0"]\n'
        )
        assert hook.tool(["relation-list", "-r", RELATION]).stdout == b"app/1\n"
        assert hook.tool(["config-get", "missing", "--format=json"]).stdout == b"null\n"
        assert hook.tool(["config-get", "missing"]).stdout == b""
        hook.tool(["relation-set", "-r", RELATION, "b=<1>", "a=2"])
        own = hook.tool(["relation-get", "-r", RELATION, "--format=json", "-", "app/0"]).stdout
        assert own.startswith(b'{"a":"2","b":"\\u003c1\\u003e","egress-subnets":"10.0.0.1/32"')
        assert hook.tool(["config-get", "--format=yaml"]).stdout == b"revision: 1\n"
        assert b"--file" in hook.tool(["relation-set", "--help"]).stdout

    in_unit(model, "app/0", body)


def test_relation_set_reads_a_file_and_standard_input(model: Model, bodies: Bodies) -> None:
    deploy(model, bodies, units=1)

    def body(hook: Hook) -> None:
        (hook.charm_dir / "settings").write_text("a: from file\nb: from file\n")
        argv = ["relation-set", "-r", RELATION, "--file"]
        assert hook.tool([*argv, "settings", "a=from words"]).code == 0
        assert hook.tool([*argv, "-"], stdin=b"c: from input").code == 0

    in_unit(model, "app/0", body)
    bag = model.unit("app/0").databag("coordinator")
    assert (bag["a"], bag["b"], bag["c"]) == ("from words", "from file", "from input")


def test_databag_writes_are_pending_in_the_hook_and_stored_at_its_end(
    model: Model, bodies: Bodies
) -> None:
    deploy(model, bodies)

    def body(hook: Hook) -> None:
        hook.tool(["relation-set", "-r", RELATION, "a=1", "b=2"])
        hook.tool(["relation-set", "-r", RELATION, "b="])
        own = output(hook.tool(["relation-get", "-r", RELATION, "--format=json", "-", "app/0"]))
        assert own["a"] == "1"
        assert "b" not in own
        assert "a" not in model.unit("app/0").databag("coordinator")

    in_unit(model, "app/0", body)
    assert model.unit("app/0").databag("coordinator")["a"] == "1"


def test_a_commit_is_all_or_nothing(model: Model, bodies: Bodies) -> None:
    app = deploy(model, bodies, units=1)

    def body(hook: Hook) -> None:
        hook.tool(["relation-set", "-r", RELATION, "unit=1"])
        hook.tool(["relation-set", "-r", RELATION, "--app", "application=1"])
        hook.tool(["state-set", "stored=1"])
        hook.tool(["status-set", "active", "immediate"])
        hook.tool(["leader-set", "setting=immediate"])

    bodies.on("app/0", "config-changed", body)
    model.inject(Scripted("commit-failure", "app/0", "config-changed"))
    app.configure(revision=2)
    assert model.run_until(lambda: model.hooks_run[-1].outcome == "commit failed")
    unit = model.unit("app/0")
    assert "unit" not in unit.databag("coordinator")
    assert app.databag("coordinator") == {}
    assert unit.state == {}
    assert app.leader_settings == {"setting": "immediate"}
    assert unit.record.message == "immediate"
    assert unit.status[0] == "error"
    model.settle()
    assert unit.databag("coordinator")["unit"] == "1"
    assert app.databag("coordinator") == {"application": "1"}
    assert unit.state == {"stored": "1"}


def test_only_the_leader_writes_the_application_databag_and_leader_settings(
    model: Model, bodies: Bodies
) -> None:
    deploy(model, bodies)
    other = "app/1" if model.leader("app") == "app/0" else "app/0"

    def body(hook: Hook) -> None:
        refused = hook.tool(["relation-set", "-r", RELATION, "--app", "a=1"])
        assert (refused.code, refused.stderr) == (1, b"ERROR cannot write relation settings\n")
        assert hook.tool(["leader-set", "a=1"]).code == 1
        assert hook.tool(["relation-get", "-r", RELATION, "--app", "-", "app"]).code == 0

    in_unit(model, other, body)


def test_leader_settings_are_read_once_per_hook_and_again_after_an_own_write(
    model: Model, bodies: Bodies
) -> None:
    deploy(model, bodies)
    leader = model.leader("app") or ""
    other = "app/1" if leader == "app/0" else "app/0"
    seen: list[bytes] = []

    def reader(hook: Hook) -> None:
        seen.append(hook.tool(["leader-get", "a"]).stdout)
        hook.sleep(20)
        seen.append(hook.tool(["leader-get", "a"]).stdout)

    def writer(hook: Hook) -> None:
        assert hook.tool(["leader-get", "a"]).stdout == b""
        assert hook.tool(["leader-set", "a=1"]).code == 0
        assert hook.tool(["leader-get", "a"]).stdout == b"1\n"

    reading = model.juju_exec(other, reader)
    model.run_until(lambda: bool(seen))
    in_unit(model, leader, writer)
    model.run_until(lambda: reading.code is not None)
    assert seen == [b"", b""]


def test_juju_4_has_no_leader_settings(bodies: Bodies) -> None:
    with Model(version="4.0.1") as model:
        app = deploy(model, bodies, units=3)

        def body(hook: Hook) -> None:
            for tool in ("leader-get", "leader-set"):
                with pytest.raises(FileNotFoundError):
                    hook.tool([tool])
            assert "JUJU_METER_STATUS" not in hook.environment

        in_unit(model, "app/0", body)
        assert app.leader_settings == {}
        assert "leader-settings-changed" not in {record.hook for record in model.hooks_run}


def test_is_leader_stays_false_for_the_rest_of_the_hook(model: Model, bodies: Bodies) -> None:
    deploy(model, bodies)
    leader = model.leader("app") or ""
    other = "app/1" if leader == "app/0" else "app/0"
    seen: list[bool] = []

    def body(hook: Hook) -> None:
        for _ in range(40):
            seen.append(output(hook.tool(["is-leader", "--format=json"])))
            hook.sleep(10)

    command = model.juju_exec(leader, body)
    model.hand_leadership("app", other, leader)
    assert model.run_until(lambda: command.code is not None)
    assert model.leader("app") == leader
    assert seen[0]
    assert not seen[-1]
    assert seen == sorted(seen, reverse=True)


def test_a_true_is_leader_is_good_for_30_seconds(bodies: Bodies) -> None:
    for seed in range(5):
        with Model(seed=seed) as model:

            def checked(call: Any, model: Model = model) -> None:
                if call.argv[0] == "is-leader" and call.stdout == b"true\n":
                    lease = model.world.controller.applications["app"].lease
                    assert lease.holder == call.unit
                    assert lease.expires - call.time >= 30

            def body(hook: Hook) -> None:
                for _ in range(60):
                    hook.tool(["is-leader", "--format=json"])
                    hook.sleep(7)

            model.listen("tool", checked)
            app = deploy(model, bodies, units=3)
            commands = [model.juju_exec(unit.name, body) for unit in app.units]
            model.hand_leadership("app", "app/0", "app/1", "app/2")
            model.run(minutes=15)
            assert all(command.code == 0 for command in commands)


def test_peer_settings_are_remembered_until_a_hook_for_that_member(
    model: Model, bodies: Bodies
) -> None:
    deploy(model, bodies, units=3)
    seen: dict[str, Any] = {}
    get = ["relation-get", "-r", RELATION, "--format=json", "a", "app/1"]

    def read(key: str) -> Body:
        return lambda hook: seen.update({key: output(hook.tool(get))})

    in_unit(model, "app/0", read("before"))
    model.unit("app/0").agent.partitioned = True  # Holds the notification back.
    in_unit(model, "app/1", lambda hook: check(hook.tool(["relation-set", "-r", RELATION, "a=1"])))
    model.run(seconds=10)
    model.unit("app/0").agent.partitioned = False
    in_unit(model, "app/0", read("stale"))
    model.unit("app/0").agent.notify("relation 0")
    model.settle()
    in_unit(model, "app/0", read("after the hook"))
    assert seen == {"before": None, "stale": None, "after the hook": "1"}


def check(result: ToolResult) -> None:
    assert result.code == 0, result


def test_an_agent_restart_forgets_remembered_settings(model: Model, bodies: Bodies) -> None:
    deploy(model, bodies)
    agent = model.unit("app/0").agent
    in_unit(model, "app/0", lambda h: check(h.tool(["relation-get", "-r", RELATION, "-", "app/1"])))
    assert agent.caches[0].members["app/1"]
    model.unit("app/0").kill_agent(restart_after=5)
    assert not agent.up
    assert model.run_until(lambda: agent.up)
    assert agent.caches == {}


def test_application_databag_is_read_anew_in_each_hook(model: Model, bodies: Bodies) -> None:
    app = deploy(model, bodies)
    leader = model.leader("app") or ""
    other = "app/1" if leader == "app/0" else "app/0"
    get = ["relation-get", "-r", RELATION, "--app", "--format=json", "a", "app"]
    seen: list[Any] = []
    in_unit(model, other, lambda hook: seen.append(output(hook.tool(get))))
    model.unit(other).agent.partitioned = True
    put = ["relation-set", "-r", RELATION, "--app", "a=1"]
    in_unit(model, leader, lambda hook: check(hook.tool(put)))
    model.unit(other).agent.partitioned = False
    in_unit(model, other, lambda hook: seen.append(output(hook.tool(get))))
    assert seen == [None, "1"]
    assert app.databag("coordinator") == {"a": "1"}


def test_relation_list_has_the_units_met_so_far(bodies: Bodies) -> None:
    with Model(seed=3) as model:
        seen: list[Any] = []
        listing = ["relation-list", "-r", RELATION, "--format=json"]
        for hook in ("config-changed", "coordinator-relation-joined"):
            bodies.on("app/0", hook, lambda h: seen.append(output(h.tool(listing))))
        deploy(model, bodies, units=3)
        assert seen[0] == []
        assert seen[1] in (["app/1"], ["app/2"])
        assert seen[2] == ["app/1", "app/2"]


def test_config_is_frozen_for_the_hook(model: Model, bodies: Bodies) -> None:
    app = deploy(model, bodies, units=1)

    def body(hook: Hook) -> None:
        first = hook.tool(["config-get", "revision"]).stdout
        app.configure(revision=5)
        assert hook.tool(["config-get", "revision"]).stdout == first

    in_unit(model, "app/0", body)


def test_goal_state_lists_units_that_are_not_dead(model: Model, bodies: Bodies) -> None:
    app = deploy(model, bodies)
    in_unit(model, "app/0", lambda hook: check(hook.tool(["status-set", "active"])))
    app.add_unit()
    app.remove_unit("app/1", force=True)
    seen: list[Any] = []
    in_unit(model, "app/0", lambda h: seen.append(output(h.tool(["goal-state", "--format=json"]))))
    assert {name: unit["status"] for name, unit in seen[0]["units"].items()} == {
        "app/0": "active",
        "app/2": "waiting",
    }
    assert seen[0]["relations"] == {}


def test_a_leadership_bounce_inside_a_hook_reverts_the_other_leaders_application_keys(
    model: Model, bodies: Bodies
) -> None:
    app = deploy(model, bodies)
    first = model.leader("app") or ""
    second = "app/1" if first == "app/0" else "app/0"
    put = ["relation-set", "-r", RELATION, "--app"]
    in_unit(model, first, lambda hook: check(hook.tool([*put, "grant=old"])))

    def long(hook: Hook) -> None:
        check(hook.tool([*put, "mine=1"]))
        hook.sleep(400)

    command = model.juju_exec(first, long)
    model.run(seconds=2)
    model.hand_leadership("app", second, first)
    assert model.run_until(lambda: model.leader("app") == second)
    in_unit(model, second, lambda hook: check(hook.tool([*put, "grant=new"])))
    assert app.databag("coordinator")["grant"] == "new"
    assert model.run_until(lambda: command.code is not None)
    assert app.databag("coordinator") == {"grant": "old", "mine": "1"}


def test_leadership_is_checked_again_when_the_application_databag_is_committed(
    model: Model, bodies: Bodies
) -> None:
    app = deploy(model, bodies)
    leader = model.leader("app") or ""
    other = "app/1" if leader == "app/0" else "app/0"

    def body(hook: Hook) -> None:
        check(hook.tool(["relation-set", "-r", RELATION, "--app", "a=1"]))
        hook.sleep(200)

    bodies.on(leader, "config-changed", body)
    app.configure(revision=2)
    model.run(seconds=5)
    model.hand_leadership("app", other)
    assert model.run_until(lambda: any(r.outcome == "commit failed" for r in model.hooks_run))
    assert app.databag("coordinator") == {}


def test_actions_take_parameters_give_results_and_store_their_databag_changes(
    model: Model, bodies: Bodies
) -> None:
    deploy(model, bodies, units=1)

    def body(hook: Hook) -> None:
        assert hook.environment["JUJU_ACTION_NAME"] == "restart"
        assert output(hook.tool(["action-get", "--format=json"])) == {"force": True}
        check(hook.tool(["action-set", "outcome.units=3"]))
        check(hook.tool(["relation-set", "-r", RELATION, "asked=1"]))
        if output(hook.tool(["action-get", "force", "--format=json"])):
            check(hook.tool(["action-fail", "no"]))

    bodies.on("app/0", "restart", body)
    action = model.unit("app/0").run_action("restart", force=True)
    model.settle()
    assert (action.status, action.message) == ("failed", "no")
    assert action.results == {"outcome": {"units": "3"}}
    assert model.unit("app/0").databag("coordinator")["asked"] == "1"
