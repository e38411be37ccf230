"""Leases of plain Python, over the stores that need no server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import coordinator
from coordinator import Client, aio

Connect = Callable[[str], Client]
START = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


class Clock:
    """A clock that a test sets."""

    def __init__(self, *, naive: bool = False) -> None:
        self.now = START.replace(tzinfo=None) if naive else START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(params=["memory", "embedded"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connect]:
    """Opens clients of one store, by identifier."""
    url = f"memory:{tmp_path}" if request.param == "memory" else f"embedded:{tmp_path}/store"
    with ExitStack() as clients:
        yield lambda name: clients.enter_context(coordinator.connect(url, identifier=name))


@pytest.mark.parametrize("naive", [True, False])
def test_a_lease_is_true_while_it_is_ours(connect: Connect, naive: bool) -> None:
    clock = Clock(naive=naive)
    lease = connect("one").lease("/jobs/cleanup", timedelta(minutes=1), utcnow=clock)
    assert lease
    assert (lease.obtained, lease.holder, lease.identifier) == (True, "one", "one")
    assert lease.expires_at == START + timedelta(seconds=59)  # the clock skew comes off
    assert isinstance(lease.token, int)
    clock.forward(58.999)
    assert lease
    clock.forward(0.001)
    assert not lease
    assert lease.obtained
    assert "ended" in repr(lease)


def test_a_lease_is_denied_renewed_and_given_back(connect: Connect) -> None:
    clock = Clock()
    one, other = connect("one"), connect("other")
    lease = one.lease("/a", 60, utcnow=clock)
    denied = other.lease("/a", 60, utcnow=clock)
    assert not denied
    assert (denied.obtained, denied.holder, denied.token, denied.expires_at) == (
        False,
        "one",
        None,
        None,
    )
    clock.forward(50)
    token = lease.token
    assert lease.renew()
    assert lease.token == token
    assert one.lease("/a", 60, utcnow=clock).token == token
    clock.forward(20)
    assert lease
    assert not denied.renew()
    assert lease.release()
    assert not lease
    assert not lease.release()
    assert denied.renew()
    assert denied.token is not None
    assert token is not None
    assert denied.token > token


def test_the_clock_skew_is_an_option(connect: Connect) -> None:
    clock = Clock()
    one, other = connect("one"), connect("other")
    assert one.lease("/a", 60, max_clock_skew=0, utcnow=clock).expires_at == START + timedelta(
        minutes=1
    )
    clock.forward(60)
    assert not other.lease("/a", 60, max_clock_skew=10, utcnow=clock)
    assert other.lease("/a", 60, max_clock_skew=timedelta(0), utcnow=clock)


def test_a_clock_that_is_set_back_prolongs_nothing(connect: Connect) -> None:
    clock = Clock()
    lease = connect("one").lease("/a", 1.2, max_clock_skew=0.0, utcnow=clock)
    assert lease
    clock.forward(-3600)
    until = asyncio.run(asyncio.wait_for(_is_false(lease), 30))
    assert until


async def _is_false(lease: coordinator.Lease) -> bool:
    while lease:
        await asyncio.sleep(0.01)
    return True


def test_so_many_leases_and_each_keeps_its_slot(connect: Connect) -> None:
    clock = Clock()
    clients = [connect(name) for name in "abc"]
    leases = [client.multi_lease("/pool", 2, 60, utcnow=clock) for client in clients]
    assert [bool(lease) for lease in leases] == [True, True, False]
    clock.forward(61)
    assert leases[1].renew()
    assert leases[2].renew()
    assert not leases[0].renew()


def test_whoever_asks_under_the_same_identifier_renews(connect: Connect) -> None:
    clock = Clock()
    one, other = connect("one"), connect("other")
    assert one.lease("/a", 60, identifier="job", utcnow=clock)
    clock.forward(30)
    assert other.lease("/a", 60, identifier="job", utcnow=clock)
    clock.forward(45)
    assert not one.lease("/a", 60, utcnow=clock)


def test_a_block_gives_it_back_and_dropping_does_not(connect: Connect) -> None:
    one, other = connect("one"), connect("other")
    with one.lease("/a", 60) as lease:
        assert lease
    assert other.lease("/a", 60)
    assert not one.lease("/a", 60)


def test_whoever_sits_on_the_guard_is_named(connect: Connect) -> None:
    with (
        connect("stuck-host").lock("/a"),
        pytest.raises(coordinator.AcquireTimeout, match="stuck-host"),
    ):
        connect("other").lease("/a", 60, timeout=0.05)


def test_arguments_that_cannot_be_are_refused(connect: Connect) -> None:
    client = connect("one")
    for duration in (0, 1, math.inf, timedelta(days=-1)):
        with pytest.raises(coordinator.Invalid):
            client.lease("/a", duration)
    with pytest.raises(coordinator.Invalid):
        client.multi_lease("/a", 0, 60)
    with pytest.raises(coordinator.Invalid):
        client.lease("/a", 60, max_clock_skew=math.inf)
    with pytest.raises(ZeroDivisionError):
        client.lease("/a", 60, utcnow=lambda: datetime(1 // 0, 1, 1))


def test_a_lease_in_a_task(tmp_path: Path) -> None:
    async def main() -> None:
        async with await aio.connect(f"memory:{tmp_path}", identifier="one") as client:
            async with await client.lease("/a", 60) as lease:
                assert lease
                assert await lease.renew()
                assert await client.multi_lease("/pool", 1, 60, identifier="x") is not None
            assert not lease
            assert not await lease.release()

    asyncio.run(main())
