"""Members of kazoo's and ours divide a set, while some are killed, stopped and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from partition_member import ITEMS
from waiting import until
from zookeeper_server.fixtures import Chroot

MEMBER = Path(__file__).with_name("partition_member.py")
BOUNDARY = "0.4"
BOUND = 60.0


class Fleet:
    """Members, each in a process of its own."""

    def __init__(self, hosts: str, directory: Path) -> None:
        self.hosts = hosts
        self.directory = directory
        self.members: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, side: str, identifier: str) -> None:
        """Start one."""
        arguments = [side, self.hosts, str(self.directory), identifier, BOUNDARY]
        self.members[identifier] = subprocess.Popen([sys.executable, str(MEMBER), *arguments])

    def kill(self, identifier: str) -> None:
        """Kill one; its session ends later."""
        member = self.members.pop(identifier)
        member.kill()
        member.wait()
        (self.directory / f"{identifier}.json").unlink(missing_ok=True)

    def tell(self, identifier: str, number: signal.Signals) -> None:
        """Send one a signal."""
        self.members[identifier].send_signal(number)

    def settles(self) -> None:
        """Wait until all members have acquired, and all items are owned, balanced."""
        until(self._is_settled, BOUND)
        assert not (self.directory / "violations").exists(), self.violations()

    def violations(self) -> str:
        """What was written down."""
        return (self.directory / "violations").read_text()

    def _is_settled(self) -> bool:
        dead = [name for name, member in self.members.items() if member.poll() is not None]
        assert not dead, f"{dead} ended"
        said = []
        for name in self.members:
            path = self.directory / f"{name}.json"
            if not path.exists():
                return False
            said.append(json.loads(path.read_text()))
        owned = [item for member in said for item in member["items"]]
        sizes = [len(member["items"]) for member in said]
        all_acquired = all(member["state"] == "ACQUIRED" for member in said)
        return all_acquired and sorted(owned) == ITEMS and max(sizes) - min(sizes) <= 1


@pytest.fixture
def fleet(zookeeper: Chroot, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet whose members end with the test."""
    fleet = Fleet(zookeeper.hosts, tmp_path)
    yield fleet
    for name in list(fleet.members):
        fleet.kill(name)


def test_a_mixed_party_divides_a_set_while_members_come_and_go(fleet: Fleet) -> None:
    fleet.start("kazoo", "kazoo-1")
    fleet.start("ours", "ours-1")
    fleet.start("kazoo", "kazoo-2")
    fleet.start("ours", "ours-2")
    fleet.settles()
    fleet.kill("kazoo-1")
    fleet.settles()
    # Shorter than its session: it goes on as if nothing had been.
    fleet.tell("kazoo-2", signal.SIGSTOP)
    fleet.start("ours", "ours-3")
    until((fleet.directory / "ours-3.json").exists, BOUND)
    fleet.tell("kazoo-2", signal.SIGCONT)
    fleet.settles()
    fleet.kill("ours-1")
    fleet.start("kazoo", "kazoo-3")
    fleet.settles()


def test_two_who_own_an_item_at_once_would_be_seen(tmp_path: Path) -> None:
    from partition_member import Files

    one, other = Files(tmp_path, "one"), Files(tmp_path, "other")
    one.take(["a"])
    other.take(["a"])
    assert "other owns a" in (tmp_path / "violations").read_text()
    one.give()
    other.give()
