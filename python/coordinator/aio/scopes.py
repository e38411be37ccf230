"""Scopes, and the turns that they give."""

from __future__ import annotations

from coordinator import _core
from coordinator.aio.locks import Lost
from coordinator.exceptions import AcquireTimeout, CoordinatorError, NotHeld

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import timedelta
    from types import TracebackType
    from typing import Any

__all__ = ["Scope", "ScopeGrant"]


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
