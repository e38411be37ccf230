"""How kazoo 2.11 miscounts semaphores and barriers, and how we count: D6, D9."""

from __future__ import annotations

from functools import partial

import pytest
from kazoo.client import KazooClient

import coordinator
from grants import acquire
from waiting import BOUND, hangs, in_thread, until
from zookeeper_server import Point, Proxy, ZooKeeperServer, request
from zookeeper_server.fixtures import Chroot, MakeKazoo, MakeOurs

# -- D6: the number of leases --------------------------------------------------------------------


def test_d6_kazoo_loses_the_number_of_leases_between_making_and_setting_the_node(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo
) -> None:
    first, second = kazoo(zookeeper.through(proxy).hosts), kazoo()
    fault = proxy.cut(Point.REQUEST, request("set"))
    assert first.Semaphore("/semaphore", "first", max_leases=1).acquire(timeout=5)
    fault.wait()
    # Neither of them learns that they disagree, and both hold.
    assert second.Semaphore("/semaphore", "second", max_leases=5).acquire(timeout=5)
    assert second.get("/semaphore")[0] == b""
    assert len(second.get_children("/semaphore")) == 2


@pytest.mark.parametrize("point", Point)
def test_d6_ours_agree_on_the_number_of_leases_wherever_the_first_is_cut_off(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo, ours: MakeOurs, point: Point
) -> None:
    first, second, look = ours(zookeeper.through(proxy).hosts), ours(), kazoo()
    proxy.forget()
    acquire(first.semaphore("/first", max_leases=1)).release()
    for number in range(len(proxy.requests)):
        path = f"/semaphore-{number}"
        fault = proxy.cut(point, skip=number)
        grant = acquire(first.semaphore(path, max_leases=1))
        assert look.get(path)[0] == b"1"
        with pytest.raises(coordinator.Conflict):
            second.semaphore(path, max_leases=5).acquire(timeout=5)
        grant.release()
        fault.wait()


def test_d6_kazoo_counts_any_child_as_a_lease(kazoo: MakeKazoo) -> None:
    client = kazoo()
    client.create("/semaphore", b"1")
    client.create("/semaphore/notes-of-an-operator")
    assert not client.Semaphore("/semaphore", max_leases=1).acquire(blocking=False)


def test_d6_ours_counts_leases_only(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    client = kazoo()
    client.create("/semaphore", b"1")
    client.create("/semaphore/notes-of-an-operator")
    semaphore = ours(identifier="ours").semaphore("/semaphore", max_leases=1)
    grant = semaphore.acquire(blocking=False)
    assert grant is not None
    assert semaphore.lease_holders() == ["ours"]
    grant.release()


def test_d6_kazoo_leaves_a_listener_for_every_semaphore(kazoo: MakeKazoo) -> None:
    client = kazoo()
    before = len(client.state_listeners)
    for _ in range(50):
        semaphore = client.Semaphore("/semaphore")
        semaphore.acquire(timeout=5)
        semaphore.release()
    assert len(client.state_listeners) - before == 50


def test_d6_ours_leaves_no_watch_behind(own_server: ZooKeeperServer, ours: MakeOurs) -> None:
    client = ours(own_server.hosts)
    for number in range(50):
        with client.semaphore("/semaphore"):
            held = client.semaphore("/semaphore", timeout=0)
            with pytest.raises(coordinator.AcquireTimeout):
                held.acquire(timeout=0.001 * (number % 5))
    until(lambda: own_server.ask("wchs").endswith("Total watches:0\n"))


def test_d6_kazoo_writes_its_guard_for_no_human(kazoo: MakeKazoo) -> None:
    client, waiter = kazoo(), kazoo()
    held = client.Semaphore("/semaphore", "holder")
    held.acquire(timeout=5)
    waiting = in_thread(waiter.Semaphore("/semaphore", "host3").acquire)
    guard = client.Lock("/semaphore-__lock__")
    until(lambda: guard.contenders() == ["b'host3'"])
    held.release()
    assert waiting.result(BOUND)


# -- D9: a barrier that a crash has left open ----------------------------------------------------


def test_d9_kazoo_opens_a_double_barrier_for_too_few_and_hangs_behind_a_stale_ready(
    kazoo: MakeKazoo,
) -> None:
    first, second = kazoo(), kazoo()
    first.ensure_path("/barrier/ready")  # of a member that crashed before it left
    entering = in_thread(first.DoubleBarrier("/barrier", 3, "first").enter)
    until(lambda: len(second.get_children("/barrier")) == 2)
    second.DoubleBarrier("/barrier", 3, "second").enter()
    assert len(second.get_children("/barrier")) == 2 + 1
    assert hangs(entering)


def test_d9_ours_opens_a_double_barrier_for_all_or_for_none(
    kazoo: MakeKazoo, ours: MakeOurs
) -> None:
    look = kazoo()
    look.ensure_path("/barrier/ready")
    barriers = [ours(identifier=f"member-{n}").double_barrier("/barrier", 3) for n in range(3)]
    # Two of three: nobody passes.
    entering = [in_thread(partial(each.enter, BOUND)) for each in barriers[:2]]
    until(lambda: len(members(look)) == 2)
    assert all(hangs(each) for each in entering)
    barriers[2].enter(BOUND)
    for each in entering:
        each.result(BOUND)
    leaving = [in_thread(partial(each.leave, BOUND)) for each in barriers]
    for each in leaving:
        each.result(BOUND)
    assert members(look) == []


def members(client: KazooClient) -> list[str]:
    return [child for child in client.get_children("/barrier") if child != "ready"]
