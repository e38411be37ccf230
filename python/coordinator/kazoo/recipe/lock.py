"""Locks, by kazoo's names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from coordinator import _core
from coordinator.kazoo.errors import translated
from coordinator.kazoo.exceptions import NotProvidedError
from coordinator.kazoo.paths import normal
from coordinator.kazoo.recipe.handle import Handle
from coordinator.kazoo.recipe.semaphore import Semaphore
from coordinator.kazoo.recipe.turn import Turn
from coordinator.kazoo.retry import ForceRetryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from coordinator.kazoo.client import KazooClient

__all__ = ["Lock", "ReadLock", "Semaphore", "WriteLock"]


class Lock(Turn):
    """One holder at a time, in the order of asking.

    Args:
        client: A client.
        path: Where.
        identifier: Who we are to the other contenders.
        extra_lock_patterns: What stands before the numbers of other implementations' contenders,
            as ``-lock-`` of Curator's: plain text, not a regular expression.
    """

    _SIDE: Literal["lock", "read", "write"] = "lock"

    def __init__(
        self,
        client: KazooClient,
        path: str,
        identifier: object = None,
        extra_lock_patterns: Sequence[str] = (),
    ) -> None:
        super().__init__(client, path, identifier)
        marks = [_plain(pattern) for pattern in extra_lock_patterns]
        self._marks = marks
        side = self._SIDE

        def handle(lasting: bool) -> Handle[_core.Lock]:
            return Handle(
                client,
                self._identifier,
                lambda core: _core.kazoo_lock(core, normal(path), side, lasting, marks),
            )

        self._ephemeral = handle(False)
        self._lasting = handle(True)

    @property
    def node(self) -> str | None:
        """The name of the node that stands for the grant; None without one."""
        grant = self._grant
        return None if grant is None else grant.path.rpartition("/")[2]

    def acquire(
        self, blocking: bool = True, timeout: float | None = None, ephemeral: bool = True
    ) -> bool:
        """Wait for the turn; whether it came.

        Args:
            blocking: Whether to wait at all.
            timeout: How many seconds to wait, all in all.
            ephemeral: Whether it ends with the session; one that does not stays until it is
                released, or somebody deletes its node.

        Raises:
            LockTimeout: it did not come in time.
            CancelledError: :meth:`cancel` was called.
        """
        lock = self._ephemeral if ephemeral else self._lasting
        return self._acquire(lock, blocking, timeout, again=False)

    def contenders(self) -> list[str]:
        """Return the identifiers of those who hold or wait, first to last."""
        with translated(self.client):
            return self._ephemeral().contenders()

    def _get_predecessor(self, node: str) -> str | None:
        """Return the name of the contender that this node waits for."""
        children = self.client.get_children(self.path)
        if node not in children:
            raise ForceRetryError(f"{node} is not there")
        before = _core.contenders_before(children, node, self._SIDE, self._marks)
        return before[-1] if before else None

    def __enter__(self) -> None:
        self.acquire()


class ReadLock(Lock):
    """Held together with other readers, but with no writer."""

    _SIDE = "read"


class WriteLock(Lock):
    """Held alone, while no reader holds."""

    _SIDE = "write"


def _plain(pattern: str) -> str:
    if re.escape(pattern).replace("\\-", "-") != pattern:
        raise NotProvidedError(
            f"extra_lock_patterns: {pattern!r} is a regular expression; plain text is provided"
        )
    return pattern
