"""One seed gives one history, and a model answers for what it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from simulated_juju import Faults, FunctionCharm, Hook, Model

PEERS = {"coordinator": "coordinator"}


def busy(hook: Hook) -> None:
    """Use a bit of everything."""
    relation = ["-r", "coordinator:0"]
    peers = hook.tool(["relation-list", *relation, "--format=json"]).stdout
    if hook.tool(["is-leader"]).stdout == b"True\n":
        hook.tool(["relation-set", *relation, "--app", f"seen={peers.decode().strip()}"])
        if "leader-set" in hook.environment.get("JUJU_HOOK_NAME", ""):
            hook.tool(["leader-set", "seen=1"])
    if hook.name == "config-changed":
        hook.tool(["relation-set", *relation, f"at={hook.wall_clock():.0f}"])
        hook.work("restart", 30)


def history(seed: int) -> tuple[str, list[str]]:
    with Model(seed=seed, faults=Faults.drawn(seed)) as model:
        app = model.deploy("app", FunctionCharm(busy), units=4, peers=PEERS, config={"revision": 1})
        model.run(minutes=2)
        app.configure(revision=2)
        model.run(minutes=20)
        model.heal()
        model.settle()
        return model.digest(), model.history()


@pytest.mark.parametrize("seed", range(50))
def test_the_same_seed_gives_the_same_history(seed: int) -> None:
    first, second = history(seed), history(seed)
    assert first[1] == second[1]
    assert first[0] == second[0]


def test_different_seeds_give_different_histories() -> None:
    assert len({history(seed)[0] for seed in range(10)}) == 10


def test_every_tool_call_is_recorded_with_its_cost() -> None:
    with Model(seed=1, tool_seconds=0.02) as model:
        model.deploy("app", FunctionCharm(busy), units=2, peers=PEERS, config={"revision": 1})
        model.settle()
        call = model.tool_calls[0]
        assert call.argv[0] == "relation-list"
        assert call.unit.startswith("app/")
        assert call.milliseconds == pytest.approx(20)
        assert call.bytes_in > 0
        assert call.bytes_out > 0
        counters = model.counters
        assert counters["tool calls"] == len(model.tool_calls)
        assert counters["hooks app/0"] + counters["hooks app/1"] == len(model.hooks_run)
        assert counters["controller writes"] > 0


def test_listeners_hear_of_hooks_and_work_as_they_start_and_end() -> None:
    with Model(seed=1) as model:
        heard: list[str] = []

        def hear(event: str, _: object) -> None:
            heard.append(event)

        for event in ("hook-start", "hook-end", "work-start", "work-end", "leader"):
            model.listen(event, partial(hear, event))
        model.deploy("app", FunctionCharm(busy), peers=PEERS, config={"revision": 1})
        model.settle()
        assert heard[:2] == ["leader", "hook-start"]
        assert heard.count("hook-start") == heard.count("hook-end") == len(model.hooks_run)
        assert heard.count("work-start") == heard.count("work-end") == 1
        with pytest.raises(ValueError, match="no event is called"):
            model.listen("nonsense", heard.append)


def test_a_failing_test_can_print_how_to_replay_it() -> None:
    with Model(seed=77, faults=Faults(hook_failure=0.5)) as model:
        model.deploy("app", FunctionCharm(busy), peers=PEERS, config={"revision": 1})
        model.run(minutes=5)
        text = model.describe(lines=10)
        assert "seed 77, Juju 3.6.0, Faults(hook_failure=0.5" in text
        assert "fault: hook-failure" in text
        assert "last 10 operations" in text


def test_hooks_of_units_are_interleaved_at_tool_calls() -> None:
    def body(hook: Hook) -> None:
        for _ in range(20):
            hook.tool(["is-leader"])

    with Model(seed=1, tool_seconds=0.02) as model:
        model.deploy("app", FunctionCharm(busy), units=3, peers=PEERS, config={"revision": 1})
        model.settle()
        before = len(model.tool_calls)
        commands = [model.juju_exec(f"app/{number}", body) for number in range(3)]
        model.run_until(lambda: all(command.code is not None for command in commands))
        units = [call.unit for call in model.tool_calls[before:]]
        assert len(units) == 60
        assert sum(first != second for first, second in pairwise(units)) > 20


def test_global_state_is_swapped_at_every_point_where_another_unit_may_run() -> None:
    present: list[str] = []
    swaps: list[str] = []

    def enter(hook: Hook) -> None:
        assert present == []
        present.append(hook.local.setdefault("owner", hook.unit))
        swaps.append(hook.unit)

    def leave(hook: Hook) -> None:
        assert present.pop() == hook.unit

    def body(hook: Hook) -> None:
        for _ in range(5):
            assert present == [hook.unit]
            hook.work("restart", 1.0)

    with Model(seed=1) as model:
        model.deploy("app", FunctionCharm(body, enter, leave), units=3, peers=PEERS)
        model.settle()
        assert {record.outcome for record in model.hooks_run} == {"ok"}
        assert present == []
        assert sum(first != second for first, second in pairwise(swaps)) > len(model.hooks_run)


def test_the_history_does_not_depend_on_the_order_of_sets() -> None:
    program = "import test_simulated_juju_replay as replay; print(replay.history(5)[0])"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": number, "PYTHONPATH": path},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for number in ("1", "2")
    }
    assert len(digests) == 1
