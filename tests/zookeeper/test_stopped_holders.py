"""A holder that is stopped, or killed: it never acts beside the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile

import pytest

from waiting import BOUND, Stopwatch, until
from zookeeper_server.fixtures import Chroot, MakeKazoo

SESSION = 1.0

# Says when it began to look whether it holds, each time that it was told that it does.
ACTS_WHILE_IT_HOLDS = """
import sys, time
import coordinator

client = coordinator.connect(sys.argv[1], session_timeout=float(sys.argv[2]))
grant = getattr(client, sys.argv[3])("/path").acquire()
while True:
    looked = time.monotonic()
    if grant.lost.is_set():
        break
    print(looked, flush=True)
    time.sleep(0.002)
try:
    grant.check()
except coordinator.LockLost:
    print("lost", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(url: str, recipe: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", ACTS_WHILE_IT_HOLDS, url, str(SESSION), recipe],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("recipe", ["lock", "semaphore"])
def test_a_stopped_holder_does_not_act_when_it_wakes(
    zookeeper: Chroot, kazoo: MakeKazoo, recipe: str
) -> None:
    client = kazoo()
    other = client.Lock("/path") if recipe == "lock" else client.Semaphore("/path")
    with holder(zookeeper.url, recipe) as process:
        assert process.stdout is not None
        assert float(process.stdout.readline())
        process.send_signal(signal.SIGSTOP)
        assert other.acquire(timeout=BOUND)
        taken = time.monotonic()
        process.send_signal(signal.SIGCONT)
        acts = list(takewhile("lost\n".__ne__, process.stdout))
    assert [act for act in acts if float(act) >= taken] == []
    other.release()


@pytest.mark.parametrize("recipe", ["lock", "semaphore"])
def test_a_killed_holder_is_followed_when_its_session_ends(
    zookeeper: Chroot, kazoo: MakeKazoo, recipe: str
) -> None:
    client = kazoo()
    other = client.Lock("/path") if recipe == "lock" else client.Semaphore("/path")
    with holder(zookeeper.url, recipe) as process:
        assert process.stdout is not None
        assert float(process.stdout.readline())
        with Stopwatch() as watch:
            process.kill()
            assert other.acquire(timeout=BOUND)
    # The server looks at whole ticks, of which it has ten a second.
    assert watch.elapsed < SESSION + 0.5 + watch.delay
    other.release()


INTERRUPTED = """
import sys
import coordinator

client = coordinator.connect(sys.argv[1])
print("waits", flush=True)
try:
    client.lock("/path").acquire()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.read()
"""


def test_ctrl_c_ends_a_wait_within_a_tenth_of_a_second_and_leaves_nothing(
    zookeeper: Chroot, kazoo: MakeKazoo
) -> None:
    client = kazoo()
    held = client.Lock("/path", "holder")
    held.acquire(timeout=5)
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, zookeeper.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        until(lambda: len(client.get_children("/path")) == 2)
        with Stopwatch() as watch:
            os.kill(process.pid, signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n"
        until(lambda: held.contenders() == ["holder"])
        process.kill()
    assert watch.elapsed < 0.1 + watch.delay
    held.release()
