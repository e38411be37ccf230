"""What each unit of the demo does, gathered from the simulation while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from simulated_juju import HookRecord, Model, ToolCall, WorkInterval

PEER_RELATION = "coordinator"
LEDGER = "coordinator-ledger"
INSTALLING, READY, WAITING, RESTARTING, DONE = (
    "installing",
    "ready",
    "waiting",
    "restarting",
    "done",
)


@dataclass
class Progress:
    """How far one unit is. Times are virtual seconds since the configuration changed."""

    unit: str
    state: str = INSTALLING
    turn: int | None = None
    token: int | None = None
    waits_since: float | None = None
    began: float | None = None
    ended: float | None = None
    restarts: int = 0
    failures: int = 0
    hooks: int = 0
    tools: int = 0
    current_hook: str = ""


@dataclass
class Roll:
    """The units of one application in one roll. `tell` is called with a line for every event."""

    model: Model
    application: str
    tell: Callable[[str], None] = print
    units: dict[str, Progress] = field(default_factory=dict)
    started: float | None = None
    _context: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model.listen("hook-start", self._hook_starts)
        self.model.listen("hook-end", self._hook_ends)
        self.model.listen("tool", self._tool_called)
        self.model.listen("work-start", self._work_starts)
        self.model.listen("work-end", self._work_ends)

    def begin(self) -> None:
        """Let the roll begin now: everything before it was deployment."""
        self.started = self.model.now
        names = [unit.name for unit in self.model.applications[self.application].units]
        self.units = {name: Progress(name, READY) for name in names}

    @property
    def clock(self) -> float:
        """Virtual seconds since the roll began, or since the model did."""
        return self.model.now - (self.started or 0.0)

    @property
    def hooks(self) -> int:
        return sum(unit.hooks for unit in self.units.values())

    @property
    def tools(self) -> int:
        return sum(unit.tools for unit in self.units.values())

    @property
    def most_at_once(self) -> int:
        """How many units restarted at one instant, at the most."""
        return self.model.most_at_once(application=self.application)

    @property
    def finished(self) -> float:
        """When the last restart had ended."""
        return max((unit.ended or 0.0 for unit in self.units.values()), default=0.0)

    def is_leader(self, unit: str) -> bool:
        return self.model.leader(self.application) == unit

    def place(self, unit: str) -> int | None:
        """Return how many the leader lets go before `unit`, if it has put the unit in line."""
        line = [grant["member"] for grant in self._ledger().get("grants", [])]
        return line.index(unit) if unit in line else None

    def problems(self) -> Iterator[str]:
        """Say what is wrong with a roll that is over; nothing if it went as promised."""
        for unit in self.units.values():
            if unit.restarts != 1:
                times = "never" if unit.restarts == 0 else f"{unit.restarts} times"
                yield f"{unit.unit} restarted {times}"
            if unit.failures:
                yield f"{unit.failures} hooks of {unit.unit} failed"
        if self.most_at_once > 1:
            yield f"{self.most_at_once} units restarted at once"

    def _ledger(self) -> dict[str, list[dict[str, object]]]:
        application = self.model.applications[self.application]
        ledger: dict[str, list[dict[str, object]]] = json.loads(
            application.databag(PEER_RELATION).get(LEDGER, "{}")
        )
        return ledger

    def _unit(self, name: str) -> Progress:
        return self.units.setdefault(name, Progress(name))

    def _hook_starts(self, record: HookRecord) -> None:
        unit = self._unit(record.unit)
        unit.hooks += 1
        unit.current_hook = record.hook

    def _hook_ends(self, record: HookRecord) -> None:
        unit = self._unit(record.unit)
        unit.current_hook = ""
        if record.outcome != "ok":
            unit.failures += 1
            self.tell(f"{record.unit}: {record.hook} failed: {record.outcome}")
            for line in record.output.splitlines()[-12:]:
                self.tell(f"    {line}")
        elif record.hook == "start" and self.started is None:
            unit.state = READY
            self.tell(f"{record.unit} is installed")
        if self._context.get(record.unit) == record.context_id:
            del self._context[record.unit]
            unit.state = DONE if record.outcome == "ok" else WAITING

    def _tool_called(self, call: ToolCall) -> None:
        unit = self._unit(call.unit)
        unit.tools += 1
        if self.started is not None and call.argv[:2] == ("status-set", "waiting"):
            unit.state = WAITING
            unit.waits_since = self.clock
            self.tell(f"{call.unit} has its new configuration and waits for its turn")

    def _work_starts(self, work: WorkInterval) -> None:
        unit = self._unit(work.unit)
        unit.state = RESTARTING
        unit.began = self.clock
        unit.ended = None
        unit.restarts += 1
        unit.turn = sum(other.restarts for other in self.units.values())
        unit.token = self._token(work.unit)
        self._context[work.unit] = work.context_id
        token = f", token {unit.token}" if unit.token is not None else ""
        self.tell(f"{work.unit} restarts: turn {unit.turn} of {len(self.units)}{token}")

    def _work_ends(self, work: WorkInterval) -> None:
        unit = self._unit(work.unit)
        unit.ended = self.clock
        self.tell(f"{work.unit} is back after {(work.end or 0.0) - work.start:.0f} s")

    def _token(self, unit: str) -> int | None:
        # A leader that is granted its own lock within its hook has not published it yet.
        for grant in self._ledger().get("grants", []):
            token = grant["token"]
            if grant["member"] == unit and isinstance(token, int):
                return token
        return None
