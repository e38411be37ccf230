"""What we leave in the store is what kazoo leaves, byte for byte, and each reads the other's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.security import ACL

import coordinator
from grants import acquire
from waiting import BOUND, in_thread, until
from zookeeper_server.fixtures import Chroot, MakeKazoo, MakeOurs

# Python prints these two with different quotes, and kazoo writes so into a semaphore's guard.
FIRST, SECOND = "host-3", "it's ä"


@dataclass(frozen=True, order=True)
class Node:
    """What can be seen of a node, without what differs by chance."""

    name: str
    data: bytes
    ephemeral: bool
    acl: tuple[ACL, ...]


def nodes_below(client: KazooClient, path: str) -> list[Node]:
    found = []
    for child in client.get_children(path):
        whole = f"{path}/{child}"
        data, stat = client.get(whole)
        name = re.sub(r"\d{10}$", "<sequence>", re.sub(r"[0-9a-f]{32}", "<unique>", whole))
        acl = tuple(client.get_acls(whole)[0])
        found.append(Node(name, data, stat.ephemeralOwner != 0, acl))
        found += nodes_below(client, whole)
    return sorted(found)


def has(client: KazooClient, path: str, count: int) -> bool:
    try:
        return len(nodes_below(client, path)) == count
    except NoNodeError:
        # Not there yet, or gone since it was listed: a guard goes when its lease is made.
        return False


Acts = Sequence[Callable[[], Any]]


@dataclass(frozen=True)
class Scene:
    """What two members do, one after the other; the last act may wait.

    Attributes:
        nodes: How many nodes there are then.
        kazoo: The acts of two kazoo clients.
        ours: The same acts of two clients of ours.
    """

    nodes: int
    kazoo: Callable[[KazooClient, KazooClient], Acts]
    ours: Callable[[coordinator.Client, coordinator.Client], Acts]


SCENES = {
    "lock": Scene(
        3,
        lambda a, b: [a.Lock("/path", FIRST).acquire, b.Lock("/path", SECOND).acquire],
        lambda a, b: [a.lock("/path").acquire, b.lock("/path").acquire],
    ),
    "lock with parents": Scene(
        4,
        lambda a, b: [a.Lock("/some/parents/path", FIRST).acquire],
        lambda a, b: [a.lock("/some/parents/path").acquire],
    ),
    "released lock": Scene(
        1,
        lambda a, b: [(lock := a.Lock("/path", FIRST)).acquire, lock.release],
        lambda a, b: [(lock := a.lock("/path")).acquire, lock.release],
    ),
    "writer behind a reader": Scene(
        3,
        lambda a, b: [a.ReadLock("/path", FIRST).acquire, b.WriteLock("/path", SECOND).acquire],
        lambda a, b: [a.read_lock("/path").acquire, b.write_lock("/path").acquire],
    ),
    "reader behind a writer": Scene(
        3,
        lambda a, b: [a.WriteLock("/path", FIRST).acquire, b.ReadLock("/path", SECOND).acquire],
        lambda a, b: [a.write_lock("/path").acquire, b.read_lock("/path").acquire],
    ),
    "semaphore with a waiter": Scene(
        4,
        lambda a, b: [a.Semaphore("/path", FIRST).acquire, b.Semaphore("/path", SECOND).acquire],
        lambda a, b: [a.semaphore("/path").acquire, b.semaphore("/path").acquire],
    ),
    "semaphore of seven": Scene(
        4,
        lambda a, b: [
            a.Semaphore("/path", FIRST, max_leases=7).acquire,
            b.Semaphore("/path", SECOND, max_leases=7).acquire,
        ],
        lambda a, b: [
            a.semaphore("/path", max_leases=7).acquire,
            b.semaphore("/path", max_leases=7).acquire,
        ],
    ),
    "released semaphore": Scene(
        2,
        lambda a, b: [(sem := a.Semaphore("/path", FIRST)).acquire, sem.release],
        lambda a, b: [(sem := a.semaphore("/path")).acquire, sem.release],
    ),
    "party": Scene(
        3,
        lambda a, b: [a.Party("/path", FIRST).join, b.Party("/path", SECOND).join],
        lambda a, b: [a.party("/path").join, b.party("/path").join],
    ),
    "shallow party": Scene(
        3,
        lambda a, b: [a.ShallowParty("/path", FIRST).join, b.ShallowParty("/path", SECOND).join],
        lambda a, b: [a.shallow_party("/path").join, b.shallow_party("/path").join],
    ),
    "election": Scene(
        3,
        lambda a, b: [
            a.Election("/path", FIRST).lock.acquire,
            b.Election("/path", SECOND).lock.acquire,
        ],
        lambda a, b: [a.election("/path").acquire, b.election("/path").acquire],
    ),
    "counter": Scene(
        2,
        lambda a, b: [lambda: a.Counter("/some/path") + 5, lambda: b.Counter("/some/path") - 7],
        lambda a, b: [
            partial(a.counter("/some/path").add, 5),
            partial(b.counter("/some/path").add, -7),
        ],
    ),
    "counter of floats": Scene(
        1,
        lambda a, b: [lambda: a.Counter("/path", default=1e-5) + 1e22],
        lambda a, b: [partial(a.counter("/path", 1e-5).add, 1e22)],
    ),
    "counter of small floats": Scene(
        1,
        lambda a, b: [lambda: a.Counter("/path", default=0.0) + 1e-7],
        lambda a, b: [partial(a.counter("/path", 0.0).add, 1e-7)],
    ),
    "counter as Curator's": Scene(
        1,
        lambda a, b: [lambda: a.Counter("/path", support_curator=True) - 2],
        lambda a, b: [partial(a.counter("/path", curator=True).add, -2)],
    ),
    "barrier": Scene(
        1, lambda a, b: [a.Barrier("/path").create], lambda a, b: [a.barrier("/path").create]
    ),
    "removed barrier": Scene(
        0,
        lambda a, b: [(barrier := a.Barrier("/path")).create, barrier.remove],
        lambda a, b: [(barrier := a.barrier("/path")).create, barrier.remove],
    ),
    "double barrier, half full": Scene(
        2,
        lambda a, b: [a.DoubleBarrier("/path", 2, FIRST).enter],
        lambda a, b: [a.double_barrier("/path", 2).enter],
    ),
    "double barrier, ready": Scene(
        3,
        lambda a, b: [a.DoubleBarrier("/path", 1, FIRST).enter],
        lambda a, b: [a.double_barrier("/path", 1).enter],
    ),
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_nodes_are_the_same(
    zookeeper: Chroot, kazoo: MakeKazoo, ours: MakeOurs, scene: Scene
) -> None:
    look = kazoo()
    look.create("/kazoo")
    look.create("/ours")
    theirs = [kazoo(f"{zookeeper.hosts}/kazoo") for _ in (FIRST, SECOND)]
    mine = [ours(f"{zookeeper.hosts}/ours", identifier=each) for each in (FIRST, SECOND)]
    # Kept until the end: what nobody has any more is given back.
    acts = [scene.kazoo(*theirs), scene.ours(*mine)]
    futures = [run(each) for each in acts]
    for side in ("/kazoo", "/ours"):
        until(partial(has, look, side, scene.nodes))
    expected = [
        Node(**{**vars(node), "name": node.name[6:]}) for node in nodes_below(look, "/kazoo")
    ]
    assert [
        Node(**{**vars(node), "name": node.name[5:]}) for node in nodes_below(look, "/ours")
    ] == expected
    del acts, futures


def run(acts: Acts) -> list[Future[Any]]:
    """Begin one after the other; all but the last have to end."""
    futures: list[Future[Any]] = []
    for act in acts:
        for earlier in futures:
            earlier.result(BOUND)
        futures.append(in_thread(act))
    return futures


def test_each_lists_the_contenders_of_the_other(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    theirs = kazoo()
    order = ["kazoo-1", "ours-2", "kazoo-3", "ours-4"]
    acts = [
        theirs.Lock("/lock", order[0]).acquire,
        ours(identifier=order[1]).lock("/lock").acquire,
        kazoo().Lock("/lock", order[2]).acquire,
        ours(identifier=order[3]).lock("/lock").acquire,
    ]
    waiting = []
    for number, act in enumerate(acts, 1):
        waiting.append(in_thread(act))
        until(partial(has, theirs, "/lock", number))
    assert theirs.Lock("/lock").contenders() == order
    assert ours().lock("/lock").contenders() == order


def test_each_lists_the_lease_holders_of_the_other(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    theirs, mine = kazoo(), ours(identifier="ours")
    assert theirs.Semaphore("/semaphore", "kazoo", max_leases=2).acquire(timeout=5)
    grant = acquire(mine.semaphore("/semaphore", max_leases=2))
    both = ["kazoo", "ours"]
    assert sorted(theirs.Semaphore("/semaphore", max_leases=2).lease_holders()) == both
    assert sorted(mine.semaphore("/semaphore", max_leases=2).lease_holders()) == both
    grant.release()
    assert theirs.Semaphore("/semaphore", max_leases=2).lease_holders() == ["kazoo"]


def test_members_of_a_party_see_each_other(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    theirs, mine = kazoo().Party("/party", "kazoo"), ours(identifier="ours").party("/party")
    theirs.join()
    mine.join()
    assert sorted(theirs) == sorted(mine.members()) == ["kazoo", "ours"]
    theirs.leave()
    assert list(mine.members()) == ["ours"]
    mine.leave()
    assert list(theirs) == []


def test_members_of_a_shallow_party_see_each_other(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    theirs = kazoo().ShallowParty("/party", "kazoo-1")
    mine = ours(identifier="ours-2").shallow_party("/party")
    theirs.join()
    mine.join()
    assert sorted(theirs) == sorted(mine.members()) == ["kazoo-1", "ours-2"]
    theirs.leave()
    assert list(mine.members()) == ["ours-2"]
    mine.leave()
    assert list(theirs) == []


def test_a_barrier_keeps_both_out(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    theirs, mine = kazoo(), ours()
    for make, wait in (
        (theirs.Barrier("/barrier"), mine.barrier("/barrier")),
        (mine.barrier("/barrier"), theirs.Barrier("/barrier")),
    ):
        make.create()
        waiting = in_thread(partial(wait.wait, BOUND))
        make.remove()
        waiting.result(BOUND)


def test_a_double_barrier_of_both(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    theirs = kazoo().DoubleBarrier("/barrier", 2, "kazoo")
    mine = ours(identifier="ours").double_barrier("/barrier", 2)
    entering = in_thread(theirs.enter)
    mine.enter(BOUND)
    entering.result(BOUND)
    leaving = in_thread(theirs.leave)
    mine.leave(BOUND)
    leaving.result(BOUND)


def test_each_is_told_that_the_number_of_leases_is_another(
    kazoo: MakeKazoo, ours: MakeOurs
) -> None:
    theirs, mine = kazoo(), ours()
    theirs.Semaphore("/of-kazoo", max_leases=2).acquire(timeout=5)
    with pytest.raises(coordinator.Conflict, match="2"):
        mine.semaphore("/of-kazoo", max_leases=3).acquire(timeout=5)
    grant = acquire(mine.semaphore("/of-ours", max_leases=3))
    with pytest.raises(ValueError, match="3"):
        theirs.Semaphore("/of-ours", max_leases=2).acquire(timeout=5)
    grant.release()
