"""The connection breaks before or after each request of an operation: nothing is lost or left."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from kazoo.client import KazooClient

import coordinator
from cuts import Arm, cut_at_each_request
from waiting import BOUND, Stopwatch, in_thread, until
from zookeeper_server import Point, Proxy
from zookeeper_server.fixtures import Chroot, MakeKazoo, MakeOurs

RECIPES: dict[str, Callable[[coordinator.Client, str], Any]] = {
    "lock": lambda client, path: client.lock(path),
    "read lock": lambda client, path: client.read_lock(path),
    "write lock": lambda client, path: client.write_lock(path),
    "semaphore": lambda client, path: client.semaphore(path, max_leases=1),
    "lasting semaphore": lambda client, path: client.semaphore(path, 1, ephemeral=False),
}
recipes = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
points = pytest.mark.parametrize("point", Point, ids=lambda point: point.name.lower())


def contenders(client: KazooClient, path: str) -> list[str]:
    """Everything that is in the queue or holds, of whatever recipe."""
    found = []
    for directory in (path, f"{path}-__lock__"):
        if client.exists(directory):
            found += client.get_children(directory)
    return found


@recipes
@points
def test_acquire_and_release(
    zookeeper: Chroot,
    proxy: Proxy,
    kazoo: MakeKazoo,
    ours: MakeOurs,
    recipe: Callable[..., Any],
    point: Point,
) -> None:
    look, client = kazoo(), ours(zookeeper.through(proxy).hosts, identifier="member")

    def operation(path: str, arm: Arm) -> None:
        arm()
        grant = recipe(client, path).acquire(timeout=BOUND)
        grant.check()
        assert len(contenders(look, path)) == 1
        grant.release()
        until(lambda: contenders(look, path) == [])

    # Acquire takes one request at the least, release another.
    assert cut_at_each_request(proxy, point, operation) >= 2


@recipes
@points
def test_waiting_behind_another(
    zookeeper: Chroot,
    proxy: Proxy,
    kazoo: MakeKazoo,
    ours: MakeOurs,
    recipe: Callable[..., Any],
    point: Point,
) -> None:
    # Of two names: a lasting lease is given again to whoever has the name of its holder.
    look, other = kazoo(), ours(identifier="other")
    client = ours(zookeeper.through(proxy).hosts, identifier="member")
    blocker = RECIPES["write lock"] if recipe is RECIPES["read lock"] else recipe

    def operation(path: str, arm: Arm) -> None:
        held = blocker(other, path).acquire(timeout=BOUND)
        arm()
        waiting = in_thread(lambda: recipe(client, path).acquire(timeout=BOUND))
        until(lambda: len(contenders(look, path)) == 2)
        held.release()
        grant = waiting.result(BOUND)
        grant.check()
        assert len(contenders(look, path)) == 1
        grant.release()
        until(lambda: contenders(look, path) == [])

    assert cut_at_each_request(proxy, point, operation) >= 3


@recipes
@points
def test_waiting_in_vain(
    zookeeper: Chroot,
    proxy: Proxy,
    kazoo: MakeKazoo,
    ours: MakeOurs,
    recipe: Callable[..., Any],
    point: Point,
) -> None:
    # Of two names: a lasting lease is given again to whoever has the name of its holder.
    look, other = kazoo(), ours(identifier="other")
    client = ours(zookeeper.through(proxy).hosts, identifier="member")
    blocker = RECIPES["write lock"] if recipe is RECIPES["read lock"] else recipe
    timeout = 0.15

    def operation(path: str, arm: Arm) -> None:
        held = blocker(other, path).acquire(timeout=BOUND)
        arm()
        with Stopwatch() as watch, pytest.raises(coordinator.AcquireTimeout):
            recipe(client, path).acquire(timeout=timeout)
        assert timeout <= watch.elapsed < timeout + 0.1 + watch.delay
        until(lambda: len(contenders(look, path)) == 1)
        held.check()
        held.release()
        until(lambda: contenders(look, path) == [])

    assert cut_at_each_request(proxy, point, operation) >= 2


@points
@pytest.mark.parametrize("kind", ["party", "shallow_party"])
def test_joining_and_leaving_a_party(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo, ours: MakeOurs, kind: str, point: Point
) -> None:
    look, client = kazoo(), ours(zookeeper.through(proxy).hosts, identifier="member")

    def operation(path: str, arm: Arm) -> None:
        party = getattr(client, kind)(path)
        arm()
        party.join()
        assert party.members() == ["member"]
        assert len(look.get_children(path)) == 1
        party.leave()
        assert look.get_children(path) == []

    assert cut_at_each_request(proxy, point, operation) >= 3


@points
def test_closing_and_opening_a_barrier(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo, ours: MakeOurs, point: Point
) -> None:
    look, client = kazoo(), ours(zookeeper.through(proxy).hosts)

    def operation(path: str, arm: Arm) -> None:
        barrier = client.barrier(path)
        arm()
        barrier.create()
        assert look.exists(path)
        waiting = in_thread(lambda: barrier.wait(BOUND))
        barrier.remove()
        assert waiting.result(BOUND)
        assert not look.exists(path)

    assert cut_at_each_request(proxy, point, operation) >= 2


@points
def test_entering_and_leaving_a_double_barrier(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo, ours: MakeOurs, point: Point
) -> None:
    look, other, client = kazoo(), ours(), ours(zookeeper.through(proxy).hosts)

    def operation(path: str, arm: Arm) -> None:
        barriers = [each.double_barrier(path, 2) for each in (client, other)]
        arm()
        for entering in [in_thread(partial(each.enter, BOUND)) for each in barriers]:
            entering.result(BOUND)
        for leaving in [in_thread(partial(each.leave, BOUND)) for each in barriers]:
            leaving.result(BOUND)
        until(lambda: set(look.get_children(path)) <= {"ready"})

    assert cut_at_each_request(proxy, point, operation) >= 2
