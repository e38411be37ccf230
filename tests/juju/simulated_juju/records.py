"""What happened: every hook, tool call, guarded work and operation, in order.

A history names no path, process or wall clock, so two runs of one seed compare equal.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class ToolCall:
    """One hook tool call: what was asked, what came back and what it cost."""

    unit: str
    hook: str
    context_id: str
    argv: tuple[str, ...]
    code: int
    time: float
    milliseconds: float
    bytes_in: int
    bytes_out: int
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(slots=True)
class HookRecord:
    """One run of a hook, action or command; `outcome` is empty while it runs.

    Outcomes: `ok`, `failed`, `killed`, `commit failed`, `agent lost`.
    """

    unit: str
    hook: str
    context_id: str
    start: float
    end: float | None = None
    code: int | None = None
    outcome: str = ""
    tool_calls: int = 0
    relation_id: str = ""
    remote_unit: str = ""
    remote_application: str = ""
    departing_unit: str = ""
    kind: str = "hook"
    output: str = ""


@dataclass(slots=True)
class WorkInterval:
    """Guarded work of one unit over virtual time; `end` is None while it goes on."""

    unit: str
    name: str
    start: float
    end: float | None
    context_id: str

    @property
    def application(self) -> str:
        """The application of the unit that did the work."""
        return self.unit.partition("/")[0]


@dataclass(slots=True)
class Operation:
    """One line of the history: when, who, what."""

    time: float
    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.time:12.3f}  {self.subject:<12} {self.what}"


Listener = Callable[[Any], None]


EVENTS = frozenset(
    ("hook-start", "hook-end", "tool", "work-start", "work-end", "leader", "fault", "exec")
)


class Records:
    """The history of a model, its counters, and those who listen to it."""

    def __init__(self, *, keep_tool_calls: bool = True) -> None:
        self.operations: list[Operation] = []
        self.tool_calls: list[ToolCall] = []
        self.hooks_run: list[HookRecord] = []
        self.work: list[WorkInterval] = []
        self.open_work: list[WorkInterval] = []
        self.faults_fired: list[Operation] = []
        self.counters: Counter[str] = Counter()
        self.listeners: dict[str, list[Listener]] = {}
        self.problems: list[BaseException] = []
        self.keep_tool_calls = keep_tool_calls

    def listen(self, event: str, listener: Listener) -> None:
        """Call `listener(record)` at each `event`.

        Events are those in EVENTS.
        """
        if event not in EVENTS:
            raise ValueError(f"no event is called {event!r}; listen to one of {sorted(EVENTS)}")
        self.listeners.setdefault(event, []).append(listener)

    def tell(self, event: str, record: object) -> None:
        """Tell those who listen to `event`; what they raise stops the model, not a hook."""
        for listener in self.listeners.get(event, ()):
            try:
                listener(record)
            # What a listener raises, an assertion say, is the test's verdict.
            except BaseException as error:  # noqa: PERF203
                self.problems.append(error)

    def operation(self, time: float, subject: str, what: str) -> Operation:
        """Add one line to the history."""
        operation = Operation(time, subject, what)
        self.operations.append(operation)
        return operation

    def fault(self, time: float, subject: str, what: str) -> None:
        """Note that a fault happened."""
        operation = self.operation(time, subject, f"fault: {what}")
        self.faults_fired.append(operation)
        self.counters[f"fault {what.partition(':')[0]}"] += 1
        self.tell("fault", operation)

    def tool_call(self, call: ToolCall) -> None:
        """Note a tool call."""
        self.counters["tool calls"] += 1
        if self.keep_tool_calls:
            self.tool_calls.append(call)
        self.operations.append(
            Operation(call.time, call.unit, f"{shown(call.argv)} -> {call.code}")
        )
        if "tool" in self.listeners:
            self.tell("tool", call)

    def begin_work(self, time: float, unit: str, name: str, context_id: str) -> WorkInterval:
        """Note that a unit begins guarded work."""
        interval = WorkInterval(unit, name, time, None, context_id)
        self.work.append(interval)
        self.open_work.append(interval)
        self.operation(time, unit, f"work {name} begins")
        self.tell("work-start", interval)
        return interval

    def end_work(self, time: float, interval: WorkInterval) -> None:
        """Note that guarded work ended, by itself or because its process died."""
        if interval.end is None:
            interval.end = time
            self.open_work = [other for other in self.open_work if other is not interval]
            self.operation(time, interval.unit, f"work {interval.name} ends")
            self.tell("work-end", interval)

    def most_at_once(self, name: str | None = None, application: str | None = None) -> int:
        """How many different units were doing guarded work at one instant, at the most.

        An interval that ends when another starts does not overlap it.
        """
        edges: list[tuple[float, int, str]] = []
        for interval in self.work:
            if name is not None and interval.name != name:
                continue
            if application is not None and interval.application != application:
                continue
            if interval.end == interval.start:
                continue
            edges.append((interval.start, 1, interval.unit))
            if interval.end is not None:
                edges.append((interval.end, -1, interval.unit))
        edges.sort(key=lambda edge: (edge[0], edge[1]))
        busy: Counter[str] = Counter()
        most = 0
        for _, change, unit in edges:
            busy[unit] += change
            if busy[unit] <= 0:
                del busy[unit]
            most = max(most, len(busy))
        return most

    def history(self) -> list[str]:
        """Every operation as one line of text."""
        return [str(operation) for operation in self.operations]

    def digest(self) -> str:
        """Return a fingerprint of the history: equal for equal histories."""
        fingerprint = hashlib.sha256()
        for line in self.history():
            fingerprint.update(line.encode())
            fingerprint.update(b"\n")
        return fingerprint.hexdigest()


def shown(argv: tuple[str, ...]) -> str:
    """Return a command line as it stands in the history: names of temporary files are left out."""
    words = list(argv)
    for position, word in enumerate(words):
        if word == "--file" and position + 1 < len(words) and words[position + 1] != "-":
            words[position + 1] = "FILE"
    return " ".join(word if len(word) < 400 else word[:397] + "..." for word in words)
