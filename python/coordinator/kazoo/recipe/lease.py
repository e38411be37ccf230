"""Leases, by kazoo's names."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime, timedelta

from coordinator import _core
from coordinator.kazoo.errors import translated
from coordinator.kazoo.paths import normal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coordinator.kazoo.client import KazooClient

Clock = Callable[[], datetime]


class _Lease:
    """A lease of the core, asked for when it is made.

    Attributes:
        lease: This package's own lease: ``renew()``, ``release()``, ``token``. kazoo has none.
    """

    lease: _core.Lease

    @property
    def obtained(self) -> bool:
        """Whether it is ours now: unlike kazoo's, no longer once its time is over."""
        return bool(self.lease)

    def __bool__(self) -> bool:
        return self.obtained


class NonBlockingLease(_Lease):
    """True if, and for as long as, this member has the lease; whoever asks again renews it.

    Args:
        client: A client.
        path: Where.
        duration: How long it lasts.
        identifier: Who asks; the name of this host if None.
        utcnow: The clock, for tests.

    Raises:
        LockTimeout: others looked at the lease for five seconds. kazoo would wait on.
    """

    def __init__(
        self,
        client: KazooClient,
        path: str,
        duration: timedelta,
        identifier: str | None = None,
        utcnow: Clock | None = None,
    ) -> None:
        name = identifier or socket.gethostname()
        core = client._open().core
        with translated(client):
            self.lease = core.lease(normal(path), duration, identifier=name, utcnow=utcnow)


class MultiNonBlockingLease(_Lease):
    """The same for so many members at a time.

    Unlike kazoo's, a member that renews keeps its own place, and takes no second one.

    Args:
        client: A client.
        count: How many members.
        path: Where.
        duration: How long it lasts.
        identifier: Who asks; the name of this host if None.
        utcnow: The clock, for tests.

    Raises:
        LockTimeout: as of :class:`NonBlockingLease`.
    """

    def __init__(
        self,
        client: KazooClient,
        count: int,
        path: str,
        duration: timedelta,
        identifier: str | None = None,
        utcnow: Clock | None = None,
    ) -> None:
        name = identifier or socket.gethostname()
        core, path = client._open().core, normal(path)
        with translated(client):
            self.lease = core.multi_lease(path, count, duration, identifier=name, utcnow=utcnow)
