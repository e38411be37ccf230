"""What kazoo 2.11 says of locks whose session is over, and what we say: D1, D2, D11."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from kazoo.client import KazooClient, KazooState

import coordinator
from grants import acquire
from waiting import BOUND, Stopwatch, until
from zookeeper_server import Proxy, ZooKeeperServer
from zookeeper_server.fixtures import Chroot, MakeKazoo, MakeOurs

SESSION = 1.0


class States(list[str]):
    """What a kazoo client said of its session, with the time of each."""

    def __init__(self, client: KazooClient) -> None:
        super().__init__()
        self.times: dict[str, float] = {}
        client.add_listener(self._note)

    def _note(self, state: str) -> None:
        self.times.setdefault(state, time.monotonic())
        self.append(state)


# -- D1: held and participating for ever after the session has expired ---------------------------


def test_d1_kazoo_says_held_and_participating_after_its_session_has_expired(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo
) -> None:
    client, other = kazoo(zookeeper.through(proxy).hosts), kazoo()
    states = States(client)
    lock, semaphore = client.Lock("/lock"), client.Semaphore("/semaphore")
    party = client.Party("/party", "member")
    assert lock.acquire(timeout=5)
    assert semaphore.acquire(timeout=5)
    party.join()
    proxy.expire_sessions()
    until(lambda: states[-1:] == [KazooState.CONNECTED])
    assert KazooState.LOST in states
    # Two hold the lock and the semaphore now, by what their objects say.
    others = other.Lock("/lock"), other.Semaphore("/semaphore")
    assert all(each.acquire(timeout=5) for each in others)
    assert lock.is_acquired
    assert semaphore.is_acquired
    assert party.participating
    assert list(other.Party("/party")) == []
    # And the lock, free again, cannot be had by this object.
    others[0].release()
    assert lock.acquire(timeout=0.5) is False
    assert other.Lock("/lock").contenders() == []


def test_d1_ours_are_lost_and_can_be_had_again(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo, ours: MakeOurs
) -> None:
    client, other = ours(zookeeper.through(proxy).hosts, identifier="member"), kazoo()
    lock, semaphore, party = (
        client.lock("/lock"),
        client.semaphore("/semaphore"),
        client.party("/p"),
    )
    grants = [acquire(lock), acquire(semaphore)]
    party.join()
    proxy.expire_sessions()
    for grant in grants:
        assert grant.lost.wait(BOUND)
        with pytest.raises(coordinator.LockLost):
            grant.check()
    # The lock, free again, can be had by the same object, with a greater token.
    again = acquire(lock)
    assert again.token > grants[0].token
    again.check()
    assert acquire(semaphore).token > grants[1].token
    # The party has its member again.
    until(lambda: list(other.Party("/p")) == ["member"])
    # To give back what is lost takes nothing from who holds now.
    with pytest.raises(coordinator.LockLost):
        grants[0].release()
    assert lock.contenders() == ["member"]
    again.check()


# -- D2: nothing is said while the server is frozen ----------------------------------------------


def test_d2_kazoo_says_nothing_more_than_suspended_while_the_server_is_frozen(
    own_server: ZooKeeperServer, kazoo: MakeKazoo
) -> None:
    client = kazoo(own_server.hosts, timeout=SESSION)
    states = States(client)
    lock = client.Lock("/lock")
    assert lock.acquire(timeout=5)
    own_server.freeze()
    frozen = time.monotonic()
    # Three session timeouts: whatever the server thinks, the session is over by then.
    until(lambda: time.monotonic() - frozen > 3 * SESSION)
    assert states == [KazooState.SUSPENDED]
    assert lock.is_acquired
    own_server.thaw()
    until(lambda: KazooState.LOST in states or KazooState.CONNECTED in states)
    assert lock.is_acquired


def test_d2_ours_are_lost_within_two_thirds_of_the_session_timeout(
    own_server: ZooKeeperServer, ours: MakeOurs
) -> None:
    client = ours(own_server.hosts, session_timeout=SESSION)
    grant, lease = acquire(client.lock("/lock")), acquire(client.semaphore("/semaphore"))
    with Stopwatch() as watch:
        own_server.freeze()
        assert grant.lost.wait(BOUND)
    # The last request that was answered was sent before the server was frozen.
    assert watch.elapsed < SESSION * 2 / 3 + 0.1 + watch.delay
    assert lease.lost.wait(0.1)
    with pytest.raises(coordinator.LockLost):
        grant.check()
    own_server.thaw()
    # The same client works again, and the old grant stays lost.
    again = acquire(client.lock("/lock"))
    assert again.token > grant.token
    assert grant.lost.is_set()


def test_a_lost_grant_that_nobody_looks_at_keeps_nobody_waiting(
    own_server: ZooKeeperServer, ours: MakeOurs, kazoo: MakeKazoo
) -> None:
    client = ours(own_server.hosts, session_timeout=SESSION)
    grant = acquire(client.lock("/lock"))
    own_server.freeze()
    # Asks whether its node is still there; the answer will never be looked at.
    grant.check()
    until(lambda: client.state == "lost")
    own_server.thaw()
    assert kazoo(own_server.hosts).Lock("/lock").acquire(timeout=10 * SESSION)
    assert grant.lost.is_set()


# -- D11: a forked child with its parent's client hangs ------------------------------------------

KAZOO_FORKS = """
import os, sys, time
import coordinator
import pytest
from kazoo.client import KazooClient

client = KazooClient(sys.argv[1])
client.start()
lock = client.Lock("/lock")
lock.acquire()
child = os.fork()
if child == 0:
    client.exists("/")
    os._exit(0)
deadline = time.monotonic() + 2
ended = 0
while not ended and time.monotonic() < deadline:
    ended, _ = os.waitpid(child, os.WNOHANG)
    time.sleep(0.01)
if not ended:
    os.kill(child, 9)
    os.waitpid(child, 0)
print("answers" if ended else "hangs")
client.stop()
"""


def test_d11_kazoo_hangs_in_a_forked_child(zookeeper: Chroot) -> None:
    assert run(KAZOO_FORKS, zookeeper.hosts) == ("hangs\n", "")


def run(program: str, argument: str) -> tuple[str, str]:
    """What it prints. CPython 3.12 warns of every fork beside threads: that is what is tested."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, argument]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return result.stdout, result.stderr


OURS_FORKS = """
import os, sys, time
import coordinator

def forked(*calls):
    for call in calls:
        try:
            call()
        except coordinator.ForkedError as error:
            told = str(error)
        else:
            os._exit(1)
    os._exit(0 if "spawn" in told else 2)

client = coordinator.connect(sys.argv[1])
lock = client.lock("/lock")
grant = lock.acquire()
child = os.fork()
if child == 0:
    forked(
        grant.check,
        grant.release,
        lock.contenders,
        client.lock("/other").acquire,
        lambda: coordinator.connect(sys.argv[1]),
    )
assert os.waitpid(child, 0)[1] == 0
# The child has gone, with its copy of everything; what the parent holds is as it was.
grant.check()
assert len(lock.contenders()) == 1
grant.release()
print("told")
client.close()
"""

OURS_FORKS_FIRST = """
import os, sys
import coordinator

child = os.fork()
client = coordinator.connect(sys.argv[1])
for _ in range(20):
    with client.lock("/lock", timeout=30) as grant:
        grant.check()
client.close()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("took turns")
"""


@pytest.mark.parametrize(
    ("program", "output"),
    [(OURS_FORKS, "told\n"), (OURS_FORKS_FIRST, "took turns\n")],
    ids=["forked after connecting", "forked before connecting"],
)
def test_d11_a_forked_child_of_ours_is_told_at_once(
    zookeeper: Chroot, program: str, output: str
) -> None:
    assert run(program, zookeeper.url) == (output, "")
