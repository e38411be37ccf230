"""What kazoo 2.11 does wrong with partitioners, and what ours do: D10."""

from __future__ import annotations

import time

import pytest

import coordinator
from waiting import BOUND, hangs, in_thread, until
from zookeeper_server.fixtures import MakeKazoo, MakeOurs

QUIET = 0.1


def settle(*members: coordinator.Partitioner) -> None:
    """Release and wait, as the programs of all members do, until all have acquired."""
    deadline = time.monotonic() + BOUND
    while not all(member.acquired for member in members):
        for member in members:
            if member.release:
                member.release_set()
            assert not member.failed
        assert time.monotonic() < deadline
        time.sleep(0.005)


# -- the same identifier twice ------------------------------------------------------------------


def test_d10_kazoo_with_the_same_identifier_twice_leaves_items_to_nobody(kazoo: MakeKazoo) -> None:
    client = kazoo()
    both = [
        client.SetPartitioner("/queues", set("abcd"), identifier="same", time_boundary=0.2)
        for _ in range(2)
    ]
    until(lambda: any(member.acquired for member in both))
    # Both ask for the first half; one of them waits for the other for ever.
    assert hangs(in_thread(lambda: until(lambda: all(member.acquired for member in both))), 1.5)
    assert {item for member in both for item in member} == {"a", "c"}
    for member in both:
        in_thread(member.finish)


def test_d10_ours_refuses_the_same_identifier_and_takes_it_when_it_is_free(ours: MakeOurs) -> None:
    first, second = (
        ours(identifier="same", session_timeout=4),
        ours(identifier="same", session_timeout=4),
    )
    member = first.partitioner("/queues", "abcd", time_boundary=QUIET)
    with pytest.raises(coordinator.Conflict, match="same"):
        first.partitioner("/queues", "abcd", time_boundary=QUIET)
    # It might be our own process, before it crashed: waits as long as that session could last.
    waiting = in_thread(lambda: second.partitioner("/queues", "abcd", time_boundary=QUIET))
    assert hangs(waiting)
    first.close()
    with waiting.result(BOUND) as again:
        settle(again)
        assert len(again) == 4
    assert member.failed


# -- a party node that is gone ------------------------------------------------------------------


def test_d10_kazoo_whose_party_node_is_gone_is_stuck(kazoo: MakeKazoo) -> None:
    client = kazoo()
    member = client.SetPartitioner("/queues", set("ab"), identifier="one", time_boundary=0.2)
    until(lambda: member.acquired)
    (node,) = client.get_children("/queues/party")
    client.delete(f"/queues/party/{node}")
    until(lambda: member.release)
    member._partition_func = lambda *_: []  # its own would raise in a thread, and be stuck
    member.release_set()
    until(lambda: member.acquired)
    assert client.get_children("/queues/party") == []
    member.finish()


def test_d10_ours_joins_again_when_its_party_node_is_gone(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    look, client = kazoo(), ours(identifier="one")
    with client.partitioner("/queues", "ab", time_boundary=QUIET) as member:
        settle(member)
        (node,) = look.get_children("/queues/party")
        look.delete(f"/queues/party/{node}")
        until(lambda: member.release)
        settle(member)
        (again,) = look.get_children("/queues/party")
        assert again != node
        assert list(member) == ["a", "b"]


# -- after the end ------------------------------------------------------------------


def test_d10_kazoo_yields_what_it_had_after_it_has_finished_and_leaves_its_directories(
    kazoo: MakeKazoo,
) -> None:
    client = kazoo()
    member = client.SetPartitioner("/queues", set("ab"), identifier="one", time_boundary=0.2)
    until(lambda: member.acquired)
    member.finish()
    assert list(member) == ["a", "b"]
    assert sorted(client.get_children("/queues/locks")) == ["a", "b"]


def test_d10_ours_owns_nothing_after_it_has_finished_and_leaves_no_directory(
    kazoo: MakeKazoo, ours: MakeOurs
) -> None:
    look, client = kazoo(), ours(identifier="one")
    look.ensure_path("/queues/locks/of-a-member-that-crashed")
    member = client.partitioner("/queues", {"a", "b", "a/b"}, time_boundary=QUIET)
    settle(member)
    assert len(list(member)) == 3
    member.finish()
    assert (list(member), member.state) == ([], "FAILURE")
    assert look.get_children("/queues/locks") == []
    assert look.get_children("/queues/party") == []


def test_ours_leaves_the_directories_where_kazoo_takes_part(
    kazoo: MakeKazoo, ours: MakeOurs
) -> None:
    look, client = kazoo(), ours(identifier="b")
    theirs = look.SetPartitioner("/queues", set("ab"), identifier="a", time_boundary=0.2)
    with client.partitioner("/queues", "ab", time_boundary=0.2) as member:
        until(lambda: theirs.acquired or theirs.release)
        if theirs.release:
            theirs.release_set()
        settle(member)
        assert list(member) == ["b"]
    assert "b" in look.get_children("/queues/locks")
    theirs.finish()


# -- the session ------------------------------------------------------------------


def test_a_lost_session_is_a_failure_at_once_and_a_member_with_callbacks_comes_back(
    root_kazoo: object, kazoo: MakeKazoo, ours: MakeOurs
) -> None:
    gained: list[str] = []
    lost: list[str] = []
    plain, automatic = ours(identifier="plain"), ours(identifier="automatic")
    one = plain.partitioner("/one", "ab", time_boundary=QUIET)
    two = automatic.partitioner(
        "/two", "ab", time_boundary=QUIET, on_gained=gained.extend, on_lost=lost.extend
    )
    settle(one)
    until(lambda: gained == ["a", "b"])
    plain.close()
    assert (one.failed, list(one)) == (True, [])
    with pytest.raises(coordinator.LockLost):
        list(one.shares())
    two.finish()
    assert lost == ["a", "b"]


# -- together ------------------------------------------------------------------


def test_the_nodes_are_kazoos(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    look, client = kazoo(), ours(identifier="one")
    with client.partitioner("/queues", {"a"}, time_boundary=QUIET) as member:
        settle(member)
        (party,) = look.get_children("/queues/party")
        (lock,) = look.get_children("/queues/locks/a")
        unique, _, identifier = party.partition("-")
        assert (len(unique), identifier) == (32, "one")
        assert look.get(f"/queues/party/{party}")[0] == b"one"
        assert lock[32:] == "__lock__0000000000"
        assert look.get(f"/queues/locks/a/{lock}")[0] == b""
        assert sorted(look.get_children("/queues")) == ["locks", "party"]
