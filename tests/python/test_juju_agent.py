"""The agent of a unit as a process: what keeps it running, and how it calls its unit."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.exceptions import Unavailable
from coordinator.juju import agent
from unit_machine import SYSTEMCTL, UNIT, Unit, running
from waiting import until


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unit]:
    it = Unit(tmp_path, monkeypatch)
    yield it
    it.close()


def test_without_systemd_it_is_a_supervised_child_of_its_own(unit: Unit) -> None:
    unit.keep()
    until(unit.is_present)
    (supervisor,) = unit.processes("--supervise")
    (process,) = unit.agents()
    # It outlives the hook that has started it, and is no part of it.
    assert os.getsid(process) == supervisor
    assert b"JUJU_CONTEXT_ID" not in Path(f"/proc/{process}/environ").read_bytes()
    assert unit.config.stat().st_mode & 0o777 == 0o600
    unit.keep()
    with pytest.raises(subprocess.TimeoutExpired):
        agent._started[-1].wait(0.2)
    assert (unit.processes("--supervise"), unit.agents()) == ([supervisor], [process])
    agent.end(unit.directory)
    until(lambda: not unit.agents() and not unit.processes("--supervise"))
    assert not unit.is_present()
    assert "the settings are gone: this agent ends" in unit.log()
    agent.end(unit.directory)


def test_one_that_is_killed_is_started_anew(unit: Unit) -> None:
    unit.keep()
    until(unit.is_present)
    (first,) = unit.agents()
    os.kill(first, signal.SIGKILL)
    until(lambda: unit.agents() not in ([], [first]))
    until(unit.is_present)
    assert "the agent ended (signal: 9 (SIGKILL)) and is started anew in 2s" in unit.log()


def test_one_whose_supervisor_is_killed_stays_the_only_one(unit: Unit) -> None:
    unit.keep()
    until(unit.is_present)
    agents = unit.agents()
    (supervisor,) = unit.processes("--supervise")
    os.kill(supervisor, signal.SIGKILL)
    agent._started[-1].wait(30)
    unit.keep()
    assert (unit.processes("--supervise"), unit.agents()) == ([], agents)
    os.kill(agents[0], signal.SIGKILL)

    def is_kept() -> bool:
        # A process that ends lets go of its files last: perhaps only a later hook finds it gone.
        unit.keep()
        return unit.agents() not in ([], agents) and unit.is_present()

    until(is_kept)
    until(lambda: len(unit.processes("--supervise")) == len(unit.agents()) == 1)


def test_a_second_one_refuses_and_says_so(unit: Unit) -> None:
    unit.keep()
    until(unit.is_present)
    for words in (["--config", str(unit.config)], ["--supervise", "--config", str(unit.config)]):
        command = [sys.executable, "-m", "coordinator", "agent", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert "an agent runs with these settings already" in done.stderr
    assert len(unit.agents()) == 1


def test_new_settings_are_followed_by_the_same_process(unit: Unit) -> None:
    unit.keep()
    until(unit.is_present)
    before = unit.agents()
    # What cannot be used is told, and the settings from before are kept.
    settings = unit.config.read_text()
    unit.config.write_text("{")
    until(lambda: "the settings from before are kept" in unit.log())
    assert unit.is_present()
    unit.config.write_text(settings)
    agent.keep(unit.backend, "rows", UNIT, unit.directory)
    until(lambda: unit.is_present("rows"))
    until(lambda: not unit.is_present())
    assert unit.agents() == before
    assert "the settings have changed" in unit.log()


def test_another_program_is_started_after_an_upgrade(unit: Unit) -> None:
    unit.keep()
    until(unit.is_present)
    (before,) = unit.agents()
    unit.monkeypatch.setattr(agent, "__version__", "99.0")
    unit.keep()
    until(lambda: unit.agents() not in ([], [before]))
    until(unit.is_present)
    assert "the program has changed: this agent ends, to be started anew" in unit.log()
    unit.keep()
    assert "99.0" in unit.config.read_text()


def test_a_secret_that_is_changed_in_its_file_changes_the_settings(unit: Unit) -> None:
    secret = unit.path / "password"
    secret.write_text("planted")
    unit.client.close()
    backend = replace(unit.backend, url="zookeeper://127.0.0.1:9", auth=f"sasl:u:file:{secret}")
    texts = []
    for stamp in (1, 1, 2):
        os.utime(secret, (stamp, stamp))
        agent.keep(backend, "fleet", UNIT, unit.directory)
        texts.append(unit.config.read_text())
    assert texts[0] == texts[1] != texts[2]
    assert not any("planted" in text for text in texts)


def test_told_to_end_it_says_goodbye(unit: Unit) -> None:
    unit.keep()
    until(unit.is_present)
    (process,) = unit.agents()
    (supervisor,) = unit.processes("--supervise")
    os.kill(supervisor, signal.SIGTERM)
    assert agent._started[-1].wait(30) == 0
    assert not Path(f"/proc/{process}").exists()
    assert not unit.is_present()
    assert "this agent ends; until there is another one the member is away" in unit.log()


SERVICE = "coordinator-agent-app-1.service"


def test_systemd_keeps_it_where_there_is_systemd(unit: Unit) -> None:
    unit.program("systemctl", SYSTEMCTL.format(directory=unit.path))
    (unit.path / "no-systemd").mkdir()
    said = unit.path / "systemctl"
    unit.keep()
    assert said.read_text().splitlines() == [
        "daemon-reload",
        f"enable {SERVICE}",
        f"--no-block restart {SERVICE}",
    ]
    assert not unit.processes("agent"), "that is systemd's to start"
    text = (unit.path / SERVICE).read_text()
    for line in ("Type=notify", "Restart=always", "KillMode=process", "TimeoutStartSec=infinity"):
        assert line in text.splitlines()
    (command,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    words = shlex.split(command.partition("=")[2])
    assert words[-3:] == ["agent", "--config", str(unit.config)]

    # As systemd does it: ready when the member is present.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(unit.path / "notify"))
        ready.settimeout(30)
        environment = {**os.environ, "NOTIFY_SOCKET": str(unit.path / "notify")}
        with running(words, env=environment, stderr=subprocess.DEVNULL) as service:
            assert ready.recv(100).strip() == b"READY=1"
            assert unit.is_present()
            said.unlink()
            unit.keep()
            assert not said.exists(), "it runs: a process in each hook would be wasted"
        service.wait(30)
    # An operator has stopped it, or an earlier hook came no further than to the file.
    unit.keep()
    assert said.read_text().splitlines()[-1] == f"--no-block start {SERVICE}"
    said.unlink()
    agent.end(unit.directory)
    assert said.read_text().splitlines() == [f"disable --now {SERVICE}", "daemon-reload"]
    assert not (unit.path / SERVICE).exists()
    assert not unit.config.exists()


@pytest.mark.parametrize("step", ["daemon-reload", "enable", "--no-block"])
def test_a_service_that_could_not_be_started_is_started_by_the_next_hook(
    unit: Unit, step: str
) -> None:
    unit.program("systemctl", SYSTEMCTL.format(directory=unit.path))
    (unit.path / "no-systemd").mkdir()
    (unit.path / "failing").write_text(step)
    with pytest.raises(Unavailable, match=f"systemctl {step}"):
        unit.keep()
    (unit.path / "failing").unlink()
    unit.keep()
    said = (unit.path / "systemctl").read_text().splitlines()
    assert said[-3:] == ["daemon-reload", f"enable {SERVICE}", f"--no-block start {SERVICE}"]


def test_a_service_that_could_not_be_ended_keeps_its_settings(unit: Unit) -> None:
    unit.program("systemctl", SYSTEMCTL.format(directory=unit.path))
    (unit.path / "no-systemd").mkdir()
    unit.keep()
    (unit.path / "failing").write_text("disable")
    with pytest.raises(Unavailable, match="systemctl disable --now"):
        agent.end(unit.directory)
    # Without them systemd would start it again for ever.
    assert unit.config.exists()
    (unit.path / "failing").unlink()
    agent.end(unit.directory)
    assert not unit.config.exists()


def test_juju_2_9_has_juju_run_and_a_machine_without_either_is_told_of(unit: Unit) -> None:
    (unit.tools / "juju-exec").rename(unit.tools / "juju-run")
    unit.monkeypatch.setenv("PATH", str(unit.tools))
    unit.keep()
    program, *words = json.loads(unit.config.read_text())["command"]
    assert (program, words[:2]) == (str(unit.tools / "juju-run"), ["-u", UNIT])
    (unit.tools / "juju-run").unlink()
    with pytest.raises(Unavailable, match="neither juju-exec nor juju-run"):
        unit.keep()


def test_a_unit_is_called_when_its_turn_comes_outside_of_any_hook(unit: Unit) -> None:
    held = unit.scope.acquire("restart")
    assert held is not None
    unit.ask()
    unit.keep()
    until(unit.is_present)
    assert not unit.calls()
    held.release()
    until(unit.calls)
    ((words, environment),) = unit.calls()
    assert words == ["-u", UNIT, agent.WAKE]
    assert environment["COORDINATOR_LOCKS"] == "restart"
    assert environment["COORDINATOR_MEMBER"] == UNIT
    assert environment["COORDINATOR_SCOPE"] == "fleet"
    assert environment["COORDINATOR_CALL"] == "1"
    log = unit.log()
    assert "the member is present" in log
    assert 'calling scope="fleet" member="app/1" locks=["restart"]' in log

    # The unit had a hook and did nothing with it: its grant stays, and that is told.
    until(lambda: "the lock was not taken up; it stays granted" in unit.log())
    line = next(line for line in unit.log().splitlines() if "not taken up" in line)
    assert "next call is in 5s" in line
    assert 'lock="restart"' in line
    (holder,) = unit.scope.status()["holders"]
    assert (holder["member"], holder["used"]) == (UNIT, None)
    assert unit.scope.acquire("restart", blocking=False) is None
    # In its next hook it is there.
    assert list(unit.idle()) == ["restart"]
    assert [entry["why"] for entry in unit.scope.history()] == ["released", "released"]


def test_one_that_was_started_in_a_hook_calls_outside_of_it(unit: Unit) -> None:
    held = unit.scope.acquire("restart")
    assert held is not None
    unit.ask()
    assert os.environ["JUJU_CONTEXT_ID"]
    command = [sys.executable, "-m", "coordinator", "agent", "--url", unit.url, "--scope", "fleet"]
    command += ["--member", UNIT, "--", str(unit.tools / "juju-exec"), "with its arguments", ""]
    with running(command) as process:
        until(unit.is_present)
        held.release()
        until(unit.calls)
        ((words, environment),) = unit.calls()
        assert words == ["with its arguments", ""]
        assert "JUJU_CONTEXT_ID" not in environment, "juju-exec refuses where it is set"
        process.terminate()
        assert process.wait(30) == 0


def test_a_call_that_fails_is_made_again_later_and_later(unit: Unit) -> None:
    held = unit.scope.acquire("restart")
    assert held is not None
    unit.ask()
    (unit.path / "ends").write_text("3")
    unit.keep()
    until(unit.is_present)
    held.release()
    until(lambda: "the next call is in 10s" in unit.log())
    assert len(unit.calls()) == 2
    log = unit.log()
    assert 'the call failed: exit status: 3, "said by the hook"' in log
    assert log.index("the next call is in 5s") < log.index("the next call is in 10s")
    assert [it["member"] for it in unit.scope.status()["holders"]] == [UNIT]
    # An agent that is new calls at once, for what is there; that the program is gone is told, too.
    (unit.tools / "juju-exec").unlink()
    os.kill(unit.agents()[0], signal.SIGKILL)
    until(lambda: "the call failed: it cannot be started" in unit.log())
    until(lambda: unit.log().count("the next call is in 5s") == 2)
