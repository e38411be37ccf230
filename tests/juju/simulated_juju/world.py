"""What all parts of a model share: clock, controller, chance, records and settings."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .charms import HookFunction
from .controller import Controller
from .environment import major
from .faults import FaultPlanner, Faults
from .records import Records
from .scheduler import Scheduler
from .tools import tool_names

if TYPE_CHECKING:
    from .agent import UnitAgent
    from .tool_server import ToolServer

Seconds = float | tuple[float, float]


class World:
    """The shared state of one simulated model. `problems` are raised as soon as it can be."""

    def __init__(
        self,
        *,
        seed: int,
        version: str,
        root: Path,
        faults: Faults,
        kubernetes: bool,
        peer_broken: bool,
        self_app_bag_event: bool,
        tool_seconds: Seconds,
        real_tool_seconds: float,
        hook_start_seconds: Seconds,
        watch_seconds: Seconds,
        update_status_seconds: float,
        keep_tool_calls: bool,
        exec_function: HookFunction | None,
        server: Callable[[World], ToolServer],
    ) -> None:
        self.version = version
        self.major = major(version)
        self.root = root
        self.kubernetes = kubernetes
        self.peer_broken = peer_broken
        self.self_app_bag_event = self_app_bag_event
        self.tool_seconds = tool_seconds
        self.real_tool_seconds = real_tool_seconds
        self.hook_start_seconds = hook_start_seconds
        self.watch_seconds = watch_seconds
        self.update_status_seconds = update_status_seconds
        self.exec_function = exec_function
        self.epoch = 1_700_000_000.0
        self.chance = random.Random(f"model {seed}")
        self.scheduler = Scheduler()
        self.records = Records(keep_tool_calls=keep_tool_calls)
        self.problems = self.records.problems
        self.planner = FaultPlanner(faults, random.Random(f"plans {seed}"))
        self.tools = frozenset(tool_names(self.major))
        self.controller = Controller(self._notify, lambda: self.scheduler.now, self_app_bag_event)
        self.agents: dict[str, UnitAgent] = {}
        self.machines: dict[str, MachineLock] = {}
        self._server: ToolServer | None = None
        self._make_server = server

    @property
    def server(self) -> ToolServer:
        """The sockets of real hook processes, made when first needed."""
        if self._server is None:
            self._server = self._make_server(self)
        return self._server

    @property
    def has_server(self) -> bool:
        """Whether any real hook process may be there."""
        return self._server is not None

    def between(self, seconds: Seconds) -> float:
        """Return a duration: fixed, or drawn from a range."""
        if isinstance(seconds, tuple):
            return self.chance.uniform(*seconds)
        return seconds

    def tool_delay(self) -> float:
        """How long one tool call takes."""
        return self.between(self.tool_seconds)

    def machine(self, name: str) -> MachineLock:
        """Return the lock of a machine."""
        return self.machines.setdefault(name, MachineLock(self.scheduler))

    def offer_lease(self, application: str) -> None:
        """Let the units of an application try to claim a lease that is free."""
        for agent in self.agents.values():
            if agent.application == application and agent.tracker.running:
                agent.later(self.chance.uniform(0.01, 1.5), agent.tracker.attempt)

    def unit_dead(self, name: str) -> None:
        """Take a unit that has run its last hook out of the model; its lease ends at once."""
        agent = self.agents[name]
        self.remove(name)
        lease = self.controller.applications[agent.application].lease
        if lease.holder == name:
            lease.holder = None
            self.offer_lease(agent.application)

    def remove(self, name: str) -> None:
        """Take a unit out of the model; its lease, if it has it, runs out by itself."""
        agent = self.agents.pop(name)
        record = self.controller.units[name]
        agent.gone = True
        record.life = "dead"
        agent.stop(None)
        for relation in self.controller.relations_of(agent.application):
            relation.departing.add(name)
            self.controller.leave_scope(relation, name)
        for interval in [item for item in self.records.open_work if item.unit == name]:
            self.records.end_work(self.scheduler.now, interval)
        del self.controller.units[name]
        agent.note("is removed")

    def _notify(self, unit: str, kind: str) -> None:
        agent = self.agents.get(unit)
        if agent is not None:
            agent.notify(kind)


class MachineLock:
    """One operation at a time on a machine, in the order of asking."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._holder: object | None = None
        self._waiting: list[tuple[object, Callable[[], None]]] = []

    def acquire(self, who: object, then: Callable[[], None]) -> None:
        """Call `then` once `who` has the lock."""
        if self._holder is None:
            self._holder = who
            then()
        else:
            self._waiting.append((who, then))

    def release(self, who: object) -> None:
        """Give up the lock, or the place in the queue."""
        self._waiting = [entry for entry in self._waiting if entry[0] is not who]
        if self._holder is who:
            self._holder = None
            if self._waiting:
                self._holder, then = self._waiting.pop(0)
                self._scheduler.after(0.0, then)
