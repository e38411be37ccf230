"""The election, by kazoo's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coordinator.kazoo.exceptions import CancelledError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coordinator.kazoo.client import KazooClient


class Election:
    """One leader at a time, in the order of candidacy.

    Args:
        client: A client.
        path: Where.
        identifier: Who we are to the other candidates.

    Attributes:
        lock: The lock that the leader holds.
    """

    def __init__(self, client: KazooClient, path: str, identifier: object = None) -> None:
        self.lock = client.Lock(path, identifier)

    def run(self, func: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Wait until elected, call the function, and resign when it ends.

        It returns without a call if :meth:`cancel` ended the candidacy. The function can ask
        ``election.lock.is_acquired`` whether it still leads.
        """
        if not callable(func):
            raise ValueError(f"{func!r} is no function that could lead")
        try:
            self.lock.acquire()
        except CancelledError:
            return
        try:
            func(*args, **kwargs)
        finally:
            self.lock.release()

    def cancel(self) -> None:
        """End the candidacy; a leader goes on."""
        self.lock.cancel()

    def contenders(self) -> list[str]:
        """Return the identifiers of the leader and the candidates, in order."""
        return self.lock.contenders()
