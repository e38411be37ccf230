"""From this package's errors to kazoo's exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from coordinator.exceptions import AcquireTimeout, Conflict, Unavailable
from coordinator.kazoo.exceptions import (
    ConnectionClosedError,
    ConnectionLoss,
    LockTimeout,
    ZookeeperError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coordinator.kazoo.client import KazooClient


@contextmanager
def translated(client: KazooClient) -> Iterator[None]:
    """Raise what kazoo raises: for a timeout, for members that disagree, for a store out of reach.

    A wrong argument stays ``coordinator.Invalid``, which is a ValueError too.
    """
    try:
        yield
    except AcquireTimeout as error:
        raise LockTimeout(str(error)) from error
    except Conflict as error:
        raise ValueError(str(error)) from error
    except Unavailable as error:
        if not client.started:
            raise ConnectionClosedError(str(error)) from error
        # A store that answers has refused; trying again would not help.
        raise (ZookeeperError if client.connected else ConnectionLoss)(str(error)) from error
