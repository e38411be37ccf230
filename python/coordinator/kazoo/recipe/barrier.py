"""Barriers, by kazoo's names."""

from __future__ import annotations

import os
import socket
import uuid

from coordinator import _core
from coordinator.exceptions import CoordinatorError
from coordinator.kazoo.errors import translated
from coordinator.kazoo.exceptions import KazooException
from coordinator.kazoo.paths import normal
from coordinator.kazoo.recipe.handle import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coordinator.kazoo.client import KazooClient


class Barrier:
    """Closed while its node exists.

    Args:
        client: A client.
        path: Where.
    """

    def __init__(self, client: KazooClient, path: str) -> None:
        self.client = client
        self.path = path
        self._handle = Handle(client, "", lambda core: core.barrier(normal(path)))

    def create(self) -> None:
        """Close it; does nothing to one that is closed."""
        with translated(self.client):
            self._handle().create()

    def remove(self) -> bool:
        """Open it for all; whether it was closed."""
        with translated(self.client):
            return self._handle().remove()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is open; whether it is. Connections that break do not end the waiting."""
        with translated(self.client):
            return self._handle().wait(timeout)


class DoubleBarrier:
    """All begin together, and all go on together.

    Args:
        client: A client.
        path: Where.
        num_clients: How many members there are.
        identifier: Who we are to the others; host and process if None.

    Attributes:
        create_path: The node with which this member enters the first time.
    """

    def __init__(
        self,
        client: KazooClient,
        path: str,
        num_clients: int,
        identifier: str | None = None,
    ) -> None:
        self.client = client
        self.path = path
        self.num_clients = num_clients
        self.node_name = unique = uuid.uuid4().hex
        self.create_path = f"{path}/{unique}"
        self._handle = Handle(
            client,
            identifier or f"{socket.getfqdn()}-{os.getpid()}",
            lambda core: _core.kazoo_double_barrier(core, normal(path), num_clients, unique),
        )

    @property
    def participating(self) -> bool:
        """Whether we are in: entered, and neither left nor lost with our session."""
        barrier = self._handle.made
        return barrier is not None and barrier._inside

    def enter(self) -> None:
        """Come, and wait until all have come.

        As kazoo, it raises nothing that the store is the reason of: :attr:`participating` tells
        whether we are in, and the log tells why not.
        """
        try:
            with translated(self.client):
                self._handle().enter()
            self.client._open().keep(self)
        except (KazooException, CoordinatorError) as error:
            self.client.logger.warning("double barrier %s: not entered: %s", self.path, error)

    def leave(self) -> None:
        """Be done, and wait until all are; we are out in any case."""
        try:
            with translated(self.client):
                self._handle().leave()
            self.client._open().let_go(self)
        except (KazooException, CoordinatorError) as error:
            self.client.logger.warning("double barrier %s: left alone: %s", self.path, error)
