"""Partitioners."""

from __future__ import annotations

from asyncio import get_running_loop

from coordinator import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Event
    from collections.abc import AsyncIterator, Iterator
    from datetime import timedelta
    from typing import Any, Literal

__all__ = ["Partitioner"]


class Bell:
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
