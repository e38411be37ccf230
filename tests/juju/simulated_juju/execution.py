"""A hook in progress: takes its steps one after another in virtual time.

Every tool call, sleep and piece of guarded work is a point at which other units may run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .charms import Charm, ExitStep, Runner, SleepStep, Step, ToolStep, WorkStep
from .faults import HookPlan
from .hook_context import HookContext
from .records import HookRecord, ToolCall, WorkInterval
from .scheduler import Event
from .tools import TOOLS, Call, NeedsStandardInput, ToolResult, run_tool
from .world import World

STDIN_NEEDED = -1


class Execution:
    """One run of a hook, action or command; tells `ended(code, killed)` when it is over."""

    def __init__(
        self,
        world: World,
        context: HookContext,
        record: HookRecord,
        environment: dict[str, str],
        charm_dir: Path,
        *,
        plan: HookPlan,
        clock_offset: float,
        cut_off: Callable[[], bool],
        ended: Callable[[int, bool], None],
        command: str | None = None,
    ) -> None:
        self.world = world
        self.context = context
        self.record = record
        self.environment = environment
        self.charm_dir = charm_dir
        self.command = command
        self.call: Callable[[Step], ToolResult | None] = self._no_runner
        self._plan = plan
        self._clock_offset = clock_offset
        self._cut_off = cut_off
        self._ended = ended
        self._runner: Runner | None = None
        self._event: Event | None = None
        self._planned: tuple[Step, float, str] | None = None
        self._work: WorkInterval | None = None
        self._step_began = 0.0
        self._over = False

    def begin(self, charm: Charm) -> None:
        """Start the hook."""
        self._runner = charm.start(self)
        self._advance(None)

    def now(self) -> float:
        """Virtual seconds since the model began."""
        return self.world.scheduler.now

    def wall_clock(self) -> float:
        """Return the unit's own clock."""
        return self.world.epoch + self.world.scheduler.now + self._clock_offset

    def kill(self) -> None:
        """SIGKILL: the hook ends here; `ended` is not told."""
        if not self._over:
            self._over = True
            self.context.closed = True
            self.world.scheduler.cancel(self._event)
            if self._runner is not None:
                self._runner.kill()
            self._end_work()

    def call_tool(self, argv: list[str], stdin: bytes | None, directory: str) -> ToolResult:
        """Call a tool for a hook function."""
        if not argv or argv[0] not in self.world.tools:
            raise FileNotFoundError(2, "No such file or directory", argv[0] if argv else "")
        reply = self.call(ToolStep(list(argv), stdin, directory))
        assert reply is not None
        if reply.code == STDIN_NEEDED:
            reply = self.call(ToolStep(list(argv), b"", directory))
            assert reply is not None
        return reply

    def take_inline(self, step: Step) -> tuple[bool, ToolResult | None]:
        """Take a step without giving up the turn, if nothing else is due before its answer."""
        try:
            due, fault = self._decide(step)
            if fault or not self.world.scheduler.advance_inline(due):
                return False, None
            return True, self._perform(step)
        except Exception as error:  # A broken simulator must not look like a failing hook.
            self.world.problems.append(error)
            raise

    def _advance(self, reply: ToolResult | None) -> None:
        assert self._runner is not None
        while True:
            step = self._runner.resume(reply)
            if self.world.problems:
                return
            if isinstance(step, ExitStep):
                self.record.output = step.output
                self._finish(step.code, killed=False)
                return
            due, fault = self._decide(step)
            if fault:
                self._strike(fault)
                return
            if not self.world.scheduler.advance_inline(due):
                self._event = self.world.scheduler.at(due, partial(self._complete, step))
                return
            reply = self._perform(step)

    def _complete(self, step: Step) -> None:
        self._event = None
        self._advance(self._perform(step))

    def _decide(self, step: Step) -> tuple[float, str]:
        """When a step is done, and whether a fault strikes instead; the same if asked twice."""
        if self._planned is not None and self._planned[0] is step:
            return self._planned[1], self._planned[2]
        now = self.world.scheduler.now
        self._step_began = now
        due, fault = now, ""
        if isinstance(step, ToolStep):
            self.record.tool_calls += 1
            if self._plan.end and self.record.tool_calls == self._plan.at_tool:
                fault = self._plan.end
            due = now + self.world.tool_delay()
        elif isinstance(step, SleepStep):
            due = now + step.seconds
        elif isinstance(step, WorkStep):
            due = self._begin_work(step, now)
        self._planned = (step, due, fault)
        return due, fault

    def _begin_work(self, step: WorkStep, now: float) -> float:
        records, unit = self.world.records, self.record.unit
        if step.seconds is not None and step.seconds < 0:
            for interval in list(records.open_work):
                if interval.unit == unit and interval.name == step.name:
                    records.end_work(now, interval)
            return now
        interval = records.begin_work(now, unit, step.name, self.context.identifier)
        if step.seconds is None:
            return now
        self._work = interval
        return now + step.seconds

    def _end_work(self) -> None:
        if self._work is not None:
            self.world.records.end_work(self.world.scheduler.now, self._work)
            self._work = None

    def _perform(self, step: Step) -> ToolResult | None:
        self._planned = None
        if isinstance(step, ToolStep):
            return self._tool(step)
        self._end_work()
        return None

    def _tool(self, step: ToolStep) -> ToolResult:
        world = self.world
        if world.real_tool_seconds:
            time.sleep(world.real_tool_seconds)
        result = self.answer(step)
        world.records.tool_call(
            ToolCall(
                self.record.unit,
                self.record.hook,
                self.context.identifier,
                tuple(step.argv),
                result.code,
                world.scheduler.now,
                (world.scheduler.now - self._step_began) * 1000,
                sum(len(word) for word in step.argv) + len(step.stdin or b""),
                len(result.stdout) + len(result.stderr),
                result.stdout,
                result.stderr,
            )
        )
        return result

    def answer(self, step: ToolStep) -> ToolResult:
        """Run a tool and record nothing.

        So too for a call that a hook's thread makes while the hook waits for something else: when
        it comes depends on the real clock, and histories do not.
        """
        if self.context.closed:
            return ToolResult(1, b"", b"ERROR the hook this tool was called from has ended\n")
        if step.argv[0] not in TOOLS:
            return ToolResult(1, b"", f"ERROR unknown command {step.argv[0]!r}\n".encode())
        if self._cut_off():
            return ToolResult(1, b"", b"ERROR connection is shut down\n")
        try:
            return run_tool(
                Call(self.context, step.directory, step.stdin, self.world.epoch), step.argv
            )
        except NeedsStandardInput:
            return ToolResult(STDIN_NEEDED, b"", b"hook tool requires stdin, none supplied")

    def _strike(self, fault: str) -> None:
        assert self._runner is not None
        self.world.records.fault(
            self.world.scheduler.now,
            self.record.unit,
            f"{fault}: {self.record.hook} at tool call {self.record.tool_calls}",
        )
        if fault == "hook-kill":
            self._runner.kill()
            self._end_work()
            self._finish(137, killed=True)
        else:
            self._runner.fail()
            self._finish(1, killed=False)

    def _finish(self, code: int, *, killed: bool) -> None:
        if not self._over:
            self._over = True
            self.context.closed = True
            self._ended(code, killed)

    def _no_runner(self, step: Step) -> ToolResult | None:
        raise RuntimeError(f"{self.record.hook} has not been started, yet takes a step: {step}")
