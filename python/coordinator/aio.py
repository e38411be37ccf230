"""The names of :mod:`coordinator` for asyncio: what waits there is a coroutine here.

Example::

    from coordinator import aio

    async with await aio.connect("zookeeper://zk1:2181,zk2:2181/fleet") as client:
        async with client.lock("/deploy", timeout=30) as grant:
            await deploy(fencing_token=grant.token)

Cancelling a task withdraws what it waited for: its place in a queue goes away, and the next in
line is woken. What a method promises stands at the method of the same name in :mod:`coordinator`.
"""

from __future__ import annotations

from asyncio import current_task, get_running_loop

from coordinator import PartitionState, Tls, _core
from coordinator.exceptions import (
    AcquireTimeout,
    Conflict,
    CoordinatorError,
    Corrupt,
    ForkedError,
    Invalid,
    LockLost,
    NotHeld,
    Unavailable,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Event, Task
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Generator,
        Iterable,
        Iterator,
        Sequence,
    )
    from datetime import datetime, timedelta
    from types import TracebackType
    from typing import Any, Literal, TypeVar

    _T = TypeVar("_T")

__all__ = [
    "AcquireTimeout",
    "Barrier",
    "Client",
    "Conflict",
    "CoordinatorError",
    "Corrupt",
    "Counter",
    "DoubleBarrier",
    "Election",
    "ForkedError",
    "Grant",
    "Invalid",
    "Lease",
    "Lock",
    "LockLost",
    "Lost",
    "NotHeld",
    "PartitionState",
    "Partitioner",
    "Party",
    "Scope",
    "ScopeGrant",
    "Semaphore",
    "Tls",
    "Unavailable",
    "connect",
]


async def connect(
    url: str,
    *,
    identifier: str | None = None,
    session_timeout: float | timedelta | None = None,
    connect_timeout: float | timedelta | None = None,
    auth: str | None = None,
    default_acl: Sequence[str] | None = None,
    tls: Tls | None = None,
) -> Client:
    """Open a session on a store; arguments and errors as of :func:`coordinator.connect`."""
    client = await _core.connect_async(
        url,
        identifier,
        session_timeout,
        connect_timeout,
        auth,
        list(default_acl) if default_acl is not None else None,
        None if tls is None else tls.ca,
        None if tls is None else tls.identity,
    )
    return Client(client)


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
        bell = None if state_change_event is None else _Bell(state_change_event)
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


class Lock:
    """A lock, or a side of a read and write lock. Made by a client."""

    __slots__ = ("_core", "_entered", "_held")

    def __init__(self, core: _core.Lock) -> None:
        self._core = core
        # With the tasks that took them: tasks may share a lock, and none of them may give back
        # what another holds. After a lost session the other one is the only holder.
        self._held: list[tuple[Task[object] | None, Grant]] = []
        self._entered: list[tuple[Task[object] | None, Grant]] = []

    @property
    def path(self) -> str:
        """The path that it was made with."""
        return self._core.path

    async def acquire(
        self, timeout: float | timedelta | None = None, blocking: bool | None = None
    ) -> Grant | None:
        """Wait for the turn; the grant, or None if a try that does not block loses."""
        core = await self._core.acquire_async(timeout, blocking)
        if core is None:
            return None
        # Only here: had this task been cancelled, nobody would give back what is kept.
        grant = Grant(core)
        self._forget_released()
        self._held.append((current_task(), grant))
        return grant

    async def release(self, timeout: float | timedelta | None = None) -> None:
        """Give back what this task took last through this object, else what was taken last."""
        self._forget_released()
        taken = _pop_last(self._held)
        if taken is None:
            raise NotHeld(f"{self.path}: nothing is held through this object")
        try:
            await taken[1].release(timeout)
        finally:
            if not taken[1]._core._released:
                self._held.append(taken)

    def _forget_released(self) -> None:
        self._held = [taken for taken in self._held if not taken[1]._core._released]

    async def contenders(self) -> list[str]:
        """Return the identifiers of those who hold or wait, first to last."""
        return await self._core.contenders_async()

    async def __aenter__(self) -> Grant:
        grant = await self.acquire()
        if grant is None:
            message = f"{self.path}: others hold it or wait, and this try does not block"
            raise AcquireTimeout(message)
        self._entered.append((current_task(), grant))
        return grant

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        taken = _pop_last(self._entered)
        if taken is not None:
            await taken[1].__aexit__(kind, exception, traceback)
            self._forget_released()

    def __repr__(self) -> str:
        return repr(self._core)


def _pop_last(
    taken: list[tuple[Task[object] | None, Grant]],
) -> tuple[Task[object] | None, Grant] | None:
    """Remove the last that this task took, else the last of all, and return it."""
    task = current_task()
    for index in reversed(range(len(taken))):
        if taken[index][0] is task:
            return taken.pop(index)
    return taken.pop() if taken else None


class Semaphore(Lock):
    """A counting semaphore. Made by a client."""

    __slots__ = ()

    _core: _core.Semaphore

    async def lease_holders(self) -> list[str]:
        """Return the identifiers of those who hold a lease."""
        return await self._core.lease_holders_async()

    async def status(self) -> dict[str, Any]:
        """Tell who holds, who waits, and what was done by force."""
        return await self._core.status_async()

    async def release_own(self) -> bool:
        """Give back the leases of this client's identifier, whichever process took them."""
        return await self._core.release_own_async()

    async def force_acquire(self, reason: str) -> str:
        """Take a lease whether or not one is free; the reason is kept. Returns its node."""
        return await self._core.force_acquire_async(reason)

    async def force_release(self, holder: str, reason: str) -> list[str]:
        """Take away the leases of a holder, or the one lease of this name; the reason is kept."""
        return await self._core.force_release_async(holder, reason)


class Election(Lock):
    """An election, and this client's candidacy. Made by a client."""

    __slots__ = ()

    _core: _core.Election

    async def leader(self) -> str | None:
        """Return the identifier of the leader; None without candidates."""
        return await self._core.leader_async()

    async def run(self, function: Callable[..., Awaitable[_T]], *args: Any, **kwargs: Any) -> _T:
        """Wait until elected, await ``function(grant, ...)``, and resign when it returns."""
        if not callable(function):
            raise Invalid(f"election {self.path}: {function!r} is no function that could lead")
        async with self as grant:
            return await function(grant, *args, **kwargs)


class Counter:
    """A counter that many members change. Made by a client."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.Counter) -> None:
        self._core = core

    @property
    def path(self) -> str:
        """The path that it was made with."""
        return self._core.path

    async def value(self) -> Any:
        """Return the value; the default if it was never changed."""
        return await self._core.value_async()

    async def add(self, number: Any) -> Any:
        """Add, once, and return what it is then."""
        return await self._core.add_async(number)

    def __repr__(self) -> str:
        return repr(self._core)


class Grant:
    """A turn that has come. Locks give it."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.Grant) -> None:
        self._core = core

    @property
    def token(self) -> int:
        """The fencing token."""
        return self._core.token

    @property
    def path(self) -> str:
        """The node that stands for this grant in the store."""
        return self._core.path

    @property
    def holder(self) -> str:
        """The identifier of the holder."""
        return self._core.holder

    @property
    def deadline(self) -> float | None:
        """Until when the grant is good if the store stays silent, on ``time.monotonic()``."""
        return self._core.deadline

    @property
    def lost(self) -> Lost:
        """The event that the grant has ended without a release."""
        return Lost(self._core.lost)

    def check(self) -> None:
        """Raise LockLost once the grant has ended without a release. Never waits."""
        self._core.check()

    async def release(self, timeout: float | timedelta | None = None) -> None:
        """Give the grant back; with a timeout, return after that in any case."""
        await self._core.release_async(timeout)

    async def write(self, path: str, data: bytes) -> None:
        """Write a node of the same store if, and only if, the grant is still held."""
        await self._core.write_async(path, data)

    async def __aenter__(self) -> Grant:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.release()
        except NotHeld:
            pass  # the block gave it back itself
        except CoordinatorError:
            # Never in place of the exception that ends the block.
            if exception is None:
                raise

    def __repr__(self) -> str:
        return repr(self._core)


class Scope:
    """The membership of a client in a scope. Made by a client."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.Scope) -> None:
        self._core = core

    @property
    def name(self) -> str:
        """The name that it was made with."""
        return self._core.name

    @property
    def rules(self) -> str:
        """The rules that this member follows."""
        return self._core.rules

    def acquire(
        self, lock: str, timeout: float | timedelta | None = None, blocking: bool = True
    ) -> _Turn:
        """Wait for the turn: with ``await``, or as ``async with scope.acquire(...) as grant``."""
        return _Turn(self._core, lock, timeout, blocking)

    async def status(self) -> dict[str, Any]:
        """Return who holds, who waits and who is there."""
        status: dict[str, Any] = _values(await self._core._status_async())
        return status

    async def history(self) -> list[dict[str, Any]]:
        """Return the last grants that have ended, the oldest first."""
        history: list[dict[str, Any]] = _values(await self._core._history_async())
        return history

    async def force_release(self, member: str, lock: str, reason: str) -> None:
        """End the grant of ``lock`` to ``member`` by an operator's word."""
        await self._core.force_release_async(member, lock, reason)

    def __repr__(self) -> str:
        return repr(self._core)


def _values(text: str) -> Any:
    import json

    return json.loads(text)


class _Turn:
    """A turn that is waited for."""

    __slots__ = ("_arguments", "_core", "_grant")

    def __init__(
        self,
        core: _core.Scope,
        lock: str,
        timeout: float | timedelta | None,
        blocking: bool,
    ) -> None:
        self._core = core
        self._arguments = (lock, timeout, blocking)
        self._grant: ScopeGrant | None = None

    async def _wait(self) -> ScopeGrant | None:
        core = await self._core.acquire_async(*self._arguments)
        return None if core is None else ScopeGrant(core)

    def __await__(self) -> Generator[Any, None, ScopeGrant | None]:
        return self._wait().__await__()

    async def __aenter__(self) -> ScopeGrant:
        self._grant = await self._wait()
        if self._grant is None:
            lock = self._arguments[0]
            raise AcquireTimeout(f"{lock}: others hold it or wait, and this try does not block")
        return self._grant

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._grant is not None:
            await self._grant.__aexit__(kind, exception, traceback)


class ScopeGrant:
    """A turn in a scope. Scopes give it."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.ScopeGrant) -> None:
        self._core = core

    @property
    def token(self) -> int:
        """The fencing token."""
        return self._core.token

    @property
    def lock(self) -> str:
        """The lock."""
        return self._core.lock

    @property
    def holder(self) -> str:
        """The identifier of the holder."""
        return self._core.holder

    @property
    def deadline(self) -> float | None:
        """Until when the grant is good if the store stays silent, on ``time.monotonic()``."""
        return self._core.deadline

    @property
    def lost(self) -> Lost:
        """The event that the grant has ended without a release."""
        return Lost(self._core.lost)

    def check(self) -> None:
        """Raise LockLost once the grant has ended without a release. Never waits."""
        self._core.check()

    async def release(self, outcome: str = "ok") -> None:
        """Give the grant back, with the outcome of the work: ``"ok"`` or ``"failed"``."""
        await self._core.release_async(outcome)

    async def __aenter__(self) -> ScopeGrant:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.release("ok" if exception is None else "failed")
        except NotHeld:
            pass  # the block gave it back itself
        except CoordinatorError:
            # Never in place of the exception that ends the block.
            if exception is None:
                raise

    def __repr__(self) -> str:
        return repr(self._core)


class Lost:
    """The event that a grant has ended without a release."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.Lost) -> None:
        self._core = core

    def is_set(self) -> bool:
        """Whether it has. Never waits."""
        return self._core.is_set()

    async def wait(self, timeout: float | timedelta | None = None) -> bool:
        """Wait until it has, at most for ``timeout``; whether it has."""
        return await self._core.wait_async(timeout)


class Lease:
    """A lease. A client makes it, and asks for it."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.Lease) -> None:
        self._core = core

    @property
    def path(self) -> str:
        """The path that it was made with."""
        return self._core.path

    @property
    def identifier(self) -> str:
        """Who asks; whoever asks again under the same name renews."""
        return self._core.identifier

    @property
    def obtained(self) -> bool:
        """Whether it was obtained, and not denied or given back since: it may have ended."""
        return self._core.obtained

    @property
    def expires_at(self) -> datetime | None:
        """Until when it is ours, by this host's clock, in UTC; None if it was not obtained."""
        return self._core.expires_at

    @property
    def token(self) -> int | None:
        """The fencing token; None if it was not obtained."""
        return self._core.token

    @property
    def holder(self) -> str | None:
        """Who held it when we last asked."""
        return self._core.holder

    async def renew(self) -> bool:
        """Have it last its whole duration from now on, or ask again; whether it is ours."""
        return await self._core.renew_async()

    async def release(self) -> bool:
        """Give it back; whether it was still ours."""
        return await self._core.release_async()

    def __bool__(self) -> bool:
        return bool(self._core)

    async def __aenter__(self) -> Lease:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.release()
        except CoordinatorError:
            # Never in place of the exception that ends the block.
            if exception is None:
                raise

    def __repr__(self) -> str:
        return repr(self._core)


class _Bell:
    """Sets an event of asyncio from another thread."""

    __slots__ = ("_event", "_loop")

    def __init__(self, event: Event) -> None:
        self._event = event
        self._loop: AbstractEventLoop = get_running_loop()

    def set(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)


class Partitioner:
    """A member of a partitioner. Made by a client."""

    __slots__ = ("_core", "_event")

    def __init__(self, core: _core.Partitioner, event: Event | None = None) -> None:
        self._core = core
        self._event = event

    @property
    def path(self) -> str:
        """The path that it was made with."""
        return self._core.path

    @property
    def identifier(self) -> str:
        """How this member names itself."""
        return self._core.identifier

    @property
    def time_boundary(self) -> float:
        """How long the party has to be as it is before items are taken, in seconds."""
        return self._core.time_boundary

    @property
    def max_reaction_time(self) -> float:
        """As it was given, in seconds."""
        return self._core.max_reaction_time

    @property
    def state_change_event(self) -> Event | None:
        """What is set at every change of the state, if it was given."""
        return self._event

    @property
    def state(self) -> Literal["ALLOCATING", "ACQUIRED", "RELEASE", "FAILURE"]:
        """One of :class:`PartitionState`."""
        return self._core.state

    @property
    def failed(self) -> bool:
        """Whether the state is FAILURE."""
        return self._core.failed

    @property
    def release(self) -> bool:
        """Whether the state is RELEASE."""
        return self._core.release

    @property
    def allocating(self) -> bool:
        """Whether the state is ALLOCATING."""
        return self._core.allocating

    @property
    def acquired(self) -> bool:
        """Whether the state is ACQUIRED."""
        return self._core.acquired

    @property
    def error(self) -> BaseException | None:
        """Why it failed; None if it did not, or was finished."""
        return self._core.error

    def token(self, item: object) -> int | None:
        """Return the fencing token of an item that is ours; None of any other."""
        return self._core.token(item)

    async def wait_for_acquire(self, timeout: float | timedelta | None = None) -> bool:
        """Wait until the share is ours; whether it is."""
        return await self._core.wait_for_acquire_async(timeout)

    async def release_set(self) -> None:
        """Say that the work on the items has stopped."""
        await self._core.release_set_async()

    async def finish(self) -> None:
        """Give everything up, and leave the party."""
        await self._core.finish_async()

    async def shares(self) -> AsyncIterator[list[Any]]:
        """Yield share after share, each given up when the ``async for`` loop comes round."""
        told = None
        while not self.failed:
            number = self._core._number
            if self.release:
                await self.release_set()
            elif self.acquired and told != number:
                told = number
                yield list(self._core)
            else:
                await self._core._changed_async(number)
        if self.error is not None:
            raise self.error

    def __iter__(self) -> Iterator[Any]:
        return iter(self._core)

    def __len__(self) -> int:
        return len(self._core)

    def __contains__(self, item: object) -> bool:
        return item in self._core

    def __bool__(self) -> bool:
        return True

    async def __aenter__(self) -> Partitioner:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.finish()

    def __repr__(self) -> str:
        return repr(self._core)


class Party:
    """A party, and the client's membership in it. Made by a client."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.Party) -> None:
        self._core = core

    @property
    def path(self) -> str:
        """The path that it was made with."""
        return self._core.path

    @property
    def joined(self) -> bool:
        """Whether this client is a member now."""
        return self._core.joined

    async def join(self) -> None:
        """Join; does nothing for a member."""
        await self._core.join_async()

    async def leave(self) -> bool:
        """Leave; whether this client was a member."""
        return await self._core.leave_async()

    async def members(self) -> list[str]:
        """Return the identifiers of the members."""
        return await self._core.members_async()

    async def __aenter__(self) -> Party:
        await self.join()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.leave()
        except CoordinatorError:
            # Never in place of the exception that ends the block.
            if exception is None:
                raise

    def __repr__(self) -> str:
        return repr(self._core)


class Barrier:
    """A barrier. Made by a client."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.Barrier) -> None:
        self._core = core

    @property
    def path(self) -> str:
        """The path that it was made with."""
        return self._core.path

    async def create(self) -> None:
        """Close it; does nothing to one that is closed."""
        await self._core.create_async()

    async def remove(self) -> bool:
        """Open it for all; whether it was closed."""
        return await self._core.remove_async()

    async def wait(self, timeout: float | timedelta | None = None) -> bool:
        """Wait until it is open, at most for ``timeout``; whether it is."""
        return await self._core.wait_async(timeout)

    def __repr__(self) -> str:
        return repr(self._core)


class DoubleBarrier:
    """A double barrier. Made by a client."""

    __slots__ = ("_core",)

    def __init__(self, core: _core.DoubleBarrier) -> None:
        self._core = core

    @property
    def path(self) -> str:
        """The path that it was made with."""
        return self._core.path

    async def enter(self, timeout: float | timedelta | None = None) -> None:
        """Come, and wait until all have come."""
        await self._core.enter_async(timeout)

    async def leave(self, timeout: float | timedelta | None = None) -> None:
        """Be done, and wait until all are."""
        await self._core.leave_async(timeout)

    async def __aenter__(self) -> DoubleBarrier:
        await self.enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.leave()
        except CoordinatorError:
            # Never in place of the exception that ends the block.
            if exception is None:
                raise

    def __repr__(self) -> str:
        return repr(self._core)
