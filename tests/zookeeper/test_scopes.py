"""Scopes on a real ZooKeeper: turns of many members, frozen servers, holders that are killed."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

import coordinator
from waiting import BOUND, in_thread, until
from zookeeper_server import ZooKeeperServer
from zookeeper_server.fixtures import Chroot, MakeKazoo, MakeOurs

HOLDS = """
import signal, sys
import coordinator
client = coordinator.connect(sys.argv[1], identifier="doomed", session_timeout=2.0)
grant = client.scope("s").acquire("x")
print("held", flush=True)
signal.pause()
"""


def turn(scope: coordinator.Scope, lock: str) -> coordinator.ScopeGrant:
    """The grant, which must come in time."""
    grant = scope.acquire(lock, timeout=BOUND)
    assert grant is not None
    return grant


def test_members_take_turns_and_leave_nothing(
    zookeeper: Chroot, kazoo: MakeKazoo, ours: MakeOurs
) -> None:
    inside: list[str] = []
    tokens: list[int] = []

    def work(number: int) -> None:
        client = ours(identifier=f"app/{number}")
        scope = client.scope("kafka")
        for _ in range(5):
            with turn(scope, "restart") as grant:
                inside.append(client.identifier)
                assert inside == [client.identifier]
                tokens.append(grant.token)
                inside.clear()
        client.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert len(tokens) == 40
    assert tokens == sorted(set(tokens))
    look = kazoo()
    root = "/coordinator/scopes/kafka"
    for directory in ("records", "notices", "members"):
        assert look.get_children(f"{root}/{directory}") == []
    ledger = json.loads(look.get(f"{root}/ledger")[0])
    assert (ledger["queue"], ledger["grants"]) == ([], [])
    # The whole tree goes, and tokens go on.
    look.delete("/coordinator", recursive=True)
    with turn(ours(identifier="later").scope("kafka"), "restart") as grant:
        assert grant.token > max(tokens)


def test_a_release_wakes_nobody_but_the_next(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    scope = ours(identifier="holder").scope("s")
    held = scope.acquire("x")
    assert held is not None
    waits = []
    for number in range(4):
        client = ours(identifier=f"waits/{number}")
        waits.append(in_thread(partial(turn, client.scope("s"), "x")))
        until(lambda: len(scope.status()["queue"]) == len(waits))
    look = kazoo()
    path = "/coordinator/scopes/s/notices/waits%2F"
    # The first of those who wait hears that it holds, the second that it is the first now.
    before = [look.exists(f"{path}{number}").mzxid for number in range(4)]
    held.release()
    first = waits[0].result(BOUND)
    after = [look.exists(f"{path}{number}").mzxid for number in range(4)]
    assert [old != new for old, new in zip(before, after, strict=True)] == [
        True,
        True,
        False,
        False,
    ]
    first.release()
    for waiting in waits[1:]:
        waiting.result(BOUND).release()


def test_a_holder_that_is_killed_gives_way_when_its_session_ends(
    zookeeper: Chroot, ours: MakeOurs
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, zookeeper.url], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        scope = ours(identifier="next").scope("s")
        assert scope.acquire("x", blocking=False) is None
        holder.kill()
        with turn(scope, "x"):
            assert scope.history()[-1]["why"] == "gone"


def test_a_holder_behind_a_frozen_server_knows_that_its_grant_has_ended(
    own_server: ZooKeeperServer, ours: MakeOurs
) -> None:
    client = ours(own_server.hosts, identifier="cut off", session_timeout=2.0)
    grant = client.scope("s").acquire("x")
    assert grant is not None
    own_server.freeze()
    assert grant.lost.wait(BOUND)
    with pytest.raises(coordinator.LockLost):
        grant.check()
    own_server.thaw()
    with pytest.raises(coordinator.LockLost):
        grant.release()
    with turn(client.scope("s"), "x") as again:
        assert again.token > grant.token
