"""The servers answer nothing for a while: every call ends in its time, and what it left goes."""

from __future__ import annotations

import asyncio

import pytest
from kazoo.client import KazooClient

import coordinator
from coordinator import aio
from grants import acquire
from waiting import BOUND, Stopwatch, in_thread, until
from zookeeper_server import ZooKeeperServer
from zookeeper_server.fixtures import MakeKazoo, MakeOurs

SESSION = 1.0
LONG_SESSION = 60.0
TIMEOUT = 0.5


def contenders(client: KazooClient) -> list[str]:
    return list(client.retry(client.Lock("/lock").contenders))


@pytest.mark.parametrize("recipe", ["lock", "semaphore"])
def test_waiting_ends_with_its_timeout(
    own_server: ZooKeeperServer, kazoo: MakeKazoo, ours: MakeOurs, recipe: str
) -> None:
    look = kazoo(own_server.hosts, timeout=LONG_SESSION)
    held = getattr(look, recipe.capitalize())("/lock", "holder")
    held.acquire(timeout=5)
    client = ours(own_server.hosts, session_timeout=LONG_SESSION)
    queue = "/lock" if recipe == "lock" else "/lock-__lock__"
    before = len(look.get_children(queue))

    def wait() -> Stopwatch:
        with Stopwatch() as watch, pytest.raises(coordinator.AcquireTimeout):
            getattr(client, recipe)("/lock").acquire(timeout=TIMEOUT)
        return watch

    waiting = in_thread(wait)
    until(lambda: len(look.get_children(queue)) > before)
    own_server.freeze()
    watch = waiting.result(BOUND)
    assert watch.elapsed < TIMEOUT + 0.1 + watch.delay
    own_server.thaw()
    until(lambda: len(look.retry(look.get_children, queue)) == before)


def test_asking_ends_with_its_timeout(
    own_server: ZooKeeperServer, kazoo: MakeKazoo, ours: MakeOurs
) -> None:
    look = kazoo(own_server.hosts, timeout=LONG_SESSION)
    client = ours(own_server.hosts, session_timeout=LONG_SESSION)
    acquire(client.lock("/lock")).release()
    own_server.freeze()
    with Stopwatch() as watch, pytest.raises(coordinator.AcquireTimeout):
        client.lock("/lock").acquire(timeout=TIMEOUT)
    assert watch.elapsed < TIMEOUT + 0.1 + watch.delay
    own_server.thaw()
    # What it asked for may be done now, and is then undone.
    assert look.retry(look.Lock("/lock").acquire, timeout=BOUND)
    until(lambda: contenders(look) == [""])


def test_a_cancelled_task_ends_at_once(own_server: ZooKeeperServer, kazoo: MakeKazoo) -> None:
    look = kazoo(own_server.hosts, timeout=LONG_SESSION)
    held = look.Lock("/lock", "holder")
    held.acquire(timeout=5)

    async def main() -> Stopwatch:
        async with await aio.connect(
            f"zookeeper://{own_server.hosts}", session_timeout=LONG_SESSION
        ) as client:
            task = asyncio.ensure_future(client.lock("/lock").acquire())
            while len(look.get_children("/lock")) < 2:
                await asyncio.sleep(0.005)
            own_server.freeze()
            with Stopwatch() as watch:
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            own_server.thaw()
            while contenders(look) != ["holder"]:
                await asyncio.sleep(0.005)
            return watch

    watch = asyncio.run(asyncio.wait_for(main(), BOUND))
    assert watch.elapsed < 0.1 + watch.delay


def test_a_release_ends_with_the_session_at_the_latest(
    own_server: ZooKeeperServer, kazoo: MakeKazoo, ours: MakeOurs
) -> None:
    look = kazoo(own_server.hosts, timeout=LONG_SESSION)
    grant = acquire(ours(own_server.hosts, session_timeout=SESSION).lock("/lock"))
    own_server.freeze()
    with Stopwatch() as watch:
        grant.release()
    assert watch.elapsed < SESSION * 2 / 3 + 0.1 + watch.delay
    own_server.thaw()
    until(lambda: contenders(look) == [])


def test_a_close_does_not_wait_for_long(
    own_server: ZooKeeperServer, kazoo: MakeKazoo, ours: MakeOurs
) -> None:
    look = kazoo(own_server.hosts, timeout=LONG_SESSION)
    client = ours(own_server.hosts, session_timeout=SESSION)
    grant = acquire(client.lock("/lock"))
    own_server.freeze()
    with Stopwatch() as watch:
        client.close()
    assert watch.elapsed < SESSION + watch.delay
    assert grant.lost.is_set()
    own_server.thaw()
    until(lambda: contenders(look) == [])
