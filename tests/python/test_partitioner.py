"""Partitioners of plain Python, over the stores that need no server."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import coordinator
from coordinator import Client, Partitioner, PartitionState, aio

Connect = Callable[[str], Client]
QUIET = 0.05


@pytest.fixture(params=["memory", "embedded"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connect]:
    """Opens clients of one store, by identifier."""
    url = f"memory:{tmp_path}" if request.param == "memory" else f"embedded:{tmp_path}/store"
    with ExitStack() as clients:
        yield lambda name: clients.enter_context(coordinator.connect(url, identifier=name))


def until(condition: Callable[[], object]) -> None:
    """Wait until it is so; the test's own time limit ends a wait in vain."""
    while not condition():
        time.sleep(0.002)


def join(connect: Connect, name: str, items: Any, **arguments: Any) -> Partitioner:
    return connect(name).partitioner("/queues", items, time_boundary=QUIET, **arguments)


def settle(*members: Partitioner) -> None:
    """Release and wait, as the programs of all members do, until all have acquired."""
    while not all(member.acquired for member in members):
        for member in members:
            if member.release:
                member.release_set()
            assert not member.failed, member.error
            time.sleep(0.002)


def test_one_member_has_all_and_two_have_half_each(connect: Connect) -> None:
    event = threading.Event()
    one = join(connect, "one", {1, 2, 10}, state_change_event=event)
    assert one.state == PartitionState.ALLOCATING
    assert list(one) == []
    assert one.wait_for_acquire()
    assert event.wait(30)
    assert list(one) == [1, 2, 10]
    assert (one.acquired, one.allocating, one.release, one.failed) == (True, False, False, False)
    assert 10 in one
    assert 3 not in one
    assert isinstance(one.token(2), int)

    event.clear()
    other = join(connect, "other", {1, 2, 10})
    until(lambda: one.release)
    assert event.wait(30)
    assert list(one) == [1, 2, 10]  # until it is given up
    one.release_set()
    assert list(one) == []
    settle(one, other)
    assert (list(one), list(other)) == ([1, 10], [2])
    other.finish()
    assert other.state == PartitionState.FAILURE
    assert list(other) == []
    assert other.error is None
    until(lambda: one.release)
    settle(one)
    assert len(one) == 3
    one.finish()


def test_the_same_identifier_twice_is_a_clear_error(connect: Connect) -> None:
    client = connect("one")
    with client.partitioner("/queues", "ab", time_boundary=QUIET) as first:
        with pytest.raises(coordinator.Conflict, match="one"):
            client.partitioner("/queues", "ab", time_boundary=QUIET)
        with pytest.raises(coordinator.Conflict, match='"one"'):
            connect("other").partitioner("/queues", "ab", identifier="one", time_boundary=QUIET)
        settle(first)
        assert list(first) == ["a", "b"]
    with client.partitioner("/queues", "ab", time_boundary=QUIET) as again:
        settle(again)


def test_sticky_members_move_as_few_items_as_possible(connect: Connect) -> None:
    items = [f"item-{number:03}" for number in range(100)]
    members = [join(connect, f"m{n}", items, partition_func="sticky") for n in range(4)]
    settle(*members)
    before = {item: member.identifier for member in members for item in member}
    assert len(before) == 100
    members.append(join(connect, "m4", items, partition_func="sticky"))
    until(lambda: all(member.release for member in members[:4]))
    settle(*members)
    after = {item: member.identifier for member in members for item in member}
    assert len(after) == 100
    assert sum(before[item] != after[item] for item in items) <= 21
    assert {len(member) for member in members} == {20}


def test_a_function_may_decide(connect: Connect) -> None:
    def all_to_the_last(identifier: str, members: list[str], items: set[str]) -> list[str]:
        return sorted(items) if members[-1] == identifier else []

    one = join(connect, "one", {"a", "b"}, partition_func=all_to_the_last)
    two = join(connect, "two", {"a", "b"}, partition_func=all_to_the_last)
    until(lambda: one.acquired or one.release)
    settle(one, two)
    assert (list(one), list(two)) == ([], ["a", "b"])


def test_a_function_that_fails_ends_it(connect: Connect, capfd: pytest.CaptureFixture[str]) -> None:
    def wrong(identifier: str, members: list[str], items: set[str]) -> list[str]:
        raise LookupError("nobody knows")

    one = join(connect, "one", {"a"}, partition_func=wrong)
    assert not one.wait_for_acquire()
    assert one.failed
    assert "nobody knows" in str(one.error)
    assert "LookupError" in capfd.readouterr().err
    unknown = join(connect, "two", {"a"}, partition_func=lambda *_: ["b"])
    with pytest.raises(coordinator.Invalid, match="not in the set"):
        list(unknown.shares())


def test_a_loop_over_shares_hands_over(connect: Connect) -> None:
    seen: list[list[str]] = []
    one = join(connect, "one", "abcd")
    shares = one.shares()
    seen.append(next(shares))
    other = join(connect, "other", "abcd")
    seen.append(next(shares))
    settle(other)
    assert seen == [["a", "b", "c", "d"], ["a", "c"]]
    assert list(other) == ["b", "d"]
    one.finish()
    assert list(shares) == []


def test_callbacks_hear_what_is_gained_and_lost(connect: Connect) -> None:
    gained: list[str] = []
    lost: list[str] = []
    one = join(connect, "one", "abcd", on_gained=gained.extend, on_lost=lost.extend)
    until(lambda: gained == ["a", "b", "c", "d"])
    other = join(connect, "other", "abcd")
    until(lambda: other.acquired)
    assert (lost, list(other)) == (["b", "d"], ["b", "d"])
    until(lambda: one.acquired)
    assert list(one) == ["a", "c"]
    other.finish()
    until(lambda: len(gained) == 6)
    assert sorted(gained[4:]) == ["b", "d"]
    one.finish()
    assert sorted(lost) == ["a", "b", "b", "c", "d", "d"]


def test_items_may_lie_in_each_other_and_must_be_possible(connect: Connect) -> None:
    one, two = join(connect, "one", {"a", "a/b"}), join(connect, "two", {"a", "a/b"})
    until(lambda: one.acquired or one.release)
    settle(one, two)
    assert (list(one), list(two)) == (["a"], ["a/b"])
    for items in ({"x__lock__0000000001"}, {""}, {"a//b"}, [1, "1"]):
        with pytest.raises(coordinator.Invalid):
            connect("three").partitioner("/other", items)
    with pytest.raises(coordinator.Invalid):
        connect("three").partitioner("/other", "ab", identifier="a/b")
    with pytest.raises(coordinator.Invalid):
        connect("three").partitioner("/other", "ab", partition_func="clever")  # type: ignore[arg-type]


def test_a_member_that_is_dropped_leaves(connect: Connect) -> None:
    one, two = join(connect, "one", "ab"), join(connect, "two", "ab")
    until(lambda: one.acquired or one.release)
    settle(one, two)
    del two
    settle(one)
    until(lambda: one.release or len(one) == 2)
    settle(one)
    until(lambda: len(one) == 2)


def test_tasks_take_part(tmp_path: Path) -> None:
    async def main() -> list[list[str]]:
        seen = []
        event = asyncio.Event()
        async with await aio.connect(f"memory:{tmp_path}", identifier="one") as client:
            async with await client.partitioner(
                "/queues", "abc", time_boundary=QUIET, state_change_event=event
            ) as member:
                async for share in member.shares():
                    seen.append(share)
                    assert member.acquired
                    await event.wait()
                    break
            assert member.failed
            assert list(member) == []
        return seen

    assert asyncio.run(main()) == [["a", "b", "c"]]
