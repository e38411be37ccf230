"""Locks, semaphores and elections, and what they grant."""

from __future__ import annotations

from asyncio import current_task

from coordinator import _core
from coordinator.exceptions import AcquireTimeout, CoordinatorError, Invalid, NotHeld

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Awaitable, Callable
    from datetime import timedelta
    from types import TracebackType
    from typing import Any, TypeVar

    _T = TypeVar("_T")

__all__ = ["Election", "Grant", "Lock", "Lost", "Semaphore"]


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
