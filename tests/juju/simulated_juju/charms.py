"""What a unit runs: a Python function, or a charm directory with real hook processes.

Both kinds produce the same steps: the hook runs until it calls a tool, does guarded work or
ends, and then waits until the simulation lets it go on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .tools import ToolResult

if TYPE_CHECKING:
    from .execution import Execution


@dataclass(slots=True)
class ToolStep:
    """The hook calls a tool and waits for the answer."""

    argv: list[str]
    stdin: bytes | None
    directory: str


@dataclass(slots=True)
class WorkStep:
    """The hook does guarded work; `seconds` is None to begin it and go on, negative to end it."""

    name: str
    seconds: float | None


@dataclass(slots=True)
class SleepStep:
    """The hook lets virtual time pass."""

    seconds: float


@dataclass(slots=True)
class ExitStep:
    """The hook has ended."""

    code: int
    output: str = ""


Step = ToolStep | WorkStep | SleepStep | ExitStep


class Runner(Protocol):
    """A hook in progress."""

    def resume(self, reply: ToolResult | None) -> Step:
        """Let the hook go on with the answer to its last step until its next one."""

    def kill(self) -> None:
        """End the hook at once, as SIGKILL does."""

    def fail(self) -> None:
        """End the hook at its present step with exit code 1."""


class Charm(Protocol):
    """Something that can be deployed."""

    def install(self, directory: Path) -> None:
        """Put the charm's files into a unit's charm directory, replacing an earlier charm."""

    def handles(self, directory: Path, path: str) -> bool:
        """Whether the charm has anything to run for `hooks/...` or `actions/...`."""

    def start(self, execution: Execution) -> Runner:
        """Make ready to run one hook."""


HookFunction = Callable[["Hook"], None]


class Hook:
    """What a hook function is given: its environment, the hook tools and the virtual clock."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self.environment = execution.environment
        self.name = execution.record.hook
        self.unit = execution.record.unit
        self.kind = execution.record.kind
        # What belongs to this one run, such as the globals that enter and leave swap.
        self.local: dict[str, Any] = {}

    @property
    def charm_dir(self) -> Path:
        """The unit's own directory, made when first asked for: disks are slower than hooks."""
        directory = self._execution.charm_dir
        if not directory.exists():
            directory.mkdir(parents=True)
        return directory

    def tool(self, argv: list[str], stdin: bytes | None = None) -> ToolResult:
        """Run a hook tool as the hook's child process would; other units may run meanwhile.

        Raises FileNotFoundError if this Juju has no such tool.
        """
        return self._execution.call_tool(argv, stdin, str(self._execution.charm_dir))

    def work(self, name: str, seconds: float) -> None:
        """Do guarded work called `name` for `seconds` of virtual time."""
        self._execution.call(WorkStep(name, max(0.0, seconds)))

    def begin_work(self, name: str) -> None:
        """Begin guarded work that may outlast this hook."""
        self._execution.call(WorkStep(name, None))

    def end_work(self, name: str) -> None:
        """End guarded work that this unit began."""
        self._execution.call(WorkStep(name, -1.0))

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass without guarded work."""
        self._execution.call(SleepStep(seconds))

    def monotonic(self) -> float:
        """Virtual seconds since the model began."""
        return self._execution.now()

    def wall_clock(self) -> float:
        """Seconds since 1970 by this unit's own, perhaps skewed, clock."""
        return self._execution.wall_clock()


@dataclass
class FunctionCharm:
    """A charm that is one Python function, run in-process; raising is exit code 1.

    `enter` and `leave` are called whenever the hook gets and gives up its turn, so that
    process-global state can be swapped in and out. `files` are put into each charm directory.
    """

    function: HookFunction
    enter: HookFunction | None = None
    leave: HookFunction | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def install(self, directory: Path) -> None:
        """Write the files."""
        for name, text in self.files.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def handles(self, directory: Path, path: str) -> bool:
        """Say yes: a function is called for every hook."""
        return True

    def start(self, execution: Execution) -> Runner:
        """Run the function in a thread that holds the turn only while the hook runs."""
        from .runner_function import FunctionRunner

        return FunctionRunner(self, execution)


@dataclass
class DirectoryCharm:
    """A charm directory: `dispatch` or `hooks/NAME` run as real processes.

    `stdout_to_log` keeps what hooks print in their records.
    """

    path: str | os.PathLike[str]
    stdout_to_log: bool = True

    def install(self, directory: Path) -> None:
        """Copy the directory. Files that hooks made stay, as they do in a Juju upgrade."""
        source = Path(self.path)
        if not source.is_dir():
            raise FileNotFoundError(f"no charm directory {source}: build the charm first")
        shutil.copytree(source, directory, symlinks=True, dirs_exist_ok=True)

    def handles(self, directory: Path, path: str) -> bool:
        """Whether there is a `dispatch` or the very script."""
        return (directory / "dispatch").exists() or (directory / path).exists()

    def start(self, execution: Execution) -> Runner:
        """Start the process when the hook is first resumed."""
        from .runner_process import ProcessRunner

        return ProcessRunner(self, execution)
