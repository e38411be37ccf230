"""Minions with the older modules and with ours share a path: one lease means one holder."""

from __future__ import annotations

from collections.abc import Callable

from kazoo.client import KazooClient

from recipes import PATH
from salt_minion import BESIDE, BOUND, Minion
from waiting import until
from zookeeper_server.fixtures import Chroot, MakeKazoo, MakeOurs

# On 3006 with the module of Salt's core, as nobody; on 3008 with saltext-zookeeper, as a user.
OLD = {"3006": (), "3008": (BESIDE,)}
USER = {"3006": None, "3008": {"username": "salt", "password": "of-the-minions"}}


def test_each_waits_for_the_other(
    make_minion: Callable[..., Minion],
    release: str,
    zookeeper: Chroot,
    ours: MakeOurs,
    kazoo: MakeKazoo,
) -> None:
    user = USER[release]
    options = {"zookeeper": {"hosts": zookeeper.hosts, **(user or {})}}
    old = make_minion(release, "old", providers=OLD[release], options=options)
    new = make_minion(release, "new", options=options)
    who = "salt:of-the-minions"
    client: KazooClient = kazoo(auth_data=[("digest", who)] if user else None)
    auth = f"digest:{who}" if user else None
    observer = ours(identifier="observer", auth=auth).semaphore(PATH, 1)

    # Theirs first: it has the lease, and ours waits, and has it when it is given back.
    assert old.call("zk_concurrency.lock", PATH, identifier="old") is True
    assert new.call("zk_concurrency.lock_holders", PATH) == ["old"]
    refused = new.run("zk_concurrency.lock", PATH, timeout=1)
    assert "behind old" in refused.stdout + refused.stderr
    waiting = new.start("zk_concurrency.lock", PATH)
    until(lambda: observer.status()["waiting"] == ["new"], BOUND)
    assert old.call("zk_concurrency.unlock", PATH, identifier="old") is True
    assert "true" in waiting.communicate(timeout=BOUND)[0]

    # And the other way round.
    assert old.call("zk_concurrency.lock_holders", PATH) == ["new"]
    theirs = old.start("zk_concurrency.lock", PATH, identifier="old")
    until(lambda: observer.status()["waiting"] == ["old"], BOUND)
    assert observer.lease_holders() == ["new"]
    assert new.call("zk_concurrency.unlock", PATH) is True
    assert "true" in theirs.communicate(timeout=BOUND)[0]
    assert observer.lease_holders() == ["old"]

    # What a minion has taken with the old module, it gives back with ours.
    assert new.call("zk_concurrency.unlock", PATH, identifier="old") is True
    assert client.get_children(PATH) == []
    assert client.get(PATH)[0] == b"1"
