"""Leases."""

from __future__ import annotations

from coordinator import _core
from coordinator.exceptions import CoordinatorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

__all__ = ["Lease"]


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
