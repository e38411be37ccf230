"""One unit's part in leadership: it claims the lease, renews it, and answers `is-leader`.

A lease lasts 60 s and is renewed every 30 s, so whoever is told that it leads has at least 30 s
left. The tracker is apart from hooks: a unit in hook error keeps its lease, a dead agent loses it.
"""

from __future__ import annotations

from typing import Protocol

from .controller import Controller
from .scheduler import Event, Scheduler

GUARANTEE_SECONDS = 30.0


class LeadershipOwner(Protocol):
    """What a tracker needs of its agent."""

    name: str
    partitioned: bool

    def leadership_changed(self) -> None:
        """Take in that the tracker's answer has changed."""

    def lease_claimed(self) -> None:
        """Take in that the lease was claimed or extended just now."""


class LeadershipTracker:
    """Claims and renews one unit's lease while its agent runs."""

    def __init__(self, owner: LeadershipOwner, controller: Controller, scheduler: Scheduler):
        self.leader = False
        self.stalled = False
        self.running = False
        self._owner = owner
        self._controller = controller
        self._scheduler = scheduler
        self._renew_at = 0.0
        self._timer: Event | None = None

    def start(self) -> None:
        """Begin to claim the lease."""
        self.running = True
        self.attempt()

    def stop(self) -> None:
        """Stop at once, as when the agent dies; the lease then runs out by itself."""
        self.running = False
        self.leader = False
        self._scheduler.cancel(self._timer)

    def attempt(self) -> None:
        """Claim or renew the lease; on refusal wait until the lease is free."""
        if not self.running or self._owner.partitioned:
            return
        self._scheduler.cancel(self._timer)
        claimed = not self.stalled and self._controller.claim(self._owner.name)
        if claimed:
            self._renew_at = self._scheduler.now + GUARANTEE_SECONDS
            self._timer = self._scheduler.at(self._renew_at, self.attempt, background=True)
            self._owner.lease_claimed()
        if claimed != self.leader:
            self.leader = claimed
            self._owner.leadership_changed()

    def check(self) -> bool:
        """Whether this unit leads for 30 s more; asks the controller only if renewal is due."""
        if self.leader and self._scheduler.now >= self._renew_at:
            self.attempt()
        return self.leader
