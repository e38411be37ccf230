"""The partitioner, by kazoo's name."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from coordinator import PartitionState, _core
from coordinator.kazoo.errors import translated
from coordinator.kazoo.paths import normal
from coordinator.kazoo.protocol.states import KazooState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coordinator.kazoo.client import KazooClient

__all__ = ["PartitionState", "SetPartitioner"]


class SetPartitioner:
    """Divides a set among the members of a party: each item is one member's at a time.

    Items that do not move when members come or go are kept, where kazoo gives up and takes all.

    Args:
        client: A client.
        path: Where.
        set: The items.
        partition_func: Takes our identifier, those of all members, and the items; returns ours.
        identifier: How this member names itself, unlike all others; host and process if None.
        time_boundary: How many seconds the party has to be as it is before items are taken.
        max_reaction_time: Taken for kazoo's sake: watches tell of changes at once.
        state_change_event: Set at every change of the state.

    Raises:
        coordinator.Conflict: another member has the same identifier.
    """

    def __init__(
        self,
        client: KazooClient,
        path: str,
        set: Iterable[Any],  # noqa: A002 (kazoo's name)
        partition_func: Callable[[str, list[str], list[Any]], Iterable[Any]] | None = None,
        identifier: str | None = None,
        time_boundary: float = 30,
        max_reaction_time: float = 1,
        state_change_event: threading.Event | None = None,
    ) -> None:
        self.state_change_event = state_change_event or client.handler.event_object()
        self._client = client
        self._alarmed = False
        name = identifier or f"{socket.getfqdn()}-{os.getpid()}"
        session = client._open()
        with translated(client):
            self._partitioner = _core.named(session.core, name).partitioner(
                normal(path),
                set,
                partition_func=partition_func,
                identifier=name,
                time_boundary=time_boundary,
                max_reaction_time=max_reaction_time,
                state_change_event=self.state_change_event,
            )
        session.keep(self)
        client.add_listener(self._hear)

    @property
    def state(self) -> str:
        """One of :class:`PartitionState`."""
        state = self._partitioner.state
        alarmed = self._alarmed and state == PartitionState.ACQUIRED
        return PartitionState.RELEASE if alarmed else state

    @property
    def failed(self) -> bool:
        """Whether nothing is ours, and will be: make another one."""
        return self.state == PartitionState.FAILURE

    @property
    def release(self) -> bool:
        """Whether the work has to stop before :meth:`release_set`.

        As with kazoo, a connection that broke is a reason too, though our items stay ours.
        """
        return self.state == PartitionState.RELEASE

    @property
    def allocating(self) -> bool:
        """Whether :meth:`wait_for_acquire` waits for our items."""
        return self.state == PartitionState.ALLOCATING

    @property
    def acquired(self) -> bool:
        """Whether iterating gives our items, and they may be worked on."""
        return self.state == PartitionState.ACQUIRED

    def __iter__(self) -> Iterator[Any]:
        """Give our items."""
        return iter(self._partitioner)

    def wait_for_acquire(self, timeout: float | None = 30) -> None:
        """Wait until our items are ours."""
        self._partitioner.wait_for_acquire(timeout)

    def release_set(self) -> None:
        """Say that the work has stopped: items that move are given up."""
        self._alarmed = False
        self._partitioner.release_set()

    def finish(self) -> None:
        """Give everything up, and leave the party."""
        self._client.remove_listener(self._hear)
        self._partitioner.finish()
        if self._client.started:
            self._client._open().let_go(self)

    def _fail_out(self) -> None:
        self.finish()

    def _hear(self, state: str) -> bool:
        if state == KazooState.LOST:
            return True
        if self._partitioner.acquired:
            self._alarmed = True
            self.state_change_event.set()
        return False
