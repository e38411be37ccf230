"""kazoo's own test modules, run against `coordinator.kazoo`.

They ship inside the kazoo package. Each is loaded with our modules in the place of kazoo's, and
with a harness in the place of theirs: our server, and a proxy before it that breaks connections and
ends sessions for real, where theirs pretends to.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import types
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import pytest

import coordinator.kazoo
from coordinator.kazoo.client import KazooClient
from waiting import BOUND
from zookeeper_server import Proxy
from zookeeper_server.fixtures import Chroot


class Event(Protocol):
    """What kazoo's tests make to wait for."""

    def set(self) -> None: ...

    def wait(self, timeout: float) -> bool: ...


class KazooTestHarness(unittest.TestCase):
    """A client behind a proxy, and others that are not."""

    client: KazooClient

    @pytest.fixture(autouse=True)
    def _own_chroot(self, zookeeper: Chroot) -> Iterator[None]:
        self._chroot = zookeeper
        self._clients: list[KazooClient] = []
        with Proxy(zookeeper.address) as self._proxy:
            yield

    def setUp(self) -> None:
        self.hosts = self._chroot.through(self._proxy).hosts
        self.client = self._get_client()
        self.client.start()
        self.hosts = self._chroot.hosts

    def tearDown(self) -> None:
        while self._clients:
            client = self._clients.pop()
            client.stop()
            client.close()

    def _get_client(self, **options: Any) -> KazooClient:
        client = KazooClient(self.hosts, **{"timeout": 15, **options})
        self._clients.append(client)
        return client

    def lose_connection(self, event_factory: Callable[[], Event]) -> None:
        """Break the client's connection, and wait until it has another one."""
        self._break("SUSPENDED", self._proxy.cut_all, event_factory)

    def expire_session(self, event_factory: Callable[[], Event]) -> None:
        """End the client's session on the server, and wait until it has another one."""
        self._break("LOST", self._proxy.expire_sessions, event_factory)

    def _break(
        self, expected: str, act: Callable[[], None], event_factory: Callable[[], Event]
    ) -> None:
        broken, safe = event_factory(), event_factory()
        states: list[str] = []

        def listen(state: str) -> bool:
            states.append(state)
            if state == expected:
                broken.set()
            elif expected in states and state == "CONNECTED":
                safe.set()
                return True
            return False

        self.client.add_listener(listen)
        act()
        assert broken.wait(BOUND), states
        assert safe.wait(BOUND), states
        self.client.retry(self.client.get_async, "/")


def load(name: str) -> list[type[unittest.TestCase]]:
    """The test cases of one of kazoo's test modules, with our package in the place of kazoo."""
    harness = types.ModuleType("kazoo.testing")
    harness.__dict__.update(KazooTestCase=KazooTestHarness, KazooTestHarness=KazooTestHarness)
    spec = importlib.util.find_spec(f"kazoo.tests.{name}")
    assert spec is not None, name
    assert spec.origin is not None, name
    module = types.ModuleType(f"kazoo_{name}")
    module.__file__ = spec.origin
    with mock.patch.dict(sys.modules, {**substitutes(), "kazoo.testing": harness}):
        exec(compile(Path(spec.origin).read_text(), spec.origin, "exec"), module.__dict__)
    kinds = [value for value in vars(module).values() if isinstance(value, type)]
    cases = [kind for kind in kinds if issubclass(kind, unittest.TestCase)]
    return [case for case in cases if case.__module__ == module.__name__]


def substitutes() -> dict[str, types.ModuleType]:
    """Our modules, by the names of kazoo's."""
    ours = coordinator.kazoo
    names = [each.name for each in pkgutil.walk_packages(ours.__path__, f"{ours.__name__}.")]
    return {name.removeprefix("coordinator."): importlib.import_module(name) for name in names}


def names_of_tests(case: type[unittest.TestCase]) -> list[str]:
    """The names of the tests in a case."""
    return unittest.TestLoader().getTestCaseNames(case)  # type: ignore[return-value]
