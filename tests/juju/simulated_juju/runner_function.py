"""Runs a hook function in a thread of its own, one thread at a time.

A baton passes between the simulation and the hook: whoever has it runs. When nothing else is due
before a step's answer, the hook goes on without handing the baton over.
"""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from .charms import ExitStep, FunctionCharm, Hook, Step
from .tools import ToolResult

if TYPE_CHECKING:
    from .execution import Execution


class HookKilled(BaseException):
    """Unwinds a hook function whose process would have been killed."""


class HookStopped(BaseException):
    """Unwinds a hook function that exits with code 1 at a chosen step."""


class Worker:
    """A thread that runs one function after another."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, daemon=True, name="simulated-hook")
        self.thread.start()

    def _run(self) -> None:
        while (job := self.jobs.get()) is not None:
            job()


# Threads are kept for the next hook: starting one costs more than a short hook does.
IDLE: list[Worker] = []


class FunctionRunner:
    """One run of a hook function."""

    def __init__(self, charm: FunctionCharm, execution: Execution) -> None:
        self._charm = charm
        self._execution = execution
        self._hook = Hook(execution)
        self._to_hook = threading.Lock()
        self._to_hook.acquire()
        self._to_model = threading.Lock()
        self._to_model.acquire()
        self._step: Step | None = None
        self._reply: ToolResult | None = None
        self._raise: BaseException | None = None
        self._worker: Worker | None = None
        self._ended = False
        execution.call = self.call

    def resume(self, reply: ToolResult | None) -> Step:
        """Pass the baton to the hook and wait until it comes back."""
        self._reply = reply
        if self._worker is None:
            self._worker = IDLE.pop() if IDLE else Worker()
            self._worker.jobs.put(self._run)
        else:
            self._to_hook.release()
        self._to_model.acquire()
        assert self._step is not None
        if self._ended:
            IDLE.append(self._worker)
        return self._step

    def kill(self) -> None:
        """Unwind the function; a tool it calls on its way out is not run."""
        self._unwind(HookKilled())

    def fail(self) -> None:
        """Unwind the function as `sys.exit(1)` at its present step would."""
        self._unwind(HookStopped())

    def call(self, step: Step) -> ToolResult | None:
        """Take a step of the hook, in the hook's thread, and return its answer."""
        if self._raise is not None:
            raise self._raise
        if self._ended:
            return ToolResult(1, b"", b"ERROR the hook this tool was called from has ended\n")
        done, reply = self._execution.take_inline(step)
        if not done:
            if self._charm.leave is not None:
                self._charm.leave(self._hook)
            self._step = step
            self._to_model.release()
            self._to_hook.acquire()
            if self._charm.enter is not None:
                self._charm.enter(self._hook)
            reply = self._reply
        if self._raise is not None:
            raise self._raise
        return reply

    def _unwind(self, error: BaseException) -> None:
        self._raise = error
        if self._worker is not None and not self._ended and self._step is not None:
            self.resume(None)

    def _run(self) -> None:
        code = 1
        output = ""
        try:
            if self._charm.enter is not None:
                self._charm.enter(self._hook)
            try:
                self._charm.function(self._hook)
                code = 0
            finally:
                if self._charm.leave is not None:
                    self._charm.leave(self._hook)
        except (HookKilled, HookStopped):
            code = 1
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        # Whatever a charm raises ends this hook, never the simulation.
        except BaseException:
            output = traceback.format_exc()
        # What belonged to the run may refer back to it in ways that a collector does not see, as a
        # compiled module does that was given a tool to call: then the whole model would stay.
        self._hook.local.clear()
        self._raise = None
        self._step = ExitStep(code, output)
        self._ended = True
        self._to_model.release()
