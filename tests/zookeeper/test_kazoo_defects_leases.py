"""What kazoo 2.11 does wrong with leases, and what ours do: D7, D8; and both on the same nodes."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.recipe.lease import MultiNonBlockingLease, NonBlockingLease

import coordinator
from waiting import BOUND, Stopwatch, hangs, in_thread, until
from zookeeper_server.fixtures import MakeKazoo, MakeOurs

MINUTE = dt.timedelta(minutes=1)


class Clock:
    """A clock that a test sets, naive as kazoo's."""

    def __init__(self, ahead: float = 0) -> None:
        self.now = dt.datetime(2026, 1, 31, 12) + dt.timedelta(seconds=ahead)

    def __call__(self) -> dt.datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)


def tree(client: KazooClient, path: str) -> dict[str, bytes]:
    """All nodes below a path, and what they hold."""
    nodes = {}
    for name in client.get_children(path):
        nodes[f"{path}/{name}"] = client.get(f"{path}/{name}")[0]
        nodes |= tree(client, f"{path}/{name}")
    return nodes


@pytest.mark.parametrize("identifier", ["host-1", 'it\'s "ä" \\ \U0001f512\x7f', ""])
def test_the_nodes_are_kazoos_byte_for_byte(
    kazoo: MakeKazoo, ours: MakeOurs, identifier: str
) -> None:
    theirs, client, clock = kazoo(), ours(), Clock()
    clock.forward(0.75)  # fractions are cut
    name: Any = {"identifier": identifier} if identifier else {}
    assert NonBlockingLease(theirs, "/theirs/a", MINUTE, utcnow=clock, **name)
    assert MultiNonBlockingLease(theirs, 2, "/theirs/b", MINUTE, utcnow=clock, **name)
    assert client.lease("/ours/a", MINUTE, utcnow=clock, **name)
    assert client.multi_lease("/ours/b", 2, MINUTE, utcnow=clock, **name)
    made = tree(theirs, "/theirs").items()
    expected = {path.replace("/theirs", "/ours"): data for path, data in made}
    assert tree(theirs, "/ours") == expected


def test_a_kazoo_holder_and_ours_respect_each_other(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    theirs, client, clock = kazoo(), ours(identifier="ours"), Clock()
    options: Any = {"max_clock_skew": 0, "utcnow": clock}
    token = 0
    for _ in range(3):
        assert NonBlockingLease(theirs, "/a", MINUTE, "theirs", clock)
        lease = client.lease("/a", MINUTE, **options)
        assert not lease
        assert lease.holder == "theirs"
        clock.forward(60)
        assert lease.renew()
        assert lease.token is not None
        assert lease.token > token
        token = lease.token
        assert not NonBlockingLease(theirs, "/a", MINUTE, "theirs", clock)
        # Whoever has the identifier renews, whose library it is; and a new node has a new token.
        assert NonBlockingLease(theirs, "/a", MINUTE, "ours", clock)
        assert lease.renew()
        assert lease.token > token
        token = lease.token
        assert lease.release()


# -- D7: renewing takes a second slot -------------------------------------------------------------


def test_d7_kazoo_takes_a_second_slot_when_it_renews(kazoo: MakeKazoo) -> None:
    client, clock = kazoo(), Clock()

    def ask(name: str) -> MultiNonBlockingLease:
        return MultiNonBlockingLease(client, 2, "/a", MINUTE, name, clock)

    assert ask("first")
    clock.forward(30)
    assert ask("second")
    clock.forward(31)
    assert ask("second")
    assert not ask("third")


def test_d7_ours_keeps_its_slot(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    client, look, clock = ours(), kazoo(), Clock()

    def ask(name: str) -> coordinator.Lease:
        return client.multi_lease("/a", 2, MINUTE, identifier=name, utcnow=clock)

    assert ask("first")
    clock.forward(30)
    second = ask("second")
    clock.forward(32)
    assert second.renew()
    assert ask("second")
    assert ask("third")
    holders = [json.loads(look.get(f"/a/{slot}/lease_holder")[0])["holder"] for slot in range(2)]
    assert holders == ["third", "second"]


# -- D8: it blocks, and believes any clock --------------------------------------------------------


def test_d8_kazoo_waits_behind_whoever_sits_on_its_guard(kazoo: MakeKazoo) -> None:
    stuck, client = kazoo(), kazoo()
    guard = stuck.Lock("/a", "stuck")
    guard.acquire(timeout=5)
    asking = in_thread(lambda: NonBlockingLease(client, "/a", MINUTE, "client"))
    assert hangs(asking)
    guard.release()
    assert asking.result(BOUND)


def test_d8_ours_says_who_is_in_the_way(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    stuck, client = kazoo(), ours()
    guard = stuck.Lock("/a", "stuck-host")
    guard.acquire(timeout=5)
    with (
        Stopwatch() as watch,
        pytest.raises(coordinator.AcquireTimeout, match="stuck-host"),
    ):
        client.lease("/a", MINUTE, timeout=0.2)
    assert watch.elapsed < 0.3 + watch.delay
    until(lambda: stuck.get_children("/a") == [guard.node])
    guard.release()
    assert client.lease("/a", MINUTE)


def test_d8_kazoo_with_a_clock_that_is_ahead_holds_beside_another(kazoo: MakeKazoo) -> None:
    client = kazoo()
    assert NonBlockingLease(client, "/a", MINUTE, "right", Clock())
    assert NonBlockingLease(client, "/a", MINUTE, "ahead", Clock(61))


def test_d8_ours_waits_as_long_as_clocks_may_differ(ours: MakeOurs) -> None:
    client = ours()
    options = {"max_clock_skew": 61}
    right, ahead = Clock(), Clock(61)
    lease = client.lease("/a", 120, identifier="right", utcnow=right, **options)
    assert lease
    for _ in range(120):
        other = client.lease("/a", 120, identifier="ahead", utcnow=ahead, **options)
        assert not (lease and other)
        right.forward(1)
        ahead.forward(1)
    assert client.lease("/a", 120, identifier="ahead", utcnow=ahead, **options)


def test_d8_kazoo_believes_in_a_lease_that_is_over_when_it_is_written(kazoo: MakeKazoo) -> None:
    client, clock = kazoo(), Clock()
    clock.forward(0.05)
    assert NonBlockingLease(client, "/a", dt.timedelta(seconds=0.9), "short", clock)
    clock.forward(0.1)
    assert NonBlockingLease(client, "/a", MINUTE, "other", clock)


def test_d8_ours_is_true_only_as_long_as_others_see_it(ours: MakeOurs) -> None:
    client, clock = ours(), Clock()
    clock.forward(0.05)
    short = client.lease("/a", 0.9, identifier="short", max_clock_skew=0, utcnow=clock)
    assert not short
    long = client.lease("/b", 1.9, identifier="long", max_clock_skew=0, utcnow=clock)
    assert long
    clock.forward(0.96)
    assert not long
    assert client.lease("/b", MINUTE, identifier="other", max_clock_skew=0, utcnow=clock)
