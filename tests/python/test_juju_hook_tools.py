"""Hooks as processes of their own, with hook tools that are real executables."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from coordinator import _core
from coordinator.exceptions import Unavailable

FINE = {
    "relation-ids": """echo '["coordinator:0"]'""",
    "relation-list": "echo '[]'",
    "relation-get": "echo '{}'",
    "relation-set": "",
    "is-leader": "echo true",
    "leader-get": "echo '{}'",
    "leader-set": "",
    "goal-state": "echo '{}'",
    "juju-log": "",
    "jujud": "echo 2.0.0",
}
"""What the tools of an application with one unit answer."""

WITHOUT_CHARMHELPERS = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("charmhelpers", "charms"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""

WHOLE_HOOK = """
from coordinator import juju

serial = juju.Serial(peer_relation_name="coordinator")
serial.initialize()
serial.handle()
print(serial.acquire("restart"), serial.granted("restart"), serial.token("restart"))
serial.finish()
print(serial.granted("restart"))
"""


@dataclass
class Agent:
    """A directory with hook tools, each of which notes its calls."""

    directory: Path

    @property
    def calls(self) -> list[str]:
        log = self.directory / "calls"
        return log.read_text().splitlines() if log.exists() else []

    def environment(self, **changes: str | None) -> dict[str, str]:
        values = {
            "PATH": str(self.directory / "bin"),
            "JUJU_UNIT_NAME": "app/0",
            "JUJU_HOOK_NAME": "config-changed",
            "JUJU_CHARM_DIR": str(self.directory),
            "JUJU_VERSION": "3.6.0",
            **changes,
        }
        return {name: value for name, value in values.items() if value is not None}

    def run(self, program: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        """Run `program` in an interpreter of its own, as a hook."""
        return subprocess.run(
            [sys.executable, "-I", "-c", textwrap.dedent(program)],
            env=self.environment(**changes),
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def agent(directory: Path, tools: Mapping[str, str | None] | None = None) -> Agent:
    """Make the tools; a tool that is None is not there."""
    (directory / "bin").mkdir()
    for name, script in {**FINE, **(tools or {})}.items():
        if script is not None:
            path = directory / "bin" / name
            note = f"""(printf '%s' {name}; printf ' %s' "$@") | /usr/bin/tr '\\n' ' '; echo"""
            path.write_text(f'#!/bin/sh\n({note}) >> "{directory}/calls"\n{script}\n')
            path.chmod(0o755)
    return Agent(directory)


@pytest.fixture(autouse=True)
def _no_hook_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def opened(made: Agent, time_limit: float = 60.0, **changes: str | None) -> _core.Hook:
    hook = _core.Hook(
        made.environment(**changes),
        key="coordinator",
        relation="coordinator",
        rules="serial",
        announce=True,
        legacy_file="none",
        time_limit=time_limit,
    )
    hook.open("2026-01-01 00:00:00.000000Z")
    return hook


def test_a_charm_without_charmhelpers_calls_three_methods(tmp_path: Path) -> None:
    made = agent(tmp_path)
    result = made.run(WITHOUT_CHARMHELPERS + WHOLE_HOOK)
    assert result.stderr == ""
    assert result.stdout.split("\n") == ["True True 1", "False", ""]
    written = [call for call in made.calls if call.startswith("relation-set")]
    assert [call.split("=")[0] for call in written] == [
        "relation-set -r coordinator:0 coordinator-ledger",
        "relation-set -r coordinator:0 --app coordinator-ledger",
    ]
    assert made.calls[-1].startswith("juju-log -l INFO coordinator.Serial Requested restart")


def test_charmhelpers_is_not_there_for_that(tmp_path: Path) -> None:
    program = WITHOUT_CHARMHELPERS + "import charmhelpers"
    assert "No module named 'charmhelpers'" in agent(tmp_path).run(program).stderr


def test_with_charmhelpers_its_callbacks_do_the_same(tmp_path: Path) -> None:
    made = agent(tmp_path)
    result = made.run(
        """
        from charmhelpers.core import hookenv
        from coordinator import juju

        serial = juju.Serial(peer_relation_name="coordinator")
        hookenv._run_atstart()
        print(serial.acquire("restart"))
        hookenv._run_atexit()
        print(serial.granted("restart"))
        """
    )
    assert result.stderr == ""
    assert result.stdout == "True\nFalse\n"


def test_the_version_comes_from_the_environment(tmp_path: Path) -> None:
    made = agent(tmp_path)
    program = """
        import sys

        def look(event, arguments):
            if event in ("open", "glob.glob", "os.listdir", "os.scandir"):
                if "juju" in str(arguments[0]).replace("coordinator/juju", ""):
                    print("looked at", arguments[0])
            if event == "subprocess.Popen" and "jujud" in str(arguments):
                print("ran", arguments)

        sys.addaudithook(look)
        """ + textwrap.indent(WHOLE_HOOK, " " * 8)
    result = made.run(program, JUJU_VERSION="4.0.1")
    assert result.stderr == ""
    assert result.stdout == "True True 1\nFalse\n"
    tools = {call.split()[0] for call in made.calls}
    assert not tools & {"jujud", "leader-get", "leader-set"}


@pytest.mark.parametrize("version", ["2.9.51", "3.6.0", "", None])
def test_before_juju_4_and_where_it_is_unknown_leader_settings_are_read(
    version: str | None, tmp_path: Path
) -> None:
    made = agent(tmp_path)
    assert made.run(WHOLE_HOOK, JUJU_VERSION=version).stdout == "True True 1\nFalse\n"
    assert any(call.startswith("leader-get") for call in made.calls)


def test_outside_of_a_hook_the_error_says_so(tmp_path: Path) -> None:
    result = agent(tmp_path).run(WHOLE_HOOK, JUJU_UNIT_NAME=None)
    assert result.stderr.splitlines()[-1].startswith(
        "coordinator.exceptions.Invalid: JUJU_UNIT_NAME is not set"
    )


@pytest.mark.parametrize("tool", ["relation-ids", "relation-get", "is-leader", "leader-get"])
def test_the_complaint_of_a_tool_is_in_the_error(tool: str, tmp_path: Path) -> None:
    script = "echo 'ERROR the controller is on fire' >&2; exit 7"
    made = agent(tmp_path, {tool: script})
    with pytest.raises(Unavailable) as caught:
        opened(made).handle()
    text = str(caught.value)
    assert tool in text
    assert "status 7" in text
    assert text.count("ERROR the controller is on fire") == 1


@pytest.mark.parametrize("tool", ["relation-set", "leader-set"])
def test_a_write_that_is_refused_is_an_error_with_the_complaint(tool: str, tmp_path: Path) -> None:
    made = agent(
        tmp_path,
        {tool: "echo 'ERROR too large' >&2; exit 1", "relation-list": "echo '[\"app/1\"]'"},
    )
    hook = opened(made)
    hook.handle()

    def whole() -> None:
        hook.acquire("restart", "2026-01-01 00:00:00.000000Z")
        hook.close()
        hook.publish()

    with pytest.raises(Unavailable, match=rf"{tool} .*status 1: ERROR too large"):
        whole()


def test_a_tool_that_is_not_there_is_named(tmp_path: Path) -> None:
    made = agent(tmp_path, {"relation-ids": None})
    with pytest.raises(Unavailable, match=r"relation-ids cannot be started: is this a hook\?"):
        opened(made)


@pytest.mark.parametrize("answer", ["{", "yes", "42", "'\"text\"'", "'[1, 2]'", "'[\"a\"'"])
def test_an_answer_that_makes_no_sense_is_an_error(answer: str, tmp_path: Path) -> None:
    made = agent(tmp_path, {"relation-ids": f"echo {answer}"})
    with pytest.raises(Unavailable, match=r"relation-ids .*printed no such JSON"):
        opened(made)


def test_a_tool_that_hangs_is_stopped(tmp_path: Path) -> None:
    made = agent(tmp_path, {"is-leader": "exec /bin/sleep 600"})
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"is-leader .*not answered in 0\.3 seconds"):
        opened(made, time_limit=0.3).handle()
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_limit_that_is_none_is_refused(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="time limit"):
        opened(agent(tmp_path), time_limit=seconds)


def test_a_log_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    for number, script in enumerate((None, "exit 1")):
        directory = tmp_path / str(number)
        directory.mkdir()
        result = agent(directory, {"juju-log": script}).run(WHOLE_HOOK)
        assert result.stdout == "True True 1\nFalse\n"


def test_a_hook_that_fails_still_logs(tmp_path: Path) -> None:
    made = agent(tmp_path)
    result = made.run(WHOLE_HOOK.replace("serial.finish()", "raise SystemExit(1)"))
    assert result.returncode == 1
    assert "Requested restart" in made.calls[-1]
    assert not any(call.startswith("relation-set") for call in made.calls)


def test_data_that_is_no_argument_goes_through_standard_input(tmp_path: Path) -> None:
    made = agent(tmp_path, {"relation-set": f'/bin/cat >> "{tmp_path}/input"'})
    program = """
        from coordinator import juju

        serial = juju.Serial(peer_relation_name="coordinator")
        serial.initialize()
        serial.handle()
        for number in range(250):
            serial.acquire(f"{number}-" + "x" * 240)
            serial.hold(f"{number}-" + "x" * 240)
        serial.finish()
    """
    result = made.run(program)
    assert result.stderr == ""
    assert [call for call in made.calls if call.startswith("relation-set")] == [
        "relation-set -r coordinator:0 --file -",
        "relation-set -r coordinator:0 --app --file -",
    ]
    decoder = json.JSONDecoder()
    text = (tmp_path / "input").read_text()
    first, end = decoder.raw_decode(text)
    second, _ = decoder.raw_decode(text[end:])
    assert set(first) == {"coordinator", "coordinator-ledger"}
    assert set(second) == {"coordinator-ledger"}
