"""Queue entries that kazoo 2.11 leaves behind, and time limits that it forgets: D3, D4, D5."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import LockTimeout

import coordinator
from waiting import BOUND, Stopwatch, in_thread, until
from zookeeper_server import Point, Proxy, request
from zookeeper_server.fixtures import Chroot, MakeKazoo, MakeOurs


class Interrupted(Exception):
    """What a signal handler raises, as for an alarm or Ctrl-C."""


@contextmanager
def interrupted_when(condition: Callable[[], object]) -> Iterator[None]:
    """Raise `Interrupted` in this, the main thread, as soon as `condition()` is true."""

    def handler(number: int, frame: object) -> None:
        raise Interrupted

    def interrupt() -> None:
        until(condition)
        os.kill(os.getpid(), signal.SIGUSR1)

    previous = signal.signal(signal.SIGUSR1, handler)
    helper = threading.Thread(target=interrupt, daemon=True)
    helper.start()
    try:
        with pytest.raises(Interrupted):
            yield
    finally:
        helper.join()
        signal.signal(signal.SIGUSR1, previous)


# -- D3: an interrupted waiter stays in the queue ------------------------------------------------


def test_d3_kazoo_leaves_an_interrupted_waiter_in_the_queue(
    zookeeper: Chroot, kazoo: MakeKazoo
) -> None:
    holder, waiter, third = kazoo(), kazoo(), kazoo()
    held = holder.Lock("/lock", "holder")
    held.acquire(timeout=5)
    with interrupted_when(lambda: len(third.get_children("/lock")) == 2):
        waiter.Lock("/lock", "waiter").acquire()
    held.release()
    # A lock that nobody holds, and nobody gets.
    with pytest.raises(LockTimeout):
        third.Lock("/lock", "third").acquire(timeout=0.5)
    assert third.Lock("/lock").contenders() == ["waiter"]


def test_d3_ours_leaves_the_queue_when_it_is_interrupted(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    holder, waiter, third = kazoo(), ours(), kazoo()
    held = holder.Lock("/lock", "holder")
    held.acquire(timeout=5)
    with interrupted_when(lambda: len(third.get_children("/lock")) == 2):
        waiter.lock("/lock").acquire()
    held.release()
    assert third.Lock("/lock", "third").acquire(timeout=5)
    assert third.Lock("/lock").contenders() == ["third"]


# -- D4: a non-blocking try whose clean-up is cut off --------------------------------------------


def test_d4_kazoo_leaves_a_lost_try_in_the_queue_when_its_clean_up_is_cut_off(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo
) -> None:
    holder, loser, third = kazoo(), kazoo(zookeeper.through(proxy).hosts), kazoo()
    held = holder.Lock("/lock", "holder")
    held.acquire(timeout=5)
    fault = proxy.cut(Point.REQUEST, request("delete"))
    assert loser.Lock("/lock", "loser").acquire(blocking=False) is False
    fault.wait()
    held.release()
    with pytest.raises(LockTimeout):
        third.Lock("/lock", "third").acquire(timeout=0.5)
    assert third.Lock("/lock").contenders() == ["loser"]


@pytest.mark.parametrize("point", Point)
def test_d4_ours_leaves_nothing_wherever_a_lost_try_is_cut_off(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo, ours: MakeOurs, point: Point
) -> None:
    holder, loser, third = kazoo(), ours(zookeeper.through(proxy).hosts), kazoo()
    held = holder.Lock("/lock", "holder")
    held.acquire(timeout=5)
    proxy.forget()
    assert loser.lock("/lock").acquire(blocking=False) is None
    requests = len(proxy.requests)
    assert requests
    for number in range(requests):
        fault = proxy.cut(point, skip=number)
        assert loser.lock("/lock").acquire(blocking=False) is None
        fault.wait()
        until(lambda: third.Lock("/lock").contenders() == ["holder"])
    held.release()
    assert third.Lock("/lock", "third").acquire(timeout=5)


# -- D5: the time limit begins anew with every predecessor that goes -----------------------------

TIMEOUT = 1.0
LEAVES_EVERY = 0.4
PREDECESSORS = 6


class Churn:
    """A queue of others before a waiter, of which the last leaves every `LEAVES_EVERY` seconds."""

    def __init__(self, client: KazooClient, path: str) -> None:
        self._client = client
        client.ensure_path(path)
        self._nodes = [
            client.create(f"{path}/{number:032x}__lock__", sequence=True)
            for number in range(PREDECESSORS)
        ]

    def run(self, waiter: int) -> None:
        """Leave one by one, all but the first, once the waiter is in the queue as well."""
        path = self._nodes[0].rsplit("/", 1)[0]
        until(lambda: len(self._client.get_children(path)) == waiter)
        for node in reversed(self._nodes[1:]):
            time.sleep(LEAVES_EVERY)
            self._client.delete(node)


def test_d5_kazoo_waits_longer_than_its_timeout_while_the_queue_moves(kazoo: MakeKazoo) -> None:
    others, waiter = kazoo(), kazoo()
    churn = Churn(others, "/lock")
    moving = in_thread(lambda: churn.run(PREDECESSORS + 1))
    began = time.monotonic()
    with pytest.raises(LockTimeout):
        waiter.Lock("/lock").acquire(timeout=TIMEOUT)
    assert time.monotonic() - began > 2 * TIMEOUT
    moving.result(BOUND)


def test_d5_ours_keeps_to_its_timeout_while_the_queue_moves(
    kazoo: MakeKazoo, ours: MakeOurs
) -> None:
    others, waiter = kazoo(), ours()
    churn = Churn(others, "/lock")
    moving = in_thread(lambda: churn.run(PREDECESSORS + 1))
    with Stopwatch() as watch, pytest.raises(coordinator.AcquireTimeout):
        waiter.lock("/lock").acquire(timeout=TIMEOUT)
    assert TIMEOUT <= watch.elapsed < TIMEOUT + 0.1 + watch.delay
    moving.result(BOUND)
    assert len(others.get_children("/lock")) == 1
