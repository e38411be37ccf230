"""The names of :mod:`coordinator` for asyncio: what waits there is a coroutine here.

Example::

    from coordinator import aio

    async with await aio.connect("zookeeper://zk1:2181,zk2:2181/fleet") as client:
        async with client.lock("/deploy", timeout=30) as grant:
            await deploy(fencing_token=grant.token)

Cancelling a task withdraws what it waited for: its place in a queue goes away, and the next in
line is woken. What a method promises stands at the method of the same name in :mod:`coordinator`.
"""

from __future__ import annotations

from coordinator import PartitionState, Tls, _core
from coordinator.aio.barriers import Barrier, DoubleBarrier
from coordinator.aio.client import Client
from coordinator.aio.counters import Counter
from coordinator.aio.leases import Lease
from coordinator.aio.locks import Election, Grant, Lock, Lost, Semaphore
from coordinator.aio.parties import Party
from coordinator.aio.partitioners import Partitioner
from coordinator.aio.scopes import Scope, ScopeGrant
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
    "connect",
]


async def connect(
    url: str,
    *,
    identifier: str | None = None,
    session_timeout: float | timedelta | None = None,
    connect_timeout: float | timedelta | None = None,
    auth: str | None = None,
    default_acl: Sequence[str] | None = None,
    tls: Tls | None = None,
) -> Client:
    """Open a session on a store; arguments and errors as of :func:`coordinator.connect`."""
    client = await _core.connect_async(
        url,
        identifier,
        session_timeout,
        connect_timeout,
        auth,
        list(default_acl) if default_acl is not None else None,
        None if tls is None else tls.ca,
        None if tls is None else tls.identity,
    )
    return Client(client)
