"""The semaphore, by kazoo's name."""

from __future__ import annotations

from coordinator import _core
from coordinator.kazoo.errors import translated
from coordinator.kazoo.paths import normal
from coordinator.kazoo.recipe.handle import Handle
from coordinator.kazoo.recipe.turn import Turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coordinator.kazoo.client import KazooClient


class Semaphore(Turn):
    """So many holders at a time.

    Args:
        client: A client.
        path: Where.
        identifier: Who we are to the other holders.
        max_leases: How many; all members of a path have to agree.
    """

    def __init__(
        self,
        client: KazooClient,
        path: str,
        identifier: object = None,
        max_leases: int = 1,
    ) -> None:
        super().__init__(client, path, identifier)
        self.max_leases = max_leases
        self.lock_path = f"{path}-__lock__"
        self._handle: Handle[_core.Lock] = Handle(
            client, self._identifier, lambda core: core.semaphore(normal(path), max_leases)
        )

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Wait for a lease; whether there is one. True at once if this object has one.

        Raises:
            ValueError: the other members have another number of leases.
            LockTimeout: none was free in time.
            CancelledError: :meth:`cancel` was called.
        """
        self.cancelled = False
        return self._acquire(self._handle, blocking, timeout, again=True)

    def lease_holders(self) -> list[str]:
        """Return the identifiers of those who have a lease, in no order."""
        with translated(self.client):
            return self._handle().contenders()

    def __enter__(self) -> None:
        self.acquire()
