"""Runs a hook as a real process, which stands still whenever it waits for a tool.

The simulation goes on only when the process is blocked in a call or has ended, so real speed has
no influence on the history.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .charms import DirectoryCharm, ExitStep, Step, ToolStep, WorkStep
from .tool_server import Request
from .tools import ToolResult

if TYPE_CHECKING:
    from .execution import Execution

GUARDED_WORK_USAGE = b"ERROR usage: guarded-work NAME SECONDS | --begin NAME | --end NAME\n"


class ProcessRunner:
    """One run of a hook script."""

    def __init__(self, charm: DirectoryCharm, execution: Execution) -> None:
        self._charm = charm
        self._execution = execution
        self._process: subprocess.Popen[bytes] | None = None
        self._descriptor = -1
        self._request: Request | None = None
        self._output: IO[bytes] | None = None
        self._script: Path | None = None

    def resume(self, reply: ToolResult | None) -> Step:
        """Answer the process's call and wait for its next one or its end."""
        if self._process is None:
            self._start()
        elif self._request is not None:
            self._request.answer(reply or ToolResult(0))
            self._request = None
        execution = self._execution
        server = execution.world.server
        while True:
            request = server.next_request(
                execution.record.unit, execution.context.identifier, self._descriptor
            )
            if request is None:
                return self._exit()
            step = as_step(request)
            if step is not None:
                self._request = request
                return step
            request.answer(ToolResult(2, b"", GUARDED_WORK_USAGE))

    def kill(self) -> None:
        """SIGKILL to the hook and all its children that did not leave its process group."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._process is not None:
            self._exit()

    def fail(self) -> None:
        """End the hook at this step; to its agent that is exit code 1."""
        self.kill()

    def _start(self) -> None:
        execution = self._execution
        directory = execution.charm_dir
        directory.mkdir(parents=True, exist_ok=True)
        if execution.command is not None:
            name = execution.context.identifier.replace("/", "-")
            self._script = execution.world.root / "run" / f"{name}.sh"
            self._script.write_text(execution.command)
            argv = ["/bin/bash", str(self._script)]
        else:
            path = execution.environment["JUJU_DISPATCH_PATH"]
            dispatch = directory / "dispatch"
            argv = [str(dispatch if dispatch.exists() else directory / path)]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the hook has ended
        try:
            self._process = subprocess.Popen(
                argv,
                cwd=directory,
                env=execution.environment,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._output.close()
            raise RuntimeError(
                f"cannot run {argv[0]}: {error.strerror}; is it executable?"
            ) from error
        self._descriptor = os.pidfd_open(self._process.pid)

    def _exit(self) -> ExitStep:
        assert self._process is not None
        code = self._process.wait()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._request is not None:
            self._request.connection.close()
            self._request = None
        output = ""
        if self._output is not None:
            if self._charm.stdout_to_log:
                self._output.seek(0)
                output = self._output.read().decode(errors="replace")
            self._output.close()
            self._output = None
        if self._script is not None:
            self._script.unlink(missing_ok=True)
        return ExitStep(code if code >= 0 else 128 - code, output)


def as_step(request: Request) -> Step | None:
    """Return what a process asks for; None if it is not well put."""
    if request.argv[0] != "guarded-work":
        return ToolStep(request.argv, request.stdin, request.directory)
    words = request.argv[1:]
    if len(words) != 2:
        return None
    if words[0] in ("--begin", "--end"):
        return WorkStep(words[1], None if words[0] == "--begin" else -1.0)
    try:
        return WorkStep(words[0], max(0.0, float(words[1])))
    except ValueError:
        return None
