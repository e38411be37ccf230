"""Faults that come by the clock rather than in a hook: outages, partitions, leadership, churn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Model

HOUR = 3600.0
LARGEST_GROWTH = 3
# A unit whose agent is down for good never leads: passing leadership to it is given up then.
LONGEST_WAIT = 600.0


class Chaos:
    """Draws when timed faults strike, for as long as faults are active."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._faults = model.faults
        self._planner = model.world.planner
        self._chance = model.world.planner.chance
        self._largest = 0
        self._turns: dict[str, int] = {}

    def watch_unit(self, name: str) -> None:
        """Let outages and partitions strike a unit from now on."""
        self._repeat(self._faults.agent_outage, lambda: self._outage(name))
        self._repeat(self._faults.partition, lambda: self._partition(name))

    def watch_application(self, name: str) -> None:
        """Let lease bounces and churn strike an application from now on."""
        self._largest = len(self._model.units()) + LARGEST_GROWTH
        self._repeat(self._faults.lease_bounce, lambda: self._bounce(name))
        self._repeat(self._faults.unit_added, lambda: self._add(name))
        self._repeat(self._faults.unit_removed, lambda: self._remove(name))

    def hand_leadership(self, application: str, *units: str) -> None:
        """Pass the lease to each unit in turn, then let everybody claim it again."""
        world = self._model.world
        rest = list(units)
        self._turns[application] = turn = self._turns.get(application, 0) + 1
        give_up = world.scheduler.now + LONGEST_WAIT * len(units)

        def next_unit() -> None:
            if self._turns[application] != turn:
                return
            if not rest:
                stall(None)
                return
            stall(rest[0])
            await_leader()

        def await_leader() -> None:
            if self._turns[application] != turn:
                return  # A later call, or healing, has taken over.
            if self._model.leader(application) == rest[0]:
                rest.pop(0)
                world.scheduler.after(1.0, next_unit)
            elif rest[0] in world.agents and world.scheduler.now < give_up:
                world.scheduler.after(1.0, await_leader)
            else:
                stall(None)

        def stall(all_but: str | None) -> None:
            for agent in world.agents.values():
                if agent.application == application:
                    agent.tracker.stalled = all_but is not None and agent.name != all_but
                    if not agent.tracker.stalled and not agent.tracker.leader:
                        agent.tracker.attempt()

        next_unit()

    def stop(self) -> None:
        """Let no passing of leadership go on."""
        for application in self._turns:
            self._turns[application] += 1

    def _repeat(self, per_hour: float, strike: Callable[[], None]) -> None:
        if per_hour <= 0:
            return

        def again() -> None:
            if self._planner.active:
                strike()
                arm()

        def arm() -> None:
            delay = self._chance.expovariate(per_hour / HOUR)
            self._model.world.scheduler.after(delay, again, background=True)

        arm()

    def _note(self, subject: str, what: str) -> None:
        self._model.world.records.fault(self._model.now, subject, what)

    def _outage(self, name: str) -> None:
        agent = self._model.world.agents.get(name)
        if agent is not None and agent.up:
            seconds = self._chance.uniform(1.0, self._faults.outage_seconds)
            self._note(name, f"agent-outage: {seconds:.0f} s")
            agent.stop(seconds)

    def _partition(self, name: str) -> None:
        agent = self._model.world.agents.get(name)
        if agent is not None and agent.up and not agent.partitioned:
            seconds = self._chance.uniform(1.0, self._faults.outage_seconds)
            self._note(name, f"partition: {seconds:.0f} s")
            agent.partition()
            self._model.world.scheduler.after(seconds, agent.reconnect)

    def _bounce(self, application: str) -> None:
        names = [unit.name for unit in self._model.units() if unit.application == application]
        leader = self._model.leader(application)
        others = [name for name in names if name != leader]
        if leader is None or not others:
            return
        other = self._chance.choice(others)
        back = self._chance.random() < 0.7
        self._note(application, f"lease-bounce: {leader} to {other}{' and back' if back else ''}")
        self.hand_leadership(application, *([other, leader] if back else [other]))

    def _add(self, application: str) -> None:
        if len(self._model.units()) < self._largest:
            unit = self._model.applications[application].add_unit()
            self._note(unit.name, "unit-added: by chance")

    def _remove(self, application: str) -> None:
        names = [unit.name for unit in self._model.units() if unit.application == application]
        if len(names) > 2:
            name = self._chance.choice(names)
            force = self._chance.random() < 0.5
            self._note(name, f"unit-removed: {'by force' if force else 'in order'}")
            self._model.applications[application].remove_unit(name, force=force)
