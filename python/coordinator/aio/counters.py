"""Counters."""

from __future__ import annotations

from coordinator import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Counter"]


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
