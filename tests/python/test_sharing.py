"""Threads and tasks that share one lock object: each gives back its own, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import coordinator
from coordinator import aio


@pytest.fixture
def client(tmp_path: Path) -> Iterator[coordinator.Client]:
    with coordinator.connect(f"memory:{tmp_path}", identifier="one") as client:
        yield client


@pytest.fixture
def other_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield thread


def test_a_thread_leaves_its_own_block(
    client: coordinator.Client, other_thread: ThreadPoolExecutor
) -> None:
    shared = client.semaphore("/pool", 2)
    with shared as ours:
        theirs = other_thread.submit(shared.__enter__).result()
    theirs.check()
    with pytest.raises(coordinator.NotHeld):
        ours.check()
    other_thread.submit(shared.__exit__, None, None, None).result()
    assert shared.lease_holders() == []


def test_a_thread_releases_what_it_took(
    client: coordinator.Client, other_thread: ThreadPoolExecutor
) -> None:
    shared = client.semaphore("/pool", 2)
    ours, theirs = shared.acquire(), other_thread.submit(shared.acquire).result()
    shared.release()
    theirs.check()
    with pytest.raises(coordinator.NotHeld):
        ours.check()
    # What one took another may give back, if it has nothing of its own.
    shared.release()
    with pytest.raises(coordinator.NotHeld):
        theirs.check()
    with pytest.raises(coordinator.NotHeld, match="/pool"):
        shared.release()


def test_a_block_that_gave_its_grant_back_does_not_give_back_the_one_around_it(
    client: coordinator.Client,
) -> None:
    shared = client.semaphore("/pool", 2)
    with shared as outer:
        with shared as inner:
            inner.release()
        outer.check()
        with shared:
            shared.release()
        outer.check()
    assert shared.lease_holders() == []


def test_a_task_gives_back_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with await aio.connect(f"memory:{tmp_path}") as client:
            shared = client.semaphore("/pool", 3)
            entered, end = asyncio.Event(), asyncio.Event()

            async def other() -> None:
                async with shared as theirs:
                    kept = await shared.acquire()
                    entered.set()
                    await end.wait()
                    theirs.check()
                    kept.check()
                    await kept.release()

            async with shared as ours:
                task = asyncio.create_task(other())
                await entered.wait()
            with pytest.raises(coordinator.NotHeld):
                ours.check()
            mine = await shared.acquire()
            await shared.release()
            with pytest.raises(coordinator.NotHeld):
                mine.check()
            end.set()
            await task
            async with shared as outer:
                async with shared as inner:
                    await inner.release()
                outer.check()
            assert await shared.lease_holders() == []
            with pytest.raises(coordinator.NotHeld, match="/pool"):
                await shared.release()

    asyncio.run(main())


def test_the_exception_that_ends_a_block_comes_through(tmp_path: Path) -> None:
    url = f"memory:{tmp_path}"

    def block(make: str, *arguments: object) -> None:
        client = coordinator.connect(url)
        with getattr(client, make)(f"/{make}", *arguments):
            client.close()
            raise ZeroDivisionError

    async def asynchronous(make: str, *arguments: object) -> None:
        client = await aio.connect(url)
        async with getattr(client, make)(f"/{make}", *arguments):
            await client.close()
            raise ZeroDivisionError

    for arguments in (("lock",), ("party",), ("shallow_party",), ("double_barrier", 1)):
        with pytest.raises(ZeroDivisionError):
            block(*arguments)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(asynchronous(*arguments))
