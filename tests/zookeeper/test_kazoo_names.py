"""`coordinator.kazoo` beside kazoo: the same calls give the same, and states are told in time."""

from __future__ import annotations

import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from kazoo.client import KazooClient as Theirs
from kazoo.security import CREATOR_ALL_ACL as THEIR_CREATOR_ALL_ACL

from coordinator.kazoo import (
    AuthFailedError,
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    EventType,
    KazooClient,
    KazooState,
    KeeperState,
    NoNodeError,
    NotProvidedError,
    WatchedEvent,
)
from coordinator.kazoo.handlers.threading import AsyncResult
from coordinator.kazoo.security import CREATOR_ALL_ACL
from waiting import BOUND, until
from zookeeper_server import Proxy, ZooKeeperServer
from zookeeper_server.fixtures import Chroot, MakeKazoo, MakeNamed


def calls(client: Any) -> Iterator[Any]:
    """What the calls of nodes return and raise, without what differs by chance."""

    def told(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        try:
            result = function(*arguments, **keywords)
        except Exception as error:
            return type(error).__name__
        return result.get(timeout=BOUND) if hasattr(result, "rawlink") else result

    yield told(client.create, "/a", b"one")
    yield told(client.create, "/a")
    yield told(client.create, "/b/c/d")
    yield told(client.create, "/b/c/d", b"x", makepath=True)
    yield told(client.create, "/b/n-", sequence=True)
    yield told(client.create, "/b/n-", ephemeral=True, sequence=True)
    yield told(client.create, "relative/path", makepath=True)
    yield told(client.create, "/a/../b")
    yield told(client.create, 7)
    yield told(client.create, "/a\0")
    yield told(client.create, "/e", ephemeral=True)
    yield told(client.create, "/e/f")
    yield stat(told(client.create, "/g", b"12345", include_data=True)[1])
    yield told(client.ensure_path, "/a")
    yield told(client.ensure_path, "/h/i/j")
    yield told(client.create, "/h/", sequence=True)
    yield told(client.exists, "/nothing")
    yield stat(told(client.exists, "/b"))
    yield stat(told(client.exists, "/g"))
    yield told(client.get, "/nothing")
    yield told(client.get, "/a")[0]
    yield stat(told(client.set, "/a", b"two", version=0))
    yield told(client.set, "/a", b"three", version=0)
    yield told(client.set, "/a", "text")
    yield told(client.set, "/nothing", b"")
    yield told(client.get_async, "/a")[0]
    yield sorted(told(client.get_children, "/b"))
    yield sorted(told(client.get_children, "/b", include_data=True)[0])
    yield told(client.get_children, "/nothing")
    yield told(client.get_children, "/a", watch="no function")
    yield told(client.sync, "/a")
    yield told(client.delete, "/b")
    yield told(client.delete, "/a", version=9)
    yield told(client.delete, "/a", version=1)
    yield told(client.delete, "/b", recursive=True)
    yield told(client.delete_async, "/g")
    yield told(client.create_async, "/deep/down", b"", makepath=True)
    yield told(client.ensure_path_async, "/deep/down")
    yield told(client.exists_async, "/deep/down").numChildren
    yield sorted(told(client.get_children_async, "/"))
    good = client.transaction()
    good.create("/t", b"1")
    good.set_data("/t", b"2")
    good.create("/t/n-", sequence=True)
    good.check("/t", version=1)
    good.delete("/h/i/j")
    yield [each if isinstance(each, str | bool) else stat(each) for each in good.commit()]
    bad = client.transaction()
    bad.create("/u")
    bad.check("/t", version=5)
    bad.delete("/t")
    yield [type(each).__name__ for each in bad.commit_async().get(timeout=BOUND)]
    yield told(bad.commit)
    yield told(client.exists, "/u")
    with client.transaction() as block:
        block.delete("/deep/down")
    yield told(client.exists, "/deep/down")
    yield client.unchroot(f"{client.chroot}/x"), client.unchroot(client.chroot)


def stat(known: Any) -> tuple[Any, ...]:
    """A stat without transaction numbers and the server's clock."""
    assert known.created <= known.last_modified
    assert known.czxid <= known.mzxid
    counts = (known.version, known.children_version, known.acl_version, known.children_count)
    return (*counts, known.data_length, known.owner_session_id)


def test_calls_of_nodes_give_what_kazoos_give(
    zookeeper: Chroot, kazoo: MakeKazoo, named: MakeNamed
) -> None:
    look = kazoo()
    look.create("/kazoo")
    theirs = list(calls(kazoo(f"{zookeeper.hosts}/kazoo")))
    ours = list(calls(named(f"{zookeeper.hosts}/ours")))
    assert ours == theirs


def test_a_loss_is_told_while_the_servers_are_silent(
    own_server: ZooKeeperServer, named: MakeNamed
) -> None:
    states: queue.Queue[str] = queue.Queue()
    client = named(own_server.hosts, timeout=3)
    lock = client.Lock("/lock", "me")
    assert lock.acquire()
    client.add_listener(states.put)
    began = time.monotonic()
    own_server.freeze()
    try:
        assert states.get(timeout=BOUND) == KazooState.SUSPENDED
        assert states.get(timeout=BOUND) == KazooState.LOST
        # A busy machine may be late; kazoo would never have said it.
        assert time.monotonic() - began < 15
        assert (client.state, client.connected, lock.is_acquired) == (KazooState.LOST, False, False)
    finally:
        own_server.thaw()
    assert states.get(timeout=BOUND) == KazooState.CONNECTED
    assert lock.release() is False
    assert lock.acquire(timeout=BOUND)


def test_the_states_of_a_client(named: MakeNamed, proxy: Proxy, zookeeper: Chroot) -> None:
    states: list[str] = []
    client = KazooClient(zookeeper.through(proxy).hosts)
    client.add_listener(states.append)
    with pytest.raises(ConnectionClosedError):
        client.get("/")
    assert (client.state, client.client_state) == (KazooState.LOST, KeeperState.CLOSED)
    client.start()
    proxy.cut_all()
    until(lambda: states[-1:] == ["CONNECTED"] and len(states) == 3)
    client.restart()
    until(lambda: len(states) == 5)
    client.stop()
    assert states == ["CONNECTED", "SUSPENDED", "CONNECTED", "LOST", "CONNECTED", "LOST"]
    with pytest.raises(ConnectionClosedError):
        client.Lock("/lock").acquire()
    client.close()


def test_a_listener_may_use_the_client_and_is_told_no_more_once_it_returns_true(
    named: MakeNamed, proxy: Proxy, zookeeper: Chroot
) -> None:
    client = named(zookeeper.through(proxy).hosts)
    told: list[Any] = []

    def listen(state: str) -> bool:
        told.append((state, client.get_async("/").get(timeout=BOUND)[0], client.get("/")[0]))
        return state == KazooState.CONNECTED

    client.add_listener(listen)
    proxy.cut_all()
    until(lambda: len(told) == 2)
    assert not client.state_listeners
    assert told == [("SUSPENDED", b"", b""), ("CONNECTED", b"", b"")]


def test_watches_are_called_once_and_live_through_a_broken_connection(
    named: MakeNamed, kazoo: MakeKazoo, proxy: Proxy, zookeeper: Chroot
) -> None:
    look, client = kazoo(), named(zookeeper.through(proxy).hosts)
    events: queue.Queue[WatchedEvent] = queue.Queue()
    look.create("/node")
    for _ in range(2):  # the same function twice is called once
        client.get("/node", watch=events.put)
    client.exists_async("/other", watch=events.put).get(timeout=BOUND)
    client.get_children("/node", watch=events.put)
    proxy.cut_all()
    until(lambda: client.state == KazooState.CONNECTED)
    seen = []
    for change in (
        partial(look.set, "/node", b"x"),
        partial(look.create, "/other"),
        partial(look.create, "/node/child"),
    ):
        change()
        seen.append(events.get(timeout=BOUND))
    connected = KeeperState.CONNECTED
    assert seen == [
        (EventType.CHANGED, connected, "/node"),
        (EventType.CREATED, connected, "/other"),
        (EventType.CHILD, connected, "/node"),
    ]
    client.get("/node", watch=events.put)
    client.stop()
    ended = events.get(timeout=BOUND)
    assert (ended.type, ended.path) == (EventType.NONE, None)
    assert events.empty()


def test_nodes_are_made_with_kazoos_access_control_lists(
    kazoo: MakeKazoo, named: MakeNamed, zookeeper: Chroot
) -> None:
    auth = [("digest", "user:file:/of colons")]
    look = kazoo(auth_data=auth)
    look.create("/kazoo")
    for name, theirs, ours in (
        ("open", {}, {}),
        ("open though authenticated", {"auth_data": auth}, {"auth_data": auth}),
        (
            "creator",
            {"auth_data": auth, "default_acl": THEIR_CREATOR_ALL_ACL},
            {"auth_data": auth, "default_acl": CREATOR_ALL_ACL},
        ),
    ):
        kazoo(**theirs).create(f"/kazoo/{name}")
        named(**ours).create(f"/ours/{name}", makepath=True)
        assert look.get_acls(f"/kazoo/{name}")[0] == look.get_acls(f"/ours/{name}")[0], name
    late = named(default_acl=CREATOR_ALL_ACL)
    assert late.add_auth(*auth[0])
    late.create("/late")
    assert look.get_acls("/late")[0] == look.get_acls("/ours/creator")[0]


def test_what_is_not_provided_says_so(named: MakeNamed) -> None:
    client = named()
    for name in ("DataWatch", "ChildrenWatch", "Queue", "get_acls", "server_version"):
        with pytest.raises(NotProvidedError, match=name):
            getattr(client, name)
        assert not hasattr(client, name)
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(client, "nonsense")  # noqa: B009
    with pytest.raises(NotProvidedError, match="acl"):
        client.create("/node", acl=CREATOR_ALL_ACL)
    with pytest.raises(NotProvidedError, match="default_acl"):
        client.default_acl = CREATOR_ALL_ACL
    for arguments in ({"read_only": True}, {"verify_certs": False}, {"keyfile_password": "x"}):
        with pytest.raises(NotProvidedError, match=next(iter(arguments))):
            KazooClient(**arguments)
    with pytest.warns(UserWarning, match="client_id"):
        KazooClient(client_id=(1, b""))
    with pytest.raises(TypeError, match="nonsense"):
        KazooClient(nonsense=1)


def test_what_does_not_wait_is_told_by_callbacks(zookeeper: Chroot) -> None:
    client = KazooClient(zookeeper.hosts)
    assert client.start_async().wait(BOUND)
    results: queue.Queue[AsyncResult] = queue.Queue()
    # In the order of the calls.
    for _ in range(50):
        client.get_async("/").rawlink(results.put)
        client.get_async("/nothing").rawlink(results.put)
        first, second = results.get(timeout=BOUND), results.get(timeout=BOUND)
        assert first.successful()
        assert isinstance(second.exception, NoNodeError)
    client.add_auth_async("digest", "a:b").rawlink(results.put)
    assert results.get(timeout=BOUND).get() is True
    with pytest.raises(AuthFailedError):
        client.add_auth("nonsense", "a:b")
    # The servers end the session by that, and the next one is opened without it.
    until(lambda: client.connected)
    waiting = client.get_async("/")
    client.stop()
    assert waiting.wait(BOUND)
    assert not client.connected


FORKED = """
import os, sys
from coordinator import ForkedError
from coordinator.kazoo import KazooClient

client = KazooClient(sys.argv[1])
client.start()
lock = client.Lock("/lock", "parent")
assert lock.acquire()
child = os.fork()
if not child:
    try:
        assert not lock.is_acquired
        client.get("/")
    except ForkedError:
        os._exit(0)
    os._exit(1)
assert os.waitpid(child, 0)[1] == 0
assert lock.is_acquired and lock.contenders() == ["parent"]
"""


ENDING = """
import sys
from coordinator.kazoo import KazooClient

client = KazooClient(sys.argv[1])
client.start()
client.add_listener(print)
client.get_children("/", watch=print)
assert client.Lock("/lock", "me").acquire()
assert client.get_async("/").get(timeout=30)
"""


def test_a_program_that_ends_gives_back_what_it_held(zookeeper: Chroot, kazoo: MakeKazoo) -> None:
    command = [sys.executable, "-W", "error", "-c", ENDING, zookeeper.hosts]
    for _ in range(3):
        ended = subprocess.run(command, check=True, timeout=BOUND, capture_output=True)
        assert ended.stderr == b""
        assert kazoo().Lock("/lock").contenders() == []


def test_a_forked_child_is_told_so_and_the_parent_holds_on(zookeeper: Chroot) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKED, zookeeper.hosts]
    subprocess.run(command, check=True, timeout=BOUND)


def test_nothing_listens_there(named: MakeNamed) -> None:
    client = KazooClient("127.0.0.1:1")
    with pytest.raises(client.handler.timeout_exception):
        client.start(timeout=0.5)
    assert not client.started


def test_retries_and_errors_have_kazoos_names(named: MakeNamed) -> None:
    client = named()
    client.create("/node")
    failures = [ConnectionLoss("once"), ConnectionLoss("twice")]

    def call() -> bytes:
        if failures:
            raise failures.pop()
        return client.get("/node")[0]

    assert client.retry(call) == b""
    with pytest.raises(BadVersionError):
        client.retry(client.set, "/node", b"", version=7)


def test_the_names_are_kazoos() -> None:
    ours = {name for name in dir(KazooClient) if not name.startswith("_")}
    # kazoo sets these three when a client is made.
    assert ours - set(dir(Theirs)) - {"default_acl", "retry", "state"} == {"started"}
