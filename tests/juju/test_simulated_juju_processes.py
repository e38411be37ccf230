"""Charm directories: hooks as real processes, with the compiled hook tool on their PATH."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from simulated_juju import DirectoryCharm, Faults, FunctionCharm, Model, Scripted

PEERS = {"coordinator": "coordinator"}
ROOT = Path(__file__).resolve().parents[2]
Hooks = Callable[..., DirectoryCharm]


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled hook tool: the one that is named, or one compiled here."""
    named = os.environ.get("SIMULATED_HOOK_TOOL")
    if named:
        return Path(named)
    target = tmp_path_factory.mktemp("tool") / "simulated-hook-tool"
    source = Path(__file__).with_name("hook_tool.rs")
    subprocess.run(["rustc", "--edition=2024", "-O", "-o", target, source], check=True)
    return target


@pytest.fixture
def charm(tmp_path: Path) -> Hooks:
    """Make charm directories from scripts by name."""

    def make(**scripts: str) -> DirectoryCharm:
        for name, text in scripts.items():
            path = tmp_path / "charm" / name.replace("__", "/").replace("_", "-")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#!/bin/bash\n{text}\n")
            path.chmod(0o755)
        return DirectoryCharm(tmp_path / "charm")

    return make


@pytest.fixture
def model(tool: Path) -> Iterator[Model]:
    with Model(seed=5, tool_executable=tool) as made:
        yield made


ROLL = """
set -e
relation-set -r coordinator:0 revision="$(config-get revision)"
guarded-work restart 30
echo "$(config-get revision)" > done
"""


def deploy(model: Model, charm: DirectoryCharm, units: int = 2) -> None:
    model.deploy("app", charm, units=units, peers=PEERS, config={"revision": 1})
    model.settle()


def test_hooks_run_in_a_copy_of_the_charm_with_an_environment_from_nothing(
    model: Model, charm: Hooks
) -> None:
    deploy(model, charm(hooks__config_changed="pwd; env; echo x > made"), units=1)
    agent = model.unit("app/0").agent
    record = next(r for r in model.hooks_run if r.hook == "config-changed")
    lines = record.output.splitlines()
    assert lines[0] == str(agent.charm_dir)
    variables = dict(line.split("=", 1) for line in lines[1:])
    assert not {"HOME", "USER", "VIRTUAL_ENV"} & variables.keys()
    assert variables["PATH"].startswith(str(agent.directory / "tools"))
    assert variables["JUJU_AGENT_SOCKET_NETWORK"] == "unix"
    assert (agent.charm_dir / "made").exists()


def test_a_missing_hook_is_success_and_dispatch_comes_first(model: Model, charm: Hooks) -> None:
    made = charm(hooks__start="exit 1", dispatch='echo "$JUJU_DISPATCH_PATH"')
    deploy(model, made, units=1)
    assert [r.output for r in model.hooks_run][:2] == [
        "hooks/install\n",
        "hooks/coordinator-relation-created\n",
    ]


def test_a_charm_without_a_script_runs_nothing(model: Model, charm: Hooks) -> None:
    deploy(model, charm(hooks__stop="exit 1"))
    assert {r.outcome for r in model.hooks_run} == {"ok"}


def test_tools_answer_as_processes(model: Model, charm: Hooks) -> None:
    script = """
    relation-set a=1; echo "code $?"
    relation-get -r coordinator:0 - app/9; echo "code $?"
    printf 'a: from input' | relation-set -r coordinator:0 --file -; echo "code $?"
    echo 'b: from file' > settings; relation-set -r coordinator:0 --file settings
    relation-get -r coordinator:0 --format=json a app/0
    is-leader --format=json
    relation-set --help | head -1
    JUJU_CONTEXT_ID=wrong relation-ids coordinator; echo "code $?"
    env -u JUJU_CONTEXT_ID relation-ids coordinator; echo "code $?"
    juju-exec -u app/0 true; echo "code $?"
    """
    deploy(model, charm(hooks__start=script), units=1)
    output = next(r for r in model.hooks_run if r.hook == "start").output
    assert output.splitlines() == [
        "ERROR no relation id specified",
        "code 2",
        'ERROR permission denied (unauthorized access): settings of "app/9"',
        "code 1",
        "code 0",
        '"from input"',
        "true",
        "Usage: relation-set [options] key=value [key=value ...]",
        'ERROR wrong context ID; got "wrong" for relation-ids',
        "code 1",
        "ERROR JUJU_CONTEXT_ID not set",
        "code 1",
        "ERROR juju-exec cannot be called from within a hook, as the lock is held",
        "code 1",
    ]
    bag = model.unit("app/0").databag("coordinator")
    assert (bag["a"], bag["b"]) == ("from input", "from file")


def test_juju_4_has_no_leader_tools_on_the_path(tool: Path, charm: Hooks) -> None:
    with Model(seed=1, version="4.0.0", tool_executable=tool) as model:
        deploy(model, charm(hooks__start="command -v leader-get is-leader"), units=1)
        output = next(r for r in model.hooks_run if r.hook == "start").output
        assert [Path(line).name for line in output.splitlines()] == ["is-leader"]


def test_guarded_work_of_processes_overlaps_in_virtual_time(model: Model, charm: Hooks) -> None:
    deploy(model, charm(hooks__config_changed=ROLL), units=3)
    assert model.most_at_once("restart") == 3
    assert all(item.end == pytest.approx(item.start + 30) for item in model.work)


def test_a_failing_hook_stores_nothing_and_is_retried(model: Model, charm: Hooks) -> None:
    script = """
    relation-set -r coordinator:0 tried=1
    if [ ! -e tried ]; then touch tried; exit 3; fi
    """
    model.deploy("app", charm(hooks__start=script), peers=PEERS)
    assert model.run_until(lambda: model.unit("app/0").status[0] == "error")
    assert "tried" not in model.unit("app/0").databag("coordinator")
    assert [r.code for r in model.hooks_run if r.hook == "start"] == [3]
    model.settle()
    assert model.unit("app/0").databag("coordinator")["tried"] == "1"


def test_a_hook_is_killed_at_a_tool_call_and_queued_again(model: Model, charm: Hooks) -> None:
    model.inject(Scripted("hook-kill", "app/0", "config-changed", tool=3))
    deploy(model, charm(hooks__config_changed=ROLL), units=1)
    outcomes = [r.outcome for r in model.hooks_run if r.hook == "config-changed"]
    assert outcomes == ["killed", "ok"]


def test_a_killed_agent_takes_its_hook_along(model: Model, charm: Hooks) -> None:
    model.deploy("app", charm(hooks__config_changed=ROLL), peers=PEERS, config={"revision": 1})
    assert model.run_until(lambda: bool(model.working("restart")))
    model.unit("app/0").kill_agent(restart_after=5)
    assert not (model.unit("app/0").agent.charm_dir / "done").exists()
    model.settle()
    assert (model.unit("app/0").agent.charm_dir / "done").exists()


def test_actions_are_scripts(model: Model, charm: Hooks) -> None:
    script = 'action-set who="$JUJU_ACTION_NAME" how="$(action-get how)"'
    deploy(model, charm(actions__restart=script), units=1)
    action = model.unit("app/0").run_action("restart", how="gently")
    model.settle()
    assert action.status == "completed"
    assert action.results == {"who": "restart", "how": "gently"}


def test_juju_exec_runs_a_shell_command_in_the_units_context(model: Model, charm: Hooks) -> None:
    deploy(model, charm(hooks__stop="true"), units=1)
    command = model.juju_exec(
        "app/0", 'relation-set -r coordinator:0 a=1; echo "[$JUJU_DISPATCH_PATH]"; pwd; exit 4'
    )
    model.settle()
    charm_dir = model.unit("app/0").agent.charm_dir
    assert (command.code, command.output) == (4, f"[]\n{charm_dir}\n")
    assert model.unit("app/0").databag("coordinator")["a"] == "1"


def test_a_daemon_started_by_a_hook_may_call_juju_exec(model: Model, charm: Hooks) -> None:
    script = """
    (unset JUJU_CONTEXT_ID; setsid juju-exec -u app/0 'relation-set -r coordinator:0 woken=1' \
        > daemon.log 2>&1 < /dev/null; touch finished) &
    """
    deploy(model, charm(hooks__start=script), units=1)
    finished = model.unit("app/0").agent.charm_dir / "finished"
    # The daemon comes in real time, of which a busy machine takes its own.
    deadline = time.monotonic() + 120
    while not finished.exists() and time.monotonic() < deadline:
        model.run(seconds=0.1)
        time.sleep(0.01)
    assert model.unit("app/0").databag("coordinator")["woken"] == "1"


def test_processes_and_functions_share_a_fleet(model: Model, charm: Hooks) -> None:
    app = model.deploy(
        "app", charm(hooks__config_changed=ROLL), units=2, peers=PEERS, config={"revision": 1}
    )
    app.add_unit(charm=FunctionCharm(lambda hook: None))
    model.settle()
    assert {r.unit for r in model.hooks_run} == {"app/0", "app/1", "app/2"}


def test_the_same_seed_gives_the_same_history_with_processes(tool: Path, charm: Hooks) -> None:
    made = charm(hooks__config_changed=ROLL)

    def digest() -> str:
        faults = Faults(hook_failure=0.3, hook_kill=0.2, agent_outage=5.0)
        with Model(seed=11, faults=faults, tool_executable=tool) as model:
            app = model.deploy("app", made, units=3, peers=PEERS, config={"revision": 1})
            model.run(minutes=2)
            app.configure(revision=2)
            model.run(minutes=10)
            model.heal()
            model.settle()
            return model.digest()

    assert digest() == digest()


def test_a_missing_hook_tool_is_said(charm: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIMULATED_HOOK_TOOL", raising=False)
    with Model() as model:
        model.deploy("app", charm(hooks__install="true"))
        with pytest.raises(RuntimeError, match="simulated-hook-tool"):
            model.run(minutes=1)


def test_a_thread_of_a_hook_may_call_tools_while_the_hook_waits(model: Model, charm: Hooks) -> None:
    # The other unit's hook takes real time, in which the call comes.
    asks = "(sleep 0.2; is-leader --format=json > answer 2>&1) &\nguarded-work restart 30\nwait"
    start = f'if [ "$JUJU_UNIT_NAME" = app/0 ]; then\n{asks}\nelse\nsleep 0.6\nfi'
    app = model.deploy("app", charm(hooks__start=start), units=2)
    model.settle()
    answer = app.units[0].agent.charm_dir / "answer"
    assert answer.read_text().strip() in ("true", "false")
