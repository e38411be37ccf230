"""A recipe of the core, for a client that may be stopped and started again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from coordinator import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coordinator.kazoo.client import KazooClient

_T = TypeVar("_T")


class Handle(Generic[_T]):
    """Makes a recipe when it is first needed, and anew after the client was started again.

    Args:
        client: Whose session it is in.
        identifier: The name of the member in this recipe.
        make: Makes it, of a client of the core that goes by that name.
    """

    def __init__(
        self, client: KazooClient, identifier: str, make: Callable[[_core.Client], _T]
    ) -> None:
        self._client = client
        self._identifier = identifier
        self._make = make
        self._made: tuple[_core.Client, _T] | None = None

    def __call__(self) -> _T:
        """Return it.

        Raises:
            ConnectionClosedError: the client is not started.
        """
        core = self._client._open().core
        if self._made is None or self._made[0] is not core:
            self._made = (core, self._make(_core.named(core, self._identifier)))
        return self._made[1]

    @property
    def made(self) -> _T | None:
        """It, if it was ever made."""
        return None if self._made is None else self._made[1]


def text(identifier: Any) -> str:
    """Return the name of a member as kazoo writes it: empty without one."""
    return str(identifier or "")
