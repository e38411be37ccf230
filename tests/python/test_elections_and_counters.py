"""Elections and counters, on the stores that need no server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import coordinator
from coordinator import aio

Connect = Callable[[str], coordinator.Client]
BOUND = 30.0


@pytest.fixture(params=["memory", "embedded"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory:{tmp_path}" if request.param == "memory" else f"embedded:{tmp_path}/store"


def test_one_leads_at_a_time_in_the_order_of_candidacy(url: str) -> None:
    order: list[str] = []
    leading, resign = threading.Event(), threading.Event()
    first = coordinator.connect(url, identifier="first").election("/election")
    assert first.leader() is None

    def lead(grant: coordinator.Grant, name: str) -> str:
        grant.check()
        order.append(name)
        leading.set()
        assert resign.wait(BOUND)
        return name

    one = threading.Thread(target=first.run, args=(lead, "first"), daemon=True)
    one.start()
    assert leading.wait(BOUND)
    second = coordinator.connect(url, identifier="second").election("/election")
    assert second.leader() == "first"
    with pytest.raises(coordinator.AcquireTimeout, match="first"):
        coordinator.connect(url).election("/election", timeout=0.1).run(lead, "nobody")
    assert second.contenders() == ["first"]
    resign.set()
    assert second.run(lead, name="second") == "second"
    one.join(BOUND)
    assert order == ["first", "second"]
    assert second.leader() is None


def test_a_leader_that_fails_resigns(url: str) -> None:
    election = coordinator.connect(url).election("/election")

    def fail(grant: coordinator.Grant) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        election.run(fail)
    assert election.contenders() == []
    with pytest.raises(coordinator.Invalid, match="no function"):
        election.run("nobody")  # type: ignore[arg-type]


def test_elections_for_asyncio(url: str) -> None:
    async def lead(grant: aio.Grant, name: str) -> str:
        grant.check()
        return name

    async def main() -> None:
        async with await aio.connect(url, identifier="me") as client:
            election = client.election("/election")
            assert await election.run(lead, "me") == "me"
            async with election:
                assert await election.leader() == "me"
            with pytest.raises(coordinator.Invalid):
                await election.run(None)  # type: ignore[arg-type]

    asyncio.run(main())


def test_members_count_together(url: str) -> None:
    clients = [coordinator.connect(url) for _ in range(4)]

    def count(client: coordinator.Client) -> None:
        counter = client.counter("/some/count")
        for _ in range(25):
            counter.add(1)

    threads = [threading.Thread(target=count, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert clients[0].counter("/some/count").value() == 100


def test_values_are_pythons_own(url: str) -> None:
    client = coordinator.connect(url)
    large = client.counter("/large")
    assert large.add(2**80) == 2**80
    assert client.counter("/large").add(-1) == 2**80 - 1
    exact = client.counter("/exact", 0.5)
    assert exact.value() == 0.5
    assert exact.add(1e16) == 1e16 + 0.5
    with pytest.raises(TypeError):
        large.add(1.5)
    with pytest.raises(coordinator.Corrupt, match="exact"):
        client.counter("/exact").value()


def test_counters_of_curator_have_32_bits(url: str) -> None:
    counter = coordinator.connect(url).counter("/count", curator=True)
    assert counter.add(2**31 - 1) == 2**31 - 1
    with pytest.raises(coordinator.Invalid, match="32 bits"):
        counter.add(1)
    assert counter.value() == 2**31 - 1
    with pytest.raises(TypeError):
        coordinator.connect(url).counter("/count", 0.5, curator=True)


def test_counters_for_asyncio(url: str) -> None:
    async def main() -> None:
        async with await aio.connect(url) as client:
            counter = client.counter("/count")
            sums = await asyncio.gather(*(counter.add(1) for _ in range(10)))
            assert sorted(sums) == list(range(1, 11))
            assert await counter.value() == 10
            with pytest.raises(TypeError):
                await counter.add("1")

    asyncio.run(main())
