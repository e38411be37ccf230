"""States, events, and what the store knows of a node, by kazoo's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class KazooState:
    """What a client tells its listeners.

    Attributes:
        CONNECTED: The store answers.
        SUSPENDED: It does not. Grants hold until the session's own deadline.
        LOST: The session is over, and all that it held. Told at 2/3 of the session timeout after
            the last answer, by this host's own clock: the servers need not be there to say so.
    """

    SUSPENDED = "SUSPENDED"
    CONNECTED = "CONNECTED"
    LOST = "LOST"


class KeeperState:
    """What events tell of the session."""

    AUTH_FAILED = "AUTH_FAILED"
    CONNECTED = "CONNECTED"
    CONNECTED_RO = "CONNECTED_RO"
    CONNECTING = "CONNECTING"
    CLOSED = "CLOSED"
    EXPIRED_SESSION = "EXPIRED_SESSION"


class EventType:
    """What became of a node."""

    CREATED = "CREATED"
    DELETED = "DELETED"
    CHANGED = "CHANGED"
    CHILD = "CHILD"
    NONE = "NONE"


class WatchedEvent(NamedTuple):
    """What a watch is called with."""

    type: str
    state: str
    path: str | None


class Callback(NamedTuple):
    """A call for a handler to make."""

    type: str
    func: Callable[..., Any]
    args: tuple[Any, ...]


class ZnodeStat(NamedTuple):
    """What the store knows of a node, by ZooKeeper's names and by kazoo's."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeralOwner: int  # noqa: N815 (ZooKeeper's name, as the next two)
    dataLength: int  # noqa: N815
    numChildren: int  # noqa: N815
    pzxid: int

    @property
    def created(self) -> float:
        """When it was made, in seconds since 1970 by the server's clock."""
        return self.ctime / 1000.0

    @property
    def last_modified(self) -> float:
        """When its data were changed last, likewise."""
        return self.mtime / 1000.0

    @property
    def owner_session_id(self) -> int | None:
        """The session that it ends with; None for a persistent node."""
        return self.ephemeralOwner or None

    @property
    def creation_transaction_id(self) -> int:
        """The transaction that made it."""
        return self.czxid

    @property
    def last_modified_transaction_id(self) -> int:
        """The transaction that changed its data last."""
        return self.mzxid

    @property
    def acl_version(self) -> int:
        """How many times its access control list was replaced."""
        return self.aversion

    @property
    def children_version(self) -> int:
        """How many times children came or went."""
        return self.cversion

    @property
    def data_length(self) -> int:
        """How many bytes it holds."""
        return self.dataLength

    @property
    def children_count(self) -> int:
        """How many children it has."""
        return self.numChildren
