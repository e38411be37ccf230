"""The proxy of the tests: it fails exactly where it was told to."""

from __future__ import annotations

import pytest
from kazoo.client import KazooState
from kazoo.exceptions import ConnectionLoss
from kazoo.handlers.threading import KazooTimeoutError

from waiting import until
from zookeeper_server import Point, Proxy, request
from zookeeper_server.fixtures import Chroot, MakeKazoo


def test_requests_pass_and_are_noted(zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo) -> None:
    client = kazoo(zookeeper.through(proxy).hosts)
    proxy.forget()  # what kazoo asks to find out whether its chroot exists
    client.create("/node", b"value")
    assert client.get("/node")[0] == b"value"
    transaction = client.transaction()
    transaction.delete("/node")
    transaction.commit()
    noted = [(each.operation, each.path) for each in proxy.requests]
    path = f"{zookeeper.path}/node"
    assert noted == [("create", path), ("get", path), ("multi", path)]


@pytest.mark.parametrize(("point", "made"), [(Point.REQUEST, False), (Point.REPLY, True)])
def test_a_cut_is_before_or_after_the_commit(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo, point: Point, made: bool
) -> None:
    client = kazoo(zookeeper.through(proxy).hosts)
    fault = proxy.cut(point, request("create"), skip=1)
    client.create("/passes")
    with pytest.raises(ConnectionLoss):
        client.create("/meets")
    assert fault.wait().path == f"{zookeeper.path}/meets"
    assert bool(kazoo().exists("/meets")) is made
    # Only once: the client comes back, with the same session.
    assert client.retry(client.exists, "/passes")


def test_nothing_follows_a_request_that_cuts(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo
) -> None:
    client = kazoo(zookeeper.through(proxy).hosts)
    proxy.cut(Point.REPLY, request("create"))
    together = [client.create_async(f"/{number}") for number in range(3)]
    for answer in together:
        with pytest.raises(ConnectionLoss):
            answer.get(timeout=10)
    assert kazoo().get_children("/") == ["0"]


@pytest.mark.parametrize("point", Point)
def test_a_held_request_goes_on_when_it_is_released(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo, point: Point
) -> None:
    client = kazoo(zookeeper.through(proxy).hosts)
    fault = proxy.hold(point, request("create"))
    answer = client.create_async("/held")
    fault.wait()
    with pytest.raises(KazooTimeoutError):
        answer.get(timeout=0.2)
    assert bool(kazoo().exists("/held")) is (point is Point.REPLY)
    fault.release()
    assert answer.get(timeout=10) == "/held"


def test_held_watch_events_and_what_follows_them(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo
) -> None:
    client, other = kazoo(zookeeper.through(proxy).hosts), kazoo()
    seen: list[object] = []
    client.exists("/node", watch=seen.append)
    proxy.hold_watch_events()
    assert client.get_children("/") == []
    other.create("/node")
    with pytest.raises(KazooTimeoutError):
        client.get_children_async("/").get(timeout=0.2)
    assert not seen
    proxy.thaw()
    until(lambda: seen)


def test_a_frozen_network_breaks_nothing(zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo) -> None:
    client = kazoo(zookeeper.through(proxy).hosts, timeout=30)
    proxy.freeze(to_server=False)
    answer = client.create_async("/node")
    until(lambda: kazoo().exists("/node"))
    assert not answer.ready()
    proxy.thaw()
    assert answer.get(timeout=10) == "/node"
    assert client.state == KazooState.CONNECTED


def test_a_network_that_is_down(zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo) -> None:
    client = kazoo(zookeeper.through(proxy).hosts)
    proxy.cut_all(refuse=True)
    until(lambda: client.state == KazooState.SUSPENDED)
    proxy.accept()
    until(lambda: client.state == KazooState.CONNECTED)


def test_an_expired_session(zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo) -> None:
    client = kazoo(zookeeper.through(proxy).hosts)
    states: list[str] = []
    client.add_listener(states.append)
    client.create("/node", ephemeral=True)
    proxy.expire_sessions()
    assert not kazoo().exists("/node")
    until(lambda: states[-1:] == [KazooState.CONNECTED])
    assert KazooState.LOST in states
