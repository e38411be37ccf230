"""Masterless minions of real Salt releases, each with a service that only pretends."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
BUILT = PROJECT / ".build" / "salt"
HERE = Path(__file__).parent
RELEASES = ("3006", "3008")
# Longer than any state here waits; a busy machine starts Salt in some seconds.
BOUND = 90
OURS, BESIDE = BUILT / "coordinator", BUILT / "beside"


class NotInstalled(RuntimeError):
    """An environment is missing; the message says how to make it."""


@dataclass(frozen=True)
class State:
    """What one state returned."""

    result: bool | None
    comment: str
    changes: dict[str, Any]


class States(dict[str, State]):
    """What a run returned, by the ids of its states."""

    @property
    def results(self) -> dict[str, bool | None]:
        """The results alone."""
        return {name: state.result for name, state in self.items()}


@dataclass
class Minion:
    """A minion in a directory of its own.

    Attributes:
        release: of Salt: 3006 or 3008.
        directory: its configuration, states, and what its service journals.
        hosts: of ZooKeeper.
        name: its id.
        providers: where its Python finds modules first: who offers ``zk_concurrency``.
        session_timeout: how soon ZooKeeper gives up a process that was killed: seconds.
        service: what its service does: `takes` so many seconds, looks who holds `lock` meanwhile.
        options: more for its configuration, or others instead.
        zookeeper: the text of a file that configures ZooKeeper, in place of what is here.
    """

    release: str
    directory: Path
    hosts: str
    name: str = "minion"
    providers: Sequence[Path] = (OURS,)
    session_timeout: float = 10
    service: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    zookeeper: str = ""

    def __post_init__(self) -> None:
        for needed in (BUILT / self.release / "installed", OURS, *self.providers):
            if not needed.exists():
                raise NotInstalled(f"{needed} is missing: run `make salt`")
        self.states = self.directory / "states"
        self.states.mkdir(parents=True, exist_ok=True)
        self.journal = self.directory / "journal"
        opts: dict[str, Any] = {
            "id": self.name,
            "root_dir": str(self.directory / "root"),
            "file_client": "local",
            "file_roots": {"base": [str(self.states)]},
            "module_dirs": [str(HERE / "fake" / "modules")],
            "zookeeper": {"hosts": self.hosts, "session_timeout": self.session_timeout},
            "fake_service": {
                "journal": str(self.journal),
                "directory": str(self.directory),
                **self.service,
            },
            "log_level": "error",
            "log_level_logfile": "quiet",
            "enable_fqdns_grains": False,
            "enable_gpu_grains": False,
            **self.options,
        }
        if self.zookeeper:
            del opts["zookeeper"]
            included = self.directory / "minion.d" / "zookeeper.conf"
            included.parent.mkdir(exist_ok=True)
            included.write_text(self.zookeeper)
        (self.directory / "minion").write_text(json.dumps(opts))

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes."""
        path = os.pathsep.join(map(str, self.providers))
        return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    @property
    def python(self) -> Path:
        """The Python that its Salt is in."""
        return BUILT / self.release / "bin" / "python"

    def command(self, function: str, *arguments: object, **named: object) -> list[str]:
        """The command line of a call."""
        given = [
            json.dumps(argument) if not isinstance(argument, str) else argument
            for argument in arguments
        ]
        given += [
            f"{key}={value if isinstance(value, str) else json.dumps(value)}"
            for key, value in named.items()
        ]
        salt_call = BUILT / self.release / "bin" / "salt-call"
        options = ["--local", "--retcode-passthrough", "--out=json", "-c", str(self.directory)]
        return [str(salt_call), *options, function, *given]

    def start(self, function: str, *arguments: object, **named: object) -> subprocess.Popen[str]:
        """Begin a call."""
        return subprocess.Popen(
            self.command(function, *arguments, **named),
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
        )

    def run(
        self, function: str, *arguments: object, **named: object
    ) -> subprocess.CompletedProcess[str]:
        """Make a call, and see how it ends."""
        return subprocess.run(
            self.command(function, *arguments, **named),
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=BOUND,
            cwd=self.directory,
            check=False,
        )

    def call(self, function: str, *arguments: object, **named: object) -> Any:
        """Make a call; what it returns."""
        done = self.run(function, *arguments, **named)
        return returned(done.stdout, done.stderr)

    def apply(self, text: str, **named: object) -> States:
        """Apply this text as an SLS file."""
        (self.states / "it.sls").write_text(text)
        return states(self.call("state.apply", "it", **named))

    def write(self, name: str, text: str) -> Path:
        """Give the states a file, as `salt://name`; where states put it."""
        (self.states / name).write_text(text)
        return self.directory / name

    def journaled(self) -> list[dict[str, Any]]:
        """What its service was told, and who held the lock then."""
        return list(read_journal(self.journal))


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a service's journal."""
    if path.exists():
        yield from (json.loads(line) for line in path.read_text().splitlines())


def returned(stdout: str, stderr: str) -> Any:
    """What a call printed."""
    assert "Traceback" not in stdout + stderr, stdout + stderr
    try:
        return json.loads(stdout)["local"]
    except (ValueError, KeyError):
        raise AssertionError(f"no answer: {stdout}\n{stderr}") from None


def states(answer: Any) -> States:
    """The states of what `state.apply` returned, in the order of their running."""
    assert isinstance(answer, dict), answer
    ordered = sorted(answer.values(), key=lambda state: state.get("__run_num__", 0))
    return States(
        (state["__id__"], State(state["result"], state["comment"], state["changes"]))
        for state in ordered
    )
