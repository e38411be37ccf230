"""The agent of a member, as a process, with all that it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

import coordinator
from coordinator import juju
from rolling import PEERS, Work, our_charm
from simulated_juju import FunctionCharm, Hook, Model
from simulated_juju.environment import MODEL_UUID
from waiting import until

SCOPE = "fleet"
MEMBER = f"simulated-{MODEL_UUID[:8]}:app/0"


class AgentProcess:
    """An agent that writes a line to a file whenever it calls its member.

    Attributes:
        directory: where it keeps its settings, its log and the calls.
    """

    def __init__(self, directory: Path, url: str, **settings: Any) -> None:
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        self.configure(url=url, **settings)

    @property
    def config(self) -> Path:
        return self.directory / "agent.json"

    def configure(self, **settings: Any) -> None:
        """Write its settings anew, which it follows."""
        command = ["/bin/sh", "-c", f'echo "$COORDINATOR_LOCKS" >> {self.directory}/calls']
        made = {"version": 1, "scope": SCOPE, "member": MEMBER, "command": command}
        made |= {"session_timeout": 2.0, "connect_timeout": 2.0, **settings}
        beside = self.config.with_suffix(".new")
        beside.write_text(json.dumps(made))
        beside.replace(self.config)

    def start(self) -> None:
        command = [sys.executable, "-m", "coordinator", "agent", "--config", str(self.config)]
        with (self.directory / "agent.log").open("a") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def log(self) -> str:
        return (self.directory / "agent.log").read_text()

    def calls(self) -> list[str]:
        calls = self.directory / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self) -> None:
        """Kill it, without a word."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.signal(signal.SIGCONT)
        self.end()


def is_present(client: coordinator.Client) -> bool:
    """Whether the agent is in its scope, as `client` sees it."""
    try:
        members = client.scope(SCOPE).status()["members"]
    except coordinator.Invalid:
        return False
    return any(member["member"] == MEMBER and member["agent"] for member in members)


def await_present(client: coordinator.Client, *, present: bool = True) -> None:
    until(lambda: is_present(client) is present)


def children_of(process: int) -> list[str]:
    """The command lines of a process and of those that it has started."""
    shown = subprocess.run(
        ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in shown.stdout.splitlines()[1:]]
    return [row[2] for row in rows if str(process) in row[:2]]


def environment_of(process: int) -> str:
    """The environment of a process, as root sees it."""
    return os.fsdecode(Path(f"/proc/{process}/environ").read_bytes())


class JujuUnit:
    """The agent's member: a unit of a simulated Juju, which restarts once when it is told to."""

    def __init__(self, url: str, auth: str | None = None) -> None:
        self.model = Model(seed=1)
        backend = juju.Backend(url, SCOPE, auth=auth)

        def make(**arguments: Any) -> Any:
            return juju.Serial(backend=backend, **arguments)

        base = our_charm(make, work=Work((1.0, 1.0), long_share=0.0))
        charm = replace(base, function=without_session(base))
        config = {"revision": 0}
        self.app = self.model.deploy("app", charm, units=1, peers=PEERS, config=config)
        self.model.settle()

    def ask(self) -> None:
        """Let it have a hook in which it asks for its lock."""
        self.app.configure(revision=1)
        self.model.settle()

    def works(self) -> int:
        """How often it has had it, once it has run a hook of its own."""
        self.model.run(minutes=7)
        return len(self.model.work)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.model.close()


def without_session(charm: FunctionCharm) -> Callable[[Hook], None]:
    """The hooks of a charm, each of which ends with its sessions, as a process does."""

    def function(hook: Hook) -> None:
        try:
            charm.function(hook)
        finally:
            for coordinator in hook.local["instances"].values():
                coordinator._hook.say_goodbye()

    return function
