"""The machine of a unit: its directory, what is on its PATH, and the agent that runs there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import coordinator
from coordinator import juju
from coordinator.juju import agent
from fresh_juju import World, swapped_globals

UNIT = "app/1"
# Says how it was called, and ends as the test wants.
JUJU_EXEC = """\
#!{python}
import json, os, pathlib, sys
directory = pathlib.Path({directory!r})
environment = {{name: os.environ.get(name) for name in os.environ if "J" in name or "COO" in name}}
with (directory / "calls").open("a") as calls:
    calls.write(json.dumps([sys.argv[1:], environment]) + "\\n")
print("said by the hook", file=sys.stderr)
sys.exit(int((directory / "ends").read_text()))
"""
SYSTEMCTL = """\
#!/bin/sh
echo "$@" >> {directory}/systemctl
! grep -qsx -e "$1" {directory}/failing
"""


class Unit:
    """A unit's machine: its directory, what is on its PATH, and its scope in a store."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.monkeypatch = path, monkeypatch
        self.directory = path / "coordinator"
        self.config = self.directory / "agent.json"
        self.url = f"embedded:{path}/store"
        self.backend = juju.Backend(self.url, "fleet")
        self.tools = path / "bin"
        self.tools.mkdir()
        self.program("juju-exec", JUJU_EXEC.format(python=sys.executable, directory=str(path)))
        (path / "ends").write_text("0")
        monkeypatch.setenv("PATH", f"{self.tools}:/usr/bin:/bin")
        monkeypatch.setenv("JUJU_UNIT_NAME", UNIT)
        monkeypatch.setenv("JUJU_CONTEXT_ID", "app/1-config-changed-1")
        monkeypatch.setattr(agent, "SYSTEMD", path / "no-systemd")
        monkeypatch.setattr(agent, "UNITS", path)
        self.client = coordinator.connect(self.url, identifier="web1")
        self.scope = self.client.scope("fleet")

    def program(self, name: str, text: str) -> None:
        (self.tools / name).write_text(text)
        (self.tools / name).chmod(0o755)

    def keep(self, **options: Any) -> None:
        """Do what the layer does at the end of each hook."""
        agent.keep(replace(self.backend, **options), "fleet", UNIT, self.directory)

    def processes(self, word: str) -> list[int]:
        """The agents, or their supervisors, that run with these settings."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if word in words and str(self.config) in words:
                found.append(int(process.name))
        return found

    def agents(self) -> list[int]:
        return self.processes("--supervised")

    def is_present(self, scope: str = "fleet") -> bool:
        """Whether the unit's agent is in the scope."""
        members = self.client.scope(scope).status()["members"] if self.has(scope) else []
        return any(it["member"] == UNIT and it["agent"] for it in members)

    def has(self, scope: str) -> bool:
        try:
            self.client.scope(scope).status()
        except coordinator.Invalid:
            return False
        return True

    def log(self) -> str:
        return (self.directory / "agent.log").read_text()

    def calls(self) -> list[tuple[list[str], dict[str, str]]]:
        calls = self.path / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [tuple(json.loads(line)) for line in lines]

    def ask(self) -> None:
        """Let the unit ask for the lock in a hook, as one of two units of its application."""
        units = self.path / "units"
        units.mkdir(exist_ok=True)
        backend = self.backend

        def make() -> Any:
            return juju.Serial(peer_relation_name="coordinator", backend=backend)

        with swapped_globals():
            self.world = World(["app/0", UNIT], make, units)
            self.world.start()
            self.world.ask(UNIT, "restart")

    def idle(self) -> dict[str, str]:
        """Let the unit run a hook, and tell what it held in it."""
        with swapped_globals():
            return self.world.idle(UNIT).at_start

    def close(self) -> None:
        self.config.unlink(missing_ok=True)
        for process in self.processes("--supervise") + self.processes("agent"):
            os.kill(process, signal.SIGKILL)
        # One that is never waited for is warned of when the interpreter ends.
        while agent._started:
            agent._started.pop().wait(30)
        self.client.close()


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for as long as a block lasts."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()
