"""The recipes of `coordinator.kazoo` beside kazoo's, and among them."""

from __future__ import annotations

import gc
import queue
import re
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from coordinator.kazoo import (
    ConnectionLoss,
    KazooClient,
    KazooState,
    LockTimeout,
    NonBlockingLease,
    NotProvidedError,
    PartitionState,
    SetPartitioner,
)
from waiting import BOUND, in_thread, until
from zookeeper_server import Proxy
from zookeeper_server.fault import Point
from zookeeper_server.fixtures import Chroot, MakeKazoo, MakeNamed
from zookeeper_server.wire import request


def test_all_recipes_share_one_session(named: MakeNamed, kazoo: MakeKazoo) -> None:
    client, look = named(), kazoo()
    client.create("/node", ephemeral=True)
    assert client.Lock("/lock", "me").acquire()
    assert client.Semaphore("/semaphore", "me").acquire()
    client.Party("/party", "me").join()
    client.ShallowParty("/shallow", "me").join()
    assert client.client_id is not None
    owners = {look.get("/node")[1].ephemeralOwner, client.client_id[0]}
    for path in ("/lock", "/semaphore", "/party", "/shallow"):
        (child,) = look.get_children(path)
        owners.add(look.get(f"{path}/{child}")[1].ephemeralOwner)
    assert len(owners) == 1


def test_what_is_held_stays_though_the_program_keeps_nothing_of_it(
    named: MakeNamed, kazoo: MakeKazoo
) -> None:
    client, look = named(), kazoo()
    assert client.Lock("/lock", "me").acquire()
    client.Party("/party", "me").join()
    gc.collect()
    # Whatever was given back would have been before this is answered.
    client.sync("/")
    assert look.Lock("/lock").contenders() == ["me"]
    assert list(look.Party("/party")) == ["me"]
    client.stop()
    assert look.Lock("/lock").contenders() == []


def are_two(lock: Any) -> bool:
    return len(lock.contenders()) == 2


def test_programs_of_both_kinds_take_turns(named: MakeNamed, kazoo: MakeKazoo) -> None:
    ours, theirs = named().Lock("/lock", "ours"), kazoo().Lock("/lock", "theirs")
    for first, second in ((ours, theirs), (theirs, ours)):
        assert first.acquire()
        assert not second.acquire(blocking=False)
        waiting = in_thread(second.acquire)
        until(partial(are_two, first))
        assert first.release()
        assert waiting.result(BOUND)
        assert second.release()


def test_a_lease_of_a_later_format_is_not_taken(named: MakeNamed, kazoo: MakeKazoo) -> None:
    record = b'{"version": 2, "holder": "other", "end": "2001-01-01T00:00:00"}'
    kazoo().create("/lease/lease_holder", record, makepath=True)
    assert not named().NonBlockingLease("/lease", timedelta(seconds=60), "me")
    assert kazoo().get("/lease/lease_holder")[0] == record


def test_leases_of_both_kinds_respect_each_other(named: MakeNamed, kazoo: MakeKazoo) -> None:
    hour, ours, theirs = timedelta(hours=1), named(), kazoo()
    lease = ours.NonBlockingLease("/lease", hour, "ours")
    assert lease.obtained
    assert not theirs.NonBlockingLease("/lease", hour, "theirs")
    assert lease.lease.release()
    assert theirs.NonBlockingLease("/lease", hour, "theirs")
    assert not NonBlockingLease(ours, "/lease", hour, "ours")
    assert [bool(ours.MultiNonBlockingLease(2, "/some", hour, name)) for name in "abc"] == [
        True,
        True,
        False,
    ]
    # Renewed, it keeps its own place.
    assert ours.MultiNonBlockingLease(2, "/some", hour, "b")
    assert b'"b"' in theirs.get("/some/1/lease_holder")[0]


def test_a_member_that_joins_while_another_one_still_takes_its_items(
    named: MakeNamed, kazoo: MakeKazoo
) -> None:
    first, second, blocker = named(), named(), kazoo().Lock("/parts/locks/1", "blocker")
    assert blocker.acquire()
    parts = [first.SetPartitioner("/parts", (0, 1), identifier="0", time_boundary=0.1)]
    # It waits for the item that is held, and then another member comes, whose item that is.
    until(lambda: len(kazoo_contenders(first, "/parts/locks/1")) == 2)
    parts.append(second.SetPartitioner("/parts", (0, 1), identifier="1", time_boundary=0.1))
    assert blocker.release()
    until(lambda: settled(parts))
    assert [list(each) for each in parts] == [[0], [1]]
    for each in parts:
        each.finish()
    assert [each.state for each in parts] == [PartitionState.FAILURE] * 2
    assert [list(each) for each in parts] == [[], []]


def kazoo_contenders(client: KazooClient, path: str) -> list[str]:
    return client.Lock(path).contenders()


def settled(parts: list[SetPartitioner]) -> bool:
    """Whether each member has its items; one that took more before is told to give them up."""
    for each in parts:
        if each.release:
            each.release_set()
    return all(each.acquired for each in parts) and sum(len(list(each)) for each in parts) == 2


def test_contenders_of_other_implementations_come_first(named: MakeNamed, kazoo: MakeKazoo) -> None:
    look, client = kazoo(), named()
    foreign = look.create("/lock/_c_1-lock-", b"curator", sequence=True, makepath=True)
    lock = client.Lock("/lock", "me", extra_lock_patterns=["-lock-"])
    with pytest.raises(LockTimeout):
        lock.acquire(timeout=0.2)
    waiting = in_thread(lock.acquire)
    until(lambda: lock.contenders() == ["curator", "me"])
    look.delete(foreign)
    assert waiting.result(BOUND)
    with pytest.raises(NotProvidedError, match="regular expression"):
        client.Lock("/lock", extra_lock_patterns=["a.*"])


def test_a_change_of_a_counter_whose_answer_was_lost_is_made_once(
    named: MakeNamed, kazoo: MakeKazoo, proxy: Proxy, zookeeper: Chroot
) -> None:
    counter = named(zookeeper.through(proxy).hosts).Counter("/count")
    counter += 5
    fault = proxy.cut(Point.REPLY, request("set", path=f"{zookeeper.path}/count"))
    with pytest.raises(ConnectionLoss, match="or not"):
        counter += 2
    assert fault.struck.is_set()
    assert kazoo().Counter("/count").value == 7
    fault = proxy.cut(Point.REQUEST, request("set", path=f"{zookeeper.path}/count"))
    counter += 1
    assert fault.struck.is_set()
    assert (counter.pre_value, counter.post_value, counter.value) == (7, 8, 8)


def test_a_lasting_lock_outlives_its_session(
    named: MakeNamed, kazoo: MakeKazoo, proxy: Proxy, zookeeper: Chroot
) -> None:
    client = named(zookeeper.through(proxy).hosts)
    states: queue.Queue[str] = queue.Queue()
    lock = client.Lock("/lock", "me")
    assert lock.acquire(ephemeral=False)
    client.add_listener(states.put)
    proxy.expire_sessions()
    while states.get(timeout=BOUND) != KazooState.LOST:
        pass
    assert lock.is_acquired
    assert kazoo().Lock("/lock").contenders() == ["me"]
    assert lock.release()
    assert kazoo().Lock("/lock").contenders() == []


def test_recipes_go_on_after_a_restart(named: MakeNamed) -> None:
    client = named()
    lock, party = client.Lock("/lock", "me"), client.Party("/party", "me")
    assert lock.acquire()
    party.join()
    client.restart()
    assert not lock.is_acquired
    assert lock.acquire(timeout=BOUND)
    assert lock.contenders() == ["me"]
    party.join()
    assert list(party) == ["me"]
    assert re.fullmatch(r"/party/[0-9a-f]{32}__party__", party.create_path)
