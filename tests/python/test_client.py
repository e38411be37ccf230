"""The client of plain Python: each recipe, over the stores that need no server."""

from __future__ import annotations

import math
import pickle
import runpy
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

import coordinator
from coordinator import Client

Connect = Callable[[str], Client]
PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["memory", "embedded"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connect]:
    """Opens clients of one store, by identifier."""
    url = f"memory:{tmp_path}" if request.param == "memory" else f"embedded:{tmp_path}/store"
    with ExitStack() as clients:
        yield lambda name: clients.enter_context(coordinator.connect(url, identifier=name))


def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so; the test's own time limit ends a wait in vain."""
    while not condition():
        time.sleep(0.002)


def test_a_lock_in_a_with_block(connect: Connect) -> None:
    one, other = connect("one"), connect("other")
    with one.lock("/deploy/web", timeout=30) as grant:
        grant.check()
        assert (grant.holder, grant.lost.is_set()) == ("one", False)
        assert other.lock("/deploy/web").acquire(blocking=False) is None
        assert other.lock("/deploy/web").contenders() == ["one"]
    with pytest.raises(coordinator.NotHeld):
        grant.check()
    with other.lock("/deploy/web") as later:
        assert later.token > grant.token


def test_a_grant_is_a_context_manager_and_a_lock_releases_what_it_took_last(
    connect: Connect,
) -> None:
    lock = connect("one").lock("/a")
    with lock.acquire(timeout=timedelta(seconds=30)) as grant:
        assert "held" in repr(grant)
    assert "released" in repr(grant)
    lock.acquire()
    lock.release()
    with pytest.raises(coordinator.NotHeld, match="/a"):
        lock.release()
    with pytest.raises(coordinator.NotHeld):
        grant.release()
    with lock as grant:
        grant.release()  # early: leaving the block is then no error


def test_a_timeout_names_the_holder(connect: Connect) -> None:
    with connect("database-3").lock("/deploy"):
        waiter = connect("other").lock("/deploy", timeout=0.05)
        with pytest.raises(coordinator.AcquireTimeout, match="database-3"):
            waiter.acquire()
        with pytest.raises(TimeoutError), waiter:
            pytest.fail("entered a lock that another holds")
        with pytest.raises(coordinator.AcquireTimeout, match="does not block"):
            connect("third").lock("/deploy", blocking=False).__enter__()
        until(lambda: waiter.contenders() == ["database-3"])


def test_no_time_at_all_is_a_try(connect: Connect) -> None:
    one, other = connect("one"), connect("other")
    with one.lock("/a").acquire(timeout=0):
        with pytest.raises(coordinator.AcquireTimeout, match="others hold"):
            other.lock("/a").acquire(timeout=0)
        assert one.lock("/a").contenders() == ["one"]
    other.lock("/a", timeout=0).acquire().release()


def test_waiters_get_their_turn_in_order(connect: Connect) -> None:
    holder = connect("holder")
    grant = holder.lock("/a").acquire()
    order: list[str] = []

    def work(client: Client) -> None:
        with client.lock("/a"):
            order.append(client.identifier)

    threads = []
    for number in range(4):
        threads.append(threading.Thread(target=work, args=(connect(f"waiter-{number}"),)))
        threads[-1].start()
        until(lambda: len(holder.lock("/a").contenders()) == len(threads) + 1)
    grant.release()
    for thread in threads:
        thread.join()
    assert order == [f"waiter-{number}" for number in range(4)]


def test_read_and_write_locks(connect: Connect) -> None:
    one, other = connect("one"), connect("other")
    with one.read_lock("/a"), other.read_lock("/a"):
        assert other.write_lock("/a").acquire(blocking=False) is None
    with other.write_lock("/a"):
        assert one.read_lock("/a").acquire(blocking=False) is None


def test_a_semaphore_and_its_lease_holders(connect: Connect) -> None:
    clients = [connect(f"member-{number}") for number in range(3)]
    one, other, third = (client.semaphore("/pool", max_leases=2) for client in clients)
    with one, other:
        assert sorted(one.lease_holders()) == ["member-0", "member-1"]
        assert third.acquire(blocking=False) is None
        with pytest.raises(coordinator.AcquireTimeout, match="member-"):
            third.acquire(timeout=0.05)
    with pytest.raises(coordinator.Conflict, match="max_leases is 2"):
        clients[0].semaphore("/pool", max_leases=3).acquire()
    with third:
        assert one.lease_holders() == ["member-2"]


def test_a_lease_that_outlives_its_process_is_found_again(connect: Connect) -> None:
    before = connect("minion")
    token = before.semaphore("/pool", ephemeral=False).acquire().token
    before.close()
    stranger = connect("stranger").semaphore("/pool", ephemeral=False)
    assert stranger.acquire(blocking=False) is None
    with connect("minion").semaphore("/pool", ephemeral=False) as grant:
        assert (grant.token, grant.deadline) == (token, None)
    stranger.acquire(blocking=False).release()


def test_parties(connect: Connect) -> None:
    one, other = connect("one"), connect("other")
    for make in (Client.party, Client.shallow_party):
        path = f"/{make.__name__}"
        ours, theirs = make(one, path), make(other, path)
        with ours:
            theirs.join()
            assert ours.joined
            assert sorted(ours.members()) == ["one", "other"]
        assert not ours.joined
        assert theirs.members() == ["other"]
        assert (theirs.leave(), theirs.leave()) == (True, False)


def test_barriers(connect: Connect) -> None:
    one, other = connect("one"), connect("other")
    gate = one.barrier("/gate")
    gate.create()
    assert not other.barrier("/gate").wait(timeout=0.02)
    opened = threading.Thread(target=other.barrier("/gate").wait)
    opened.start()
    assert gate.remove()
    opened.join()
    pair = [client.double_barrier("/pair", 2) for client in (one, other)]
    with pytest.raises(coordinator.AcquireTimeout, match="not all 2"):
        pair[0].enter(timeout=0.02)
    with pytest.raises(coordinator.NotHeld):
        pair[0].leave()
    together = threading.Thread(target=lambda: [pair[1].enter(), pair[1].leave()])
    together.start()
    with pair[0]:
        pass
    together.join()


def test_the_ends_of_a_block_in_a_double_barrier_are_bounded(connect: Connect) -> None:
    clients = connect("one"), connect("other")
    pair = [client.double_barrier("/pair", 2, timeout=0.02) for client in clients]
    with pytest.raises(coordinator.AcquireTimeout, match="enter"), pair[0]:
        pass
    entering = threading.Thread(target=pair[1].enter, kwargs={"timeout": 60})
    entering.start()
    pair[0].enter(timeout=60)
    entering.join()
    with pytest.raises(coordinator.AcquireTimeout, match="leave"):
        pair[0].__exit__(None, None, None)
    pair[1].leave(timeout=60)


def test_a_release_may_be_bounded(connect: Connect) -> None:
    lock = connect("one").lock("/a")
    lock.acquire()
    lock.release(timeout=60)
    grant = lock.acquire()
    assert grant is not None
    grant.release(timeout=timedelta(minutes=1))


def test_a_closed_client_has_given_everything_back(connect: Connect) -> None:
    one, other = connect("one"), connect("other")
    grant = one.lock("/a").acquire()
    one.close()
    assert other.lock("/a").acquire(blocking=False) is not None
    assert grant.lost.wait(timeout=30)
    assert (grant.lost.is_set(), one.state) == (True, "lost")
    with pytest.raises(coordinator.LockLost, match="/a"):
        grant.check()
    with pytest.raises(coordinator.LockLost):
        grant.release()
    with pytest.raises(coordinator.Unavailable, match="closed"):
        one.lock("/a").acquire()


def test_leaving_a_block_after_the_grant_was_lost_says_so(connect: Connect) -> None:
    one = connect("one")
    with pytest.raises(coordinator.LockLost), one.lock("/a"):
        one.close()
    two = connect("two")

    def fail() -> None:
        with two.lock("/a"):
            two.close()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_a_write_is_guarded_by_the_store_itself(connect: Connect) -> None:
    one, other = connect("one"), connect("other")
    grant = one.lock("/a").acquire()
    grant.write("/report", b"first")
    grant.write("/report", b"second")
    grant.release()
    with pytest.raises(coordinator.NotHeld):
        grant.write("/report", b"too late")
    with other.lock("/a") as later:
        later.write("/report", b"third")


def test_what_was_dropped_was_given_back(connect: Connect) -> None:
    one, other = connect("one"), connect("other")
    one.lock("/a").acquire()  # neither the lock nor the grant is kept
    with other.lock("/a", timeout=30):
        pass
    grants = [one.lock("/b").acquire()]
    dropper = threading.Thread(target=grants.clear)
    dropper.start()
    dropper.join()
    with other.lock("/b", timeout=30):
        pass


def test_grants_and_clients_do_not_pickle(connect: Connect) -> None:
    client = connect("one")
    with client.lock("/a") as grant:
        for thing in (grant, client, grant.lost, client.lock("/b")):
            with pytest.raises(TypeError, match="pickle"):
                pickle.dumps(thing)


@pytest.mark.parametrize("path", ["", "a", "/", "/a/", "/a//b", "/a/../b", "/a\0", "/zookeeper/a"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with coordinator.connect("memory:") as client:
        makers = (client.lock, client.read_lock, client.semaphore, client.party, client.barrier)
        for make in makers:
            with pytest.raises(coordinator.Invalid, match="path"):
                make(path)


@pytest.mark.parametrize("timeout", [-1, math.nan, timedelta(seconds=-1)])
def test_a_duration_that_is_none_is_refused(timeout: float) -> None:
    with coordinator.connect("memory:") as client, pytest.raises(ValueError, match="duration"):
        client.lock("/a", timeout=timeout)


def test_arguments_that_mean_nothing_are_refused() -> None:
    client = coordinator.connect("memory:")
    for call in (
        lambda: client.lock("/a", timeout=1, blocking=False),
        lambda: client.lock("/a").acquire(timeout=1, blocking=False),
        lambda: client.semaphore("/a", max_leases=0),
        lambda: client.semaphore("/a", max_leases=-1),
        lambda: client.semaphore("/a", ephemeral=False),  # by an identifier that nobody gave
        lambda: client.double_barrier("/a", 0),
        lambda: coordinator.connect("memory:", identifier=""),
        lambda: coordinator.connect("memory:", identifier="two\nlines"),
        lambda: coordinator.connect("memory:", identifier="x" * 1025),
        lambda: coordinator.connect("memory:", auth="digest:me:secret"),
        lambda: coordinator.connect("memory:", connect_timeout=1),
        lambda: coordinator.connect("zookeeper://host:2181", connect_timeout=math.inf),
        lambda: coordinator.connect("redis://host"),
        lambda: coordinator.connect("/var/lib/coordinator"),
        lambda: coordinator.connect("zookeeper://me:secret@host:2181"),
        lambda: coordinator.connect("zookeeper://host:2181", auth="me:secret"),
        lambda: coordinator.connect("embedded:"),
        lambda: coordinator.connect("embedded:relative/path"),
        lambda: coordinator.Tls("ca.pem", certificate="only.pem"),
    ):
        with pytest.raises(coordinator.Invalid) as refused:
            call()
        assert "secret" not in str(refused.value).replace("credentials", "")
    for no_duration in ("soon", True, False):
        with pytest.raises(TypeError, match="duration"):
            client.lock("/a").acquire(no_duration)
    for for_ever in (math.inf, sys.maxsize, 1e300, timedelta.max):
        client.lock("/a", timeout=for_ever).acquire().release()


def test_the_fence_refuses_who_comes_too_late(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(PROJECT / "examples/fence.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert ["written" in line for line in lines] == [True, True, False]
    assert "refused" in lines[-1]
