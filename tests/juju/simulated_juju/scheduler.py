"""The virtual clock and the queue of what happens next.

Time moves only from one event to the next, and two events of one instant happen in the order in
which they were put in, so a history depends on the seed alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

INFINITY = float("inf")


@dataclass(eq=False, slots=True)
class Event:
    """Something that will happen at a virtual instant unless it is cancelled first."""

    time: float
    action: Callable[[], None]
    background: bool
    cancelled: bool = False


class Scheduler:
    """A clock that jumps from event to event.

    Background events (timers that re-arm for ever) do not count as work that is still due, which
    is how a model knows that it has settled.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.limit = INFINITY
        self.events_run = 0
        # By time and order, which no two have in common: so no event is ever compared.
        self._heap: list[tuple[float, int, Event]] = []
        self._order = 0
        self._foreground = 0

    @property
    def foreground(self) -> int:
        """How many events are due that are not background timers."""
        return self._foreground

    def at(self, time: float, action: Callable[[], None], *, background: bool = False) -> Event:
        """Let `action` happen at `time`, or now if that has passed."""
        self._order += 1
        event = Event(max(time, self.now), action, background)
        heapq.heappush(self._heap, (event.time, self._order, event))
        if not background:
            self._foreground += 1
        return event

    def after(self, delay: float, action: Callable[[], None], *, background: bool = False) -> Event:
        """Let `action` happen `delay` virtual seconds from now."""
        return self.at(self.now + delay, action, background=background)

    def cancel(self, event: Event | None) -> None:
        """Make sure that `event` does not happen; harmless once it has."""
        if event is not None and not event.cancelled:
            event.cancelled = True
            if not event.background:
                self._foreground -= 1

    def next_time(self) -> float:
        """When the next event is due; infinity if none is."""
        heap = self._heap
        while heap and heap[0][2].cancelled:
            heapq.heappop(heap)
        return heap[0][0] if heap else INFINITY

    def advance_inline(self, time: float) -> bool:
        """Move the clock to `time` if nothing else is due before it, else do nothing.

        A running hook uses this to go on without giving up its turn; the outcome is the same as
        going through the queue, only faster.
        """
        if time > self.limit or time >= self.next_time():
            return False
        self.now = time
        return True

    def step(self) -> bool:
        """Run the next event; false if none is due up to the limit."""
        time = self.next_time()
        if time == INFINITY or time > self.limit:
            return False
        _, _, event = heapq.heappop(self._heap)
        # The event counts as done before it runs, so that cancelling it from inside is harmless.
        event.cancelled = True
        if not event.background:
            self._foreground -= 1
        self.now = max(self.now, event.time)
        self.events_run += 1
        event.action()
        return True
