"""Clients of kazoo and ours on the same paths: never more holders than allowed."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fleet_member import LIMITS
from register import Counts, Register
from waiting import BOUND, in_thread
from zookeeper_server import Ensemble, Proxy
from zookeeper_server.fixtures import Chroot

HAND_OVERS = 2000
MEMBER = Path(__file__).with_name("fleet_member.py")


def contend(
    all_hosts: str,
    directory: Path,
    recipe: str,
    sides: tuple[str, ...],
    hand_overs: int,
    our_hosts: str = "",
) -> Register:
    """Let these sides contend, each in a process of its own, and see what came of it."""
    register = Register(directory / "register", LIMITS[recipe])
    arguments = [recipe, str(register.path), str(hand_overs)]
    # What breaks in our connections is for us alone to survive.
    hosts = {"ours": our_hosts or all_hosts}
    processes = [
        subprocess.Popen(
            [sys.executable, str(MEMBER), side, hosts.get(side, all_hosts), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for side in sides
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(sides), "".join(outputs)
    return register


@pytest.mark.parametrize("recipe", LIMITS)
def test_two_who_hold_at_once_would_be_seen(zookeeper: Chroot, tmp_path: Path, recipe: str) -> None:
    register = contend(zookeeper.hosts, tmp_path, recipe, ("kazoo", "rogue"), HAND_OVERS)
    assert register.counts().violations
    assert {entry["side"] for entry in register.violations()} <= {"kazoo", "rogue"}
    register.close()


@pytest.mark.parametrize("recipe", LIMITS)
def test_a_mixed_fleet_takes_turns(zookeeper: Chroot, tmp_path: Path, recipe: str) -> None:
    register = contend(zookeeper.hosts, tmp_path, recipe, ("kazoo", "ours"), HAND_OVERS)
    counts = register.counts()
    print(recipe, summary(counts))
    assert register.violations() == []
    assert counts.violations == 0
    assert counts.kazoo_to_ours + counts.ours_to_kazoo >= HAND_OVERS
    assert (counts.shared, counts.exclusive) == (0, 0)
    register.close()


@pytest.mark.parametrize("recipe", LIMITS)
def test_a_mixed_fleet_takes_turns_while_our_connections_break(
    zookeeper: Chroot, proxy: Proxy, tmp_path: Path, recipe: str
) -> None:
    over = threading.Event()

    def break_connections() -> int:
        broken = 0
        # The rhythm decides nothing but how often it is tried.
        while not over.wait(random.uniform(0.05, 0.3)):
            proxy.cut_all()
            broken += 1
        return broken

    breaking = in_thread(break_connections)
    try:
        through = zookeeper.through(proxy)
        register = contend(
            zookeeper.hosts, tmp_path, recipe, ("kazoo", "ours"), HAND_OVERS // 10, through.hosts
        )
    finally:
        over.set()
    assert breaking.result(BOUND) > 0
    assert register.violations() == []
    counts = register.counts()
    assert (counts.violations, counts.shared, counts.exclusive) == (0, 0, 0)
    register.close()


def test_a_mixed_fleet_takes_turns_while_one_server_after_the_other_is_killed(
    tmp_path: Path,
) -> None:
    with Ensemble() as ensemble:
        fleet = in_thread(
            lambda: contend(ensemble.hosts, tmp_path, "lock", ("kazoo", "ours"), HAND_OVERS // 5)
        )
        killed = 0
        for server in itertools.cycle(ensemble.servers):
            if fleet.done():
                break
            server.restart()
            killed += 1
        register = fleet.result(BOUND)
    assert killed
    assert register.violations() == []
    counts = register.counts()
    print(summary(counts), f"{killed} servers killed")
    assert (counts.violations, counts.shared, counts.exclusive) == (0, 0, 0)
    register.close()


def summary(counts: Counts) -> str:
    """For the report of the run."""
    return (
        f"{counts.grants} grants, {counts.kazoo_to_ours} hand-overs from kazoo to ours, "
        f"{counts.ours_to_kazoo} from ours to kazoo"
    )
