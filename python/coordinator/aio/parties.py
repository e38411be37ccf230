"""Parties."""

from __future__ import annotations

from coordinator import _core
from coordinator.exceptions import CoordinatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Party"]


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
