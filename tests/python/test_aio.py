"""The same names as coroutines."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import coordinator
from coordinator import aio

Connect = Callable[[str], Awaitable[aio.Client]]


@pytest.fixture(params=["memory", "embedded"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Connect:
    url = f"memory:{tmp_path}" if request.param == "memory" else f"embedded:{tmp_path}/store"
    return lambda name: aio.connect(url, identifier=name)


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_") and "_async" not in name}


def test_the_two_worlds_have_the_same_names() -> None:
    assert set(aio.__all__) == set(coordinator.__all__) - {"__version__"}
    for name in aio.__all__:
        blocking, waiting = getattr(coordinator, name), getattr(aio, name)
        if isinstance(blocking, type) and blocking is not waiting:
            assert public(blocking) == public(waiting), name


def test_what_waits_is_a_coroutine_and_takes_the_same_arguments() -> None:
    at_once = {"check", "is_set", "identifier", "address", "state", "token", "shares"}
    makers = public(aio.Client) - {"close"}
    for name in (
        "Client",
        "Lock",
        "Semaphore",
        "Election",
        "Counter",
        "Grant",
        "Lease",
        "Lost",
        "Partitioner",
        "Party",
        "Barrier",
        "DoubleBarrier",
    ):
        for member in public(getattr(aio, name)) - at_once - makers:
            ours = inspect.getattr_static(getattr(aio, name), member)
            if isinstance(ours, property):
                continue
            assert inspect.iscoroutinefunction(ours), (name, member)
            theirs = getattr(getattr(coordinator, name), member)
            assert list(inspect.signature(ours).parameters) == list(
                inspect.signature(theirs).parameters
            ), (name, member)


def test_a_task_waits_and_the_loop_goes_on(connect: Connect) -> None:
    async def main() -> None:
        async with await connect("one") as one, await connect("other") as other:
            async with one.lock("/a", timeout=30) as grant:
                waiting = asyncio.create_task(other.lock("/a").acquire())
                while await one.lock("/a").contenders() != ["one", "other"]:
                    await asyncio.sleep(0)
                grant.check()
                assert not waiting.done()
            later = await waiting
            assert later.token > grant.token
            await later.release()
            with pytest.raises(coordinator.NotHeld):
                await later.release()

    asyncio.run(main())


def test_a_cancelled_task_leaves_nothing_behind(connect: Connect) -> None:
    async def main() -> None:
        async with await connect("one") as one, await connect("other") as other:
            async with one.lock("/a"), one.semaphore("/b"):
                for lock in (other.lock("/a"), other.semaphore("/b"), other.read_lock("/a")):
                    before = await lock.contenders()
                    for turns in range(12):
                        waiting = asyncio.create_task(lock.acquire())
                        for _ in range(turns):
                            await asyncio.sleep(0)
                        waiting.cancel()
                        with pytest.raises(asyncio.CancelledError):
                            await waiting
                    while await lock.contenders() != before:
                        await asyncio.sleep(0.001)
            async with other.lock("/a", timeout=30), other.semaphore("/b", timeout=30):
                pass

    asyncio.run(main())


def test_cancelling_at_the_moment_of_the_grant_gives_it_back(connect: Connect) -> None:
    async def main() -> None:
        async with await connect("one") as one:
            lock = one.lock("/a")
            for turns in range(40):
                waiting = asyncio.create_task(lock.acquire())
                for _ in range(turns):
                    await asyncio.sleep(0)
                waiting.cancel()
                try:
                    grant = await waiting
                except asyncio.CancelledError:
                    continue
                await grant.release()
            # Whatever a cancelled task had been given is gone, though the lock object lives.
            async with lock:
                pass
            while await lock.contenders():
                await asyncio.sleep(0.001)

    asyncio.run(main())


def test_all_the_other_recipes(connect: Connect) -> None:
    async def main() -> None:
        async with await connect("one") as one, await connect("other") as other:
            async with one.read_lock("/rw"), other.read_lock("/rw"):
                assert await other.write_lock("/rw").acquire(blocking=False) is None
            async with one.semaphore("/s", 2) as grant, other.semaphore("/s", 2):
                assert sorted(await one.semaphore("/s", 2).lease_holders()) == ["one", "other"]
                await grant.write("/report", b"data")
                assert not await grant.lost.wait(timeout=0.01)
            async with one.party("/p") as party, other.shallow_party("/q"):
                assert await party.members() == ["one"]
                assert await one.shallow_party("/q").members() == ["other"]
            gate = one.barrier("/gate")
            await gate.create()
            opened = asyncio.create_task(other.barrier("/gate").wait(timeout=30))
            await gate.remove()
            assert await opened
            pair = [client.double_barrier("/pair", 2) for client in (one, other)]
            await asyncio.gather(*(barrier.enter(timeout=30) for barrier in pair))
            await asyncio.gather(*(barrier.leave(timeout=30) for barrier in pair))
            with pytest.raises(coordinator.AcquireTimeout):
                async with one.lock("/x"), other.lock("/x", blocking=False):
                    pytest.fail("entered a lock that another holds")

    asyncio.run(main())


def test_losing_the_session_ends_a_block(connect: Connect) -> None:
    async def main() -> None:
        one = await connect("one")

        async def work() -> None:
            async with one.lock("/a") as grant:
                watcher = asyncio.create_task(grant.lost.wait())
                await one.close()
                assert await watcher

        with pytest.raises(coordinator.LockLost):
            await work()
        assert one.state == "lost"

    asyncio.run(main())
