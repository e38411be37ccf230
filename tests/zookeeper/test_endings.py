"""Programs that end and objects that are dropped without a word: what they held is free."""

from __future__ import annotations

import gc
import subprocess
import sys
from functools import partial

import pytest
from kazoo.client import KazooClient

import coordinator
from grants import acquire
from waiting import BOUND, in_thread, until
from zookeeper_server.fixtures import Chroot, MakeKazoo, MakeOurs

# Far longer than the tests wait: nothing here is freed because a session expires, and whoever looks
# on keeps its own on a machine that is too busy to answer for a while.
SESSION = 120.0

HOLDS = f"""
import sys, threading
import coordinator
client = coordinator.connect(sys.argv[1], session_timeout={SESSION})
grant = client.lock("/lock").acquire()
lease = client.semaphore("/semaphore").acquire()
party = client.party("/party")
party.join()
grant.check()
"""
ENDINGS = {
    "the end of the program": ("", 0),
    "exit": ("sys.exit(3)", 3),
    "an exception": ("raise RuntimeError('planted')", 1),
    "a thread that waits": (
        "threading.Thread(target=client.lock('/lock').acquire, daemon=True).start()",
        0,
    ),
    "a cycle of objects": ("cycle = {'grant': grant}; cycle['itself'] = cycle", 0),
}


@pytest.mark.parametrize(("ending", "status"), ENDINGS.values(), ids=ENDINGS)
def test_what_a_program_held_is_free_when_it_has_ended(
    zookeeper: Chroot, kazoo: MakeKazoo, ending: str, status: int
) -> None:
    command = [sys.executable, "-c", HOLDS + ending, zookeeper.url]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == status
    assert "panic" not in result.stderr
    client = kazoo(timeout=SESSION)
    assert client.Lock("/lock").acquire(timeout=BOUND)
    assert client.Semaphore("/semaphore").acquire(timeout=BOUND)
    until(lambda: is_empty(client, "/party"))


def is_empty(client: KazooClient, path: str) -> bool:
    """Whether it is, asked again if the connection of whoever looks on breaks."""
    return not client.retry(client.get_children, path)


def test_what_is_dropped_in_any_thread_is_free(kazoo: MakeKazoo, ours: MakeOurs) -> None:
    look, client = kazoo(timeout=SESSION), ours(session_timeout=SESSION)
    grants = [acquire(client.lock(f"/lock-{number}")) for number in range(3)]
    grants.pop()
    in_thread(grants.pop).result(BOUND)
    cycle: dict[str, object] = {"grant": grants.pop()}
    cycle["itself"] = cycle
    del cycle
    gc.collect()
    for number in range(3):
        until(partial(is_empty, look, f"/lock-{number}"))


def test_a_client_that_is_dropped_ends_its_session(zookeeper: Chroot, kazoo: MakeKazoo) -> None:
    look, client = (
        kazoo(timeout=SESSION),
        coordinator.connect(zookeeper.url, session_timeout=SESSION),
    )
    party, grant = client.party("/party"), acquire(client.lock("/lock"))
    party.join()
    del client, party, grant
    gc.collect()
    until(lambda: is_empty(look, "/lock") and is_empty(look, "/party"))
