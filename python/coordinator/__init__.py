"""Members of a fleet take turns.

Example::

    import coordinator

    client = coordinator.connect("embedded:/var/lib/coordinator")
    with client.lock("/deploy", timeout=30) as grant:
        deploy(fencing_token=grant.token)

Modules:

* :mod:`coordinator.aio`: the same names as coroutines, for asyncio.
* :mod:`coordinator.juju`: the units of a Juju application take turns, with the interface of
  charmhelpers' coordinator.
* :mod:`coordinator.kazoo`: the recipes under kazoo's names, for programs that were written for it.
* :mod:`coordinator.exceptions`: the errors, which are exported here too.
"""

from __future__ import annotations

from coordinator import _core
from coordinator._core import (
    Barrier,
    Client,
    Counter,
    DoubleBarrier,
    Election,
    Grant,
    Lease,
    Lock,
    Lost,
    Partitioner,
    Party,
    Scope,
    ScopeGrant,
    Semaphore,
    __version__,
)
from coordinator.exceptions import (
    AcquireTimeout,
    Conflict,
    CoordinatorError,
    Corrupt,
    ForkedError,
    Invalid,
    LockLost,
    NotHeld,
    Unavailable,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from datetime import timedelta

__all__ = [
    "AcquireTimeout",
    "Barrier",
    "Client",
    "Conflict",
    "CoordinatorError",
    "Corrupt",
    "Counter",
    "DoubleBarrier",
    "Election",
    "ForkedError",
    "Grant",
    "Invalid",
    "Lease",
    "Lock",
    "LockLost",
    "Lost",
    "NotHeld",
    "PartitionState",
    "Partitioner",
    "Party",
    "Scope",
    "ScopeGrant",
    "Semaphore",
    "Tls",
    "Unavailable",
    "__version__",
    "connect",
]


class PartitionState:
    """The states of a :class:`Partitioner`, as its ``state`` tells them."""

    ALLOCATING = "ALLOCATING"
    """The party is settling, or the items are being taken."""
    ACQUIRED = "ACQUIRED"
    """The share is ours."""
    RELEASE = "RELEASE"
    """The party has changed: stop the work on the items, then call ``release_set``."""
    FAILURE = "FAILURE"
    """Over, for good: nothing is ours. ``error`` says why; make another one."""


class Tls:
    """Encrypted connections to ZooKeeper.

    Args:
        ca: a PEM file with the certificates that the servers are checked against.
        certificate: a PEM file with our own certificate, for servers that check their clients.
        key: the PEM file with its private key, not encrypted.

    Raises:
        Invalid: a certificate without its key, or a key without its certificate.

    The files are read anew for each session.
    """

    __slots__ = ("ca", "identity")

    def __init__(
        self,
        ca: str | os.PathLike[str],
        certificate: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
    ) -> None:
        if (certificate is None) is not (key is None):
            raise Invalid("a certificate and its key belong together: give both, or neither")
        self.ca = ca
        self.identity = None if certificate is None or key is None else (certificate, key)

    def __repr__(self) -> str:
        return f"Tls(ca={self.ca!r}, certificate={self.identity and self.identity[0]!r})"


def connect(
    url: str,
    *,
    identifier: str | None = None,
    session_timeout: float | timedelta | None = None,
    connect_timeout: float | timedelta | None = None,
    auth: str | None = None,
    default_acl: Sequence[str] | None = None,
    tls: Tls | None = None,
) -> Client:
    """Open a session on a store.

    Args:
        url: ``zookeeper://host:port,.../chroot``, ``embedded:/directory`` (the processes of one
            host, without a server) or ``memory:`` (this process alone; ``memory:name`` for several
            clients of the same tree).
        identifier: how this member names itself to the others; ``host-process`` by default.
        session_timeout: seconds or a timedelta after which ZooKeeper's servers give up a member
            that is silent; 10 by default. A grant is lost after 2/3 of it.
        connect_timeout: seconds or a timedelta that opening a session may take, this one and each
            later one that takes the place of a lost one; 10 by default. Only for ZooKeeper.
        auth: who we are to ZooKeeper: ``digest:user:password``, ``sasl:user:password`` or
            ``gssapi:service@host``. The password, or the whole, may be ``file:/path`` or
            ``env:NAME``. It shows in no message and no repr.
        default_acl: who else may use the nodes that we make, each as ``scheme:id:permissions``,
            as in ``world:anyone:r``.
        tls: encrypts the connections.

    Returns:
        The client. Closing it, leaving its ``with`` block, or the end of the interpreter ends the
        session, and gives back what it held.

    Raises:
        Invalid: the URL or an option is wrong, or the store refuses who we are.
        Unavailable: the store does not answer.
    """
    return _core.connect(
        url,
        identifier,
        session_timeout,
        connect_timeout,
        auth,
        list(default_acl) if default_acl is not None else None,
        None if tls is None else tls.ca,
        None if tls is None else tls.identity,
    )
