"""Fixtures: a shared server with a fresh chroot for each test, servers of one's own, proxies."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from kazoo.client import KazooClient

import coordinator
from coordinator.kazoo import KazooClient as NamedClient

from .proxy import Proxy
from .server import ZooKeeperServer
from .shared import SharedServer

MakeKazoo = Callable[..., KazooClient]
MakeOurs = Callable[..., coordinator.Client]
MakeNamed = Callable[..., NamedClient]
LONGEST_SESSION = 120.0
_numbers = itertools.count()


@dataclass(frozen=True)
class Chroot:
    """A part of a server that is one test's own."""

    address: tuple[str, int]
    path: str

    @property
    def hosts(self) -> str:
        """`host:port/chroot`, as clients want it."""
        return f"{self.address[0]}:{self.address[1]}{self.path}"

    @property
    def url(self) -> str:
        """As coordinator wants it."""
        return f"zookeeper://{self.hosts}"

    def through(self, proxy: Proxy) -> Chroot:
        """The same part, as seen through a proxy."""
        return Chroot(("127.0.0.1", proxy.port), self.path)


@contextmanager
def started_kazoo(hosts: str, **arguments: object) -> Iterator[KazooClient]:
    """A kazoo client that is connected."""
    client = KazooClient(hosts, **arguments)
    try:
        client.start(timeout=30)
        yield client
    finally:
        client.stop()
        client.close()


@pytest.fixture(scope="session")
def zookeeper_server(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Iterator[SharedServer]:
    """The one server of the test run, for all workers of pytest-xdist."""
    directory = tmp_path_factory.getbasetemp()
    with SharedServer(directory if worker_id == "master" else directory.parent) as server:
        yield server


@pytest.fixture(scope="session")
def root_kazoo(zookeeper_server: SharedServer) -> Iterator[KazooClient]:
    """A kazoo client on the whole shared server, to look at nodes and to prepare them.

    It is idle while other tests of this worker run, perhaps for longer than a usual session lasts
    on a machine that is busy: so its own is the longest that the server allows.
    """
    with started_kazoo(zookeeper_server.hosts, timeout=LONGEST_SESSION) as client:
        yield client


@pytest.fixture
def zookeeper(zookeeper_server: SharedServer, root_kazoo: KazooClient, worker_id: str) -> Chroot:
    """A fresh chroot on the shared server."""
    path = f"/{worker_id}-{next(_numbers)}"
    # Whatever became of its session since the last test: that is not this one's matter.
    root_kazoo.retry(root_kazoo.ensure_path, path)
    return Chroot(zookeeper_server.address, path)


@pytest.fixture
def own_server() -> Iterator[ZooKeeperServer]:
    """A server to freeze and to kill."""
    with ZooKeeperServer() as server:
        yield server


@pytest.fixture
def proxy(zookeeper: Chroot) -> Iterator[Proxy]:
    """A proxy before the shared server."""
    with Proxy(zookeeper.address) as proxy:
        yield proxy


@pytest.fixture
def kazoo(zookeeper: Chroot) -> Iterator[MakeKazoo]:
    """Makes kazoo clients on the test's chroot, or on `hosts`; they are stopped at the end."""
    with ExitStack() as clients:

        def make(hosts: str = zookeeper.hosts, **arguments: object) -> KazooClient:
            return clients.enter_context(started_kazoo(hosts, **arguments))

        yield make


@pytest.fixture
def ours(zookeeper: Chroot) -> Iterator[MakeOurs]:
    """Makes clients of ours on the test's chroot, or on `hosts`; they are closed at the end."""
    with ExitStack() as clients:

        def make(hosts: str = zookeeper.hosts, **arguments: Any) -> coordinator.Client:
            client = coordinator.connect(f"zookeeper://{hosts}", **arguments)
            clients.callback(client.close)
            return client

        yield make


@pytest.fixture
def named(zookeeper: Chroot) -> Iterator[MakeNamed]:
    """Makes clients of ours under kazoo's names, likewise; they are stopped at the end."""
    with ExitStack() as clients:

        def make(hosts: str = zookeeper.hosts, **arguments: Any) -> NamedClient:
            client = NamedClient(hosts, **arguments)
            client.start(timeout=30)
            clients.callback(client.stop)
            return client

        yield make
