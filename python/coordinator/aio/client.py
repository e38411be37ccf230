"""The session, and the recipes on it."""

from __future__ import annotations

from coordinator import _core
from coordinator.aio.barriers import Barrier, DoubleBarrier
from coordinator.aio.counters import Counter
from coordinator.aio.leases import Lease
from coordinator.aio.locks import Election, Lock, Semaphore
from coordinator.aio.parties import Party
from coordinator.aio.partitioners import Bell, Partitioner
from coordinator.aio.scopes import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Event
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta
    from typing import Any, Literal

__all__ = ["Client"]


class Client:
    """A session on a store, and the recipes on it. Made by :func:`connect`."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.Client) -> None:
        self._core = core

    @property
    def identifier(self) -> str:
        """How this member names itself to the others."""
        return self._core.identifier

    @property
    def address(self) -> str:
        """Where the store is, without secrets."""
        return self._core.address

    @property
    def state(self) -> Literal["connected", "suspended", "lost"]:
        """What the session says of itself, by this host's own clock."""
        return self._core.state

    def lock(
        self, path: str, *, timeout: float | timedelta | None = None, blocking: bool = True
    ) -> Lock:
        """Make an exclusive lock."""
        return Lock(self._core.lock(path, timeout=timeout, blocking=blocking))

    def read_lock(
        self, path: str, *, timeout: float | timedelta | None = None, blocking: bool = True
    ) -> Lock:
        """Make the shared side of a read and write lock."""
        return Lock(self._core.read_lock(path, timeout=timeout, blocking=blocking))

    def write_lock(
        self, path: str, *, timeout: float | timedelta | None = None, blocking: bool = True
    ) -> Lock:
        """Make the exclusive side of a read and write lock."""
        return Lock(self._core.write_lock(path, timeout=timeout, blocking=blocking))

    def semaphore(
        self,
        path: str,
        max_leases: int = 1,
        *,
        ephemeral: bool = True,
        max_hold: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
        blocking: bool = True,
    ) -> Semaphore:
        """Make a counting semaphore."""
        return Semaphore(
            self._core.semaphore(
                path,
                max_leases,
                ephemeral=ephemeral,
                max_hold=max_hold,
                timeout=timeout,
                blocking=blocking,
            )
        )

    async def lease(
        self,
        path: str,
        duration: float | timedelta,
        *,
        identifier: str | None = None,
        timeout: float | timedelta | None = None,
        max_clock_skew: float | timedelta | None = None,
        utcnow: Callable[[], datetime] | None = None,
    ) -> Lease:
        """Ask for a lease that one member holds at a time."""
        lease = Lease(
            self._core._lease(path, None, duration, identifier, timeout, max_clock_skew, utcnow)
        )
        await lease.renew()
        return lease

    async def multi_lease(
        self,
        path: str,
        max_leases: int,
        duration: float | timedelta,
        *,
        identifier: str | None = None,
        timeout: float | timedelta | None = None,
        max_clock_skew: float | timedelta | None = None,
        utcnow: Callable[[], datetime] | None = None,
    ) -> Lease:
        """Ask for a lease that so many members hold at a time."""
        lease = Lease(
            self._core._lease(
                path, max_leases, duration, identifier, timeout, max_clock_skew, utcnow
            )
        )
        await lease.renew()
        return lease

    async def partitioner(
        self,
        path: str,
        set: Iterable[Any],  # noqa: A002 - kazoo's name
        *,
        partition_func: Callable[[str, list[str], Any], Iterable[Any]]
        | Literal["sticky"]
        | None = None,
        identifier: str | None = None,
        time_boundary: float | timedelta | None = None,
        max_reaction_time: float | timedelta | None = None,
        state_change_event: Event | None = None,
        on_gained: Callable[[list[Any]], object] | None = None,
        on_lost: Callable[[list[Any]], object] | None = None,
    ) -> Partitioner:
        """Join a party that divides a set among its members.

        ``partition_func`` and the callbacks are plain functions, called on a thread.
        """
        bell = None if state_change_event is None else Bell(state_change_event)
        core = await self._core.partitioner_async(
            path,
            set,
            partition_func=partition_func,
            identifier=identifier,
            time_boundary=time_boundary,
            max_reaction_time=max_reaction_time,
            state_change_event=bell,
            on_gained=on_gained,
            on_lost=on_lost,
        )
        return Partitioner(core, state_change_event)

    def party(self, path: str) -> Party:
        """Make a party whose members' identifiers stand in their nodes."""
        return Party(self._core.party(path))

    def shallow_party(self, path: str) -> Party:
        """Make a party whose members' identifiers stand in the names of their nodes."""
        return Party(self._core.shallow_party(path))

    def barrier(self, path: str) -> Barrier:
        """Make a barrier."""
        return Barrier(self._core.barrier(path))

    def double_barrier(
        self, path: str, num_clients: int, *, timeout: float | timedelta | None = None
    ) -> DoubleBarrier:
        """Make a double barrier for so many members."""
        return DoubleBarrier(self._core.double_barrier(path, num_clients, timeout=timeout))

    def election(
        self, path: str, *, timeout: float | timedelta | None = None, blocking: bool = True
    ) -> Election:
        """Make an election: who holds it leads."""
        return Election(self._core.election(path, timeout=timeout, blocking=blocking))

    def counter(self, path: str, default: Any = None, *, curator: bool = False) -> Counter:
        """Make a counter that many members change."""
        return Counter(self._core.counter(path, default, curator=curator))

    def scope(self, name: str, *, rules: str = "serial") -> Scope:
        """Take part in a scope, whose members ask for locks by name under the same rules."""
        return Scope(self._core.scope(name, rules=rules))

    async def close(self) -> None:
        """End the session, and give back at once all that it held."""
        await self._core.close_async()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return repr(self._core)
