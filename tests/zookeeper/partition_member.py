"""One member of a partitioner, in a process of its own, until it is killed.

partition_member.py SIDE HOSTS DIRECTORY IDENTIFIER BOUNDARY

The program is the same for both sides: the loop of kazoo's documentation. It locks a file for each
item that it owns, which the kernel gives back if it dies; and it says in a file what it owns.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

ITEMS = [f"item-{number:02}" for number in range(12)]


def kazoo_member(hosts: str, identifier: str, boundary: float) -> Any:
    """As a kazoo client does it, with a session of its own."""
    from kazoo.client import KazooClient

    client = KazooClient(hosts, timeout=4)
    client.start(timeout=30)
    return client.SetPartitioner(
        "/queues", set=set(ITEMS), identifier=identifier, time_boundary=boundary
    )


def our_member(hosts: str, identifier: str, boundary: float) -> Any:
    """As a client of ours does it, with a session of its own."""
    import coordinator

    client = coordinator.connect(f"zookeeper://{hosts}", session_timeout=4)
    return client.partitioner(
        "/queues",
        set(ITEMS),
        identifier=identifier,
        time_boundary=boundary,
        state_change_event=threading.Event(),
    )


SIDES = {"kazoo": kazoo_member, "ours": our_member}


class Files:
    """The files of the items that this member owns."""

    def __init__(self, directory: Path, identifier: str) -> None:
        self.directory = directory
        self.identifier = identifier
        self.taken: dict[str, int] = {}

    def take(self, items: list[str]) -> None:
        """Lock them; who finds one locked writes that down."""
        for item in items:
            descriptor = os.open(self.directory / item, os.O_RDWR | os.O_CREAT, 0o600)
            self.taken[item] = descriptor
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with (self.directory / "violations").open("a") as file:
                    file.write(f"{self.identifier} owns {item}, and so does another\n")

    def give(self) -> None:
        """Unlock all."""
        for descriptor in self.taken.values():
            os.close(descriptor)
        self.taken.clear()

    def say(self, state: str) -> None:
        """Say what is owned."""
        path = self.directory / f"{self.identifier}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"state": state, "items": sorted(self.taken)}))
        part.replace(path)


def main() -> None:
    """Take part."""
    side, hosts, directory, identifier, boundary = sys.argv[1:]
    files = Files(Path(directory), identifier)
    partitioner = SIDES[side](hosts, identifier, float(boundary))
    while True:
        if partitioner.failed:
            sys.exit(f"{identifier} has failed")
        elif partitioner.release:
            files.give()
            files.say("RELEASE")
            partitioner.release_set()
        elif partitioner.acquired:
            if not files.taken and (items := list(partitioner)):
                files.take(items)
            files.say("ACQUIRED" if partitioner.acquired else "RELEASE")
            # As a worker that looks up from its work now and then.
            partitioner.state_change_event.wait(0.05)
            partitioner.state_change_event.clear()
        else:
            files.say("ALLOCATING")
            partitioner.wait_for_acquire(0.2)


if __name__ == "__main__":
    main()
