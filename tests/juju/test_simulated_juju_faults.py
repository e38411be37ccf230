"""What goes wrong, and what Juju does then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from simulated_juju import (
    Application,
    Faults,
    FunctionCharm,
    Hook,
    Model,
    NotSettledError,
    Scripted,
)

PEERS = {"coordinator": "coordinator"}
RELATION = "coordinator:0"
Body = Callable[[Hook], None]


@pytest.fixture
def model() -> Iterator[Model]:
    with Model(seed=1, update_status_seconds=1e9) as made:
        yield made


def writes(hook: Hook) -> None:
    """Each config-changed writes the revision and does guarded work."""
    if hook.name == "config-changed":
        revision = hook.tool(["config-get", "revision"]).stdout.decode().strip()
        hook.tool(["relation-set", "-r", RELATION, f"revision={revision}"])
        hook.work("restart", 10)
        hook.tool(["status-set", "active", revision])


def tells_peers(hook: Hook) -> None:
    hook.tool(["relation-set", "-r", RELATION, "a=1"])


def deploy(model: Model, body: Body = writes, units: int = 2) -> Application:
    app = model.deploy("app", FunctionCharm(body), units=units, peers=PEERS, config={"revision": 1})
    model.settle()
    return app


def outcomes(model: Model, unit: str, hook: str, since: int = 0) -> list[str]:
    return [r.outcome for r in model.hooks_run[since:] if (r.unit, r.hook) == (unit, hook)]


def test_a_failing_hook_is_retried_and_stores_nothing(model: Model) -> None:
    app = deploy(model)
    since = len(model.hooks_run)
    model.inject(Scripted("hook-failure", "app/0", "config-changed", tool=3))
    app.configure(revision=2)
    assert model.run_until(lambda: model.unit("app/0").status[0] == "error")
    assert model.unit("app/0").databag("coordinator")["revision"] == "1"
    model.settle()
    assert outcomes(model, "app/0", "config-changed", since) == ["failed", "ok"]
    assert model.unit("app/0").databag("coordinator")["revision"] == "2"
    assert model.unit("app/0").status == ("active", "2")


def test_a_hook_that_raises_fails_and_keeps_its_traceback(model: Model) -> None:
    def body(hook: Hook) -> None:
        raise RuntimeError("no disk")

    model.deploy("app", FunctionCharm(body))
    model.run(seconds=10)
    assert model.hooks_run[0].outcome == "failed"
    assert "no disk" in model.hooks_run[0].output


def test_retries_wait_5_seconds_doubling_to_5_minutes(model: Model) -> None:
    def body(hook: Hook) -> None:
        if hook.name == "start":
            raise SystemExit(1)

    model.deploy("app", FunctionCharm(body))
    model.run(hours=2)
    times = [r.start for r in model.hooks_run if r.hook == "start"]
    gaps = [second - first for first, second in pairwise(times)]
    for gap, wait in zip(gaps, [5, 10, 20, 40, 80, 160, 300, 300], strict=False):
        assert wait * 0.9 <= gap <= wait * 1.1 + 2
    with pytest.raises(NotSettledError, match="seed 1"):
        model.settle(limit_seconds=3600)


def test_in_error_only_actions_and_juju_exec_run_and_the_lease_is_kept(model: Model) -> None:
    broken = [True]

    def body(hook: Hook) -> None:
        if hook.name == "config-changed" and broken[0] and hook.unit == leader:
            raise SystemExit(1)

    leader = ""
    app = deploy(model, body)
    leader = model.leader("app") or ""
    other = "app/1" if leader == "app/0" else "app/0"
    app.configure(revision=2)
    assert model.run_until(lambda: model.unit(leader).record.in_error)
    since = len(model.hooks_run)
    action = model.unit(leader).run_action("look")
    command = model.juju_exec(leader, lambda hook: None)
    told = model.juju_exec(other, tells_peers)
    model.run(hours=1)
    ran = {r.hook for r in model.hooks_run[since:] if r.unit == leader}
    assert ran == {"look", "run-commands", "config-changed"}
    assert (action.status, command.code, told.code) == ("completed", 0, 0)
    assert model.leader("app") == leader
    broken[0] = False
    model.settle()
    assert any(r.hook == "coordinator-relation-changed" for r in model.hooks_run[since:])


def test_resolved_without_retry_skips_the_hook_but_stores_its_relation_state(model: Model) -> None:
    def body(hook: Hook) -> None:
        if hook.name == "coordinator-relation-joined" and hook.unit == "app/0":
            raise SystemExit(1)

    model.deploy("app", FunctionCharm(body), units=2, peers=PEERS)
    assert model.run_until(lambda: model.unit("app/0").record.in_error)
    since = len(model.hooks_run)
    model.unit("app/0").resolved(retry=False)
    model.settle()
    assert [r.hook for r in model.hooks_run[since:] if r.unit == "app/0"] == [
        "coordinator-relation-changed"
    ]


def test_resolved_retries_at_once(model: Model) -> None:
    app = deploy(model)
    model.inject(Scripted("hook-failure", "app/0", "config-changed"))
    app.configure(revision=2)
    assert model.run_until(lambda: model.unit("app/0").record.in_error)
    failed = model.now
    model.unit("app/0").resolved()
    model.run_until(lambda: model.hooks_run[-1].outcome == "" and model.now > failed)
    assert model.hooks_run[-1].hook == "config-changed"
    assert model.now - failed < 1


def test_a_killed_hook_is_queued_again_and_is_no_error(model: Model) -> None:
    app = deploy(model)
    since = len(model.hooks_run)
    model.inject(Scripted("hook-kill", "app/0", "config-changed", tool=3))
    app.configure(revision=2)
    model.run_until(lambda: "killed" in outcomes(model, "app/0", "config-changed"))
    assert not model.unit("app/0").record.in_error
    killed = model.now
    model.settle()
    assert outcomes(model, "app/0", "config-changed", since) == ["killed", "ok"]
    again = [r for r in model.hooks_run[since:] if r.unit == "app/0"][1]
    assert again.start - killed < 1


@pytest.mark.parametrize(
    ("kind", "runs", "stored"),
    [
        ("agent-kill-before-exec", 1, "1"),
        ("agent-kill-after-exec", 2, "1"),
        ("agent-kill-after-commit", 2, "2"),
    ],
)
def test_an_agent_may_die_between_any_two_steps_of_a_hook(
    model: Model, kind: str, runs: int, stored: str
) -> None:
    app = deploy(model)
    since = len(model.hooks_run)
    model.inject(Scripted(kind, "app/0", "config-changed", restart_after=30))
    app.configure(revision=2)
    assert model.run_until(lambda: not model.unit("app/0").agent.up)
    assert model.unit("app/0").databag("coordinator")["revision"] == stored
    model.settle()
    assert len(outcomes(model, "app/0", "config-changed", since)) == runs
    assert outcomes(model, "app/0", "config-changed")[-1] == "ok"
    assert model.unit("app/0").databag("coordinator")["revision"] == "2"


def test_an_agent_that_dies_in_a_hook_ends_its_guarded_work(model: Model) -> None:
    app = deploy(model)
    app.configure(revision=2)
    assert model.run_until(lambda: any(item.unit == "app/0" for item in model.working()))
    model.unit("app/0").kill_agent()
    assert all(item.unit != "app/0" for item in model.working())
    model.settle()
    assert model.unit("app/0").databag("coordinator")["revision"] == "2"


def test_a_dead_agent_loses_its_lease_within_60_seconds(model: Model) -> None:
    deploy(model)
    leader = model.leader("app") or ""
    died = model.now
    model.unit(leader).kill_agent(restart_after=None)
    assert model.run_until(lambda: model.leader("app") not in (None, leader))
    assert 30 <= model.now - died <= 62


def test_a_partition_makes_tools_fail_and_costs_the_lease_while_the_hook_goes_on(
    model: Model,
) -> None:
    deploy(model)
    leader = model.leader("app") or ""
    other = "app/1" if leader == "app/0" else "app/0"
    codes: list[int] = []

    def body(hook: Hook) -> None:
        for _ in range(30):
            codes.append(hook.tool(["is-leader"]).code)
            hook.sleep(10)

    command = model.juju_exec(leader, body)
    model.run(seconds=15)
    model.unit(leader).partition(seconds=120)
    assert model.run_until(lambda: model.leader("app") == other, 70)
    assert model.run_until(lambda: command.code is not None)
    assert len(codes) == 30
    assert codes[0] == 0
    assert 1 in codes
    assert codes[-1] == 0


def test_juju_exec_stores_changes_even_when_the_command_fails(model: Model) -> None:
    deploy(model)

    def body(hook: Hook) -> None:
        hook.tool(["relation-set", "-r", RELATION, "half=done"])
        assert "JUJU_DISPATCH_PATH" not in hook.environment
        assert hook.environment["JUJU_HOOK_NAME"] == ""
        assert hook.environment["JUJU_CONTEXT_ID"].startswith("app/0-run-commands-")
        raise SystemExit(3)

    command = model.juju_exec("app/0", body)
    model.settle()
    assert command.code == 3
    assert model.unit("app/0").databag("coordinator")["half"] == "done"
    assert not model.unit("app/0").record.in_error


def test_juju_exec_waits_for_the_hook_that_runs(model: Model) -> None:
    app = deploy(model)
    app.configure(revision=2)
    assert model.run_until(lambda: any(item.unit == "app/0" for item in model.working()))
    seen: list[str] = []
    command = model.juju_exec("app/0", lambda h: seen.append(model.unit("app/0").status[1]))
    model.run_until(lambda: command.code is not None)
    assert seen == ["2"]


def test_clocks_are_skewed_by_unit(model: Model) -> None:
    with Model(seed=3, faults=Faults(clock_skew=600)) as skewed:
        clocks: dict[str, float] = {}

        def body(hook: Hook) -> None:
            clocks[hook.unit] = hook.wall_clock() - hook.monotonic()
            offset = float(hook.environment["SIMULATED_CLOCK_OFFSET"])
            assert abs(clocks[hook.unit] - 1_700_000_000 - offset) < 0.01

        deploy(skewed, body, units=3)
        assert len({round(clock) for clock in clocks.values()}) == 3


def test_slow_watchers_hold_a_change_back_for_minutes() -> None:
    with Model(seed=1, faults=Faults(slow_watch=1.0)) as model:
        app = model.deploy("app", FunctionCharm(writes), units=6, config={"revision": 1})
        model.settle()
        app.configure(revision=2)
        begun = model.now
        model.settle()
        starts = [r.start - begun for r in model.hooks_run if r.hook == "config-changed"]
        assert max(starts) > 60


def test_drawn_faults_leave_kinds_out_and_every_kind_is_drawn_by_some_seed() -> None:
    drawn = [Faults.drawn(seed) for seed in range(60)]
    assert len(set(drawn)) > 50
    for name in ("hook_failure", "partition", "lease_bounce", "unit_removed", "slow_watch"):
        rates = [getattr(faults, name) for faults in drawn]
        assert 0.0 in rates
        assert max(rates) > 0.0
    assert all(Faults.drawn(seed, without=("partition",)).partition == 0 for seed in range(20))


def test_after_healing_everything_comes_right() -> None:
    fired: set[str] = set()
    for seed in range(40):
        with Model(seed=seed, faults=Faults.drawn(seed)) as model:
            app = model.deploy(
                "app", FunctionCharm(writes), units=4, peers=PEERS, config={"revision": 1}
            )
            for revision in range(2, 6):
                model.run(minutes=10)
                app.configure(revision=revision)
            model.heal()
            model.settle()
            for unit in app.units:
                assert unit.status == ("active", "5"), model.describe()
                bag = unit.databag("coordinator")
                skipped = any("skips config-changed" in line for line in model.history())
                assert bag["revision"] == "5" or skipped, model.describe()
            fired |= {name for name in model.counters if name.startswith("fault ")}
    assert len(fired) >= 12, fired


def test_a_listener_that_raises_ends_the_run_at_once(model: Model) -> None:
    def alone(_: object) -> None:
        assert len(model.working("restart")) < 2, "overlap"

    model.listen("work-start", alone)
    with pytest.raises(AssertionError, match="overlap"):
        deploy(model)
    assert model.most_at_once("restart") == 2


def test_an_action_or_command_whose_agent_dies_has_failed(model: Model) -> None:
    deploy(model, lambda hook: hook.sleep(60) if hook.kind == "action" else None)
    action = model.unit("app/0").run_action("restart")
    command = model.juju_exec("app/1", lambda hook: hook.sleep(60))
    model.run(seconds=20)
    for name in ("app/0", "app/1"):
        model.unit(name).kill_agent()
    model.settle()
    assert (action.status, action.message) == ("failed", "action terminated")
    assert command.code == 1


def test_passing_leadership_again_takes_over_from_an_earlier_passing(model: Model) -> None:
    deploy(model, units=3)
    model.hand_leadership("app", "app/0", "app/1")
    model.run(seconds=10)
    model.hand_leadership("app", "app/2")
    model.settle()
    assert model.leader("app") == "app/2"


def test_a_unit_without_a_status_is_unknown_once_started(model: Model) -> None:
    deploy(model, lambda hook: None)
    assert model.unit("app/0").status == ("unknown", "")
