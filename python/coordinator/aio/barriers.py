"""Barriers."""

from __future__ import annotations

from coordinator import _core
from coordinator.exceptions import CoordinatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta
    from types import TracebackType

__all__ = ["Barrier", "DoubleBarrier"]


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
