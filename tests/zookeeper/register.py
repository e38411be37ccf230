"""Who holds, as an independent check sees it: counters in a file that processes share.

Members count themselves in when they believe to hold and out before they give back. The file is
locked by the kernel while it is changed, so two that hold at once cannot fail to be seen.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

SIDES = ("nobody", "kazoo", "ours", "rogue")
ANY_NUMBER = 1_000_000


@dataclass
class Counts:
    """What the file holds.

    Attributes:
        shared: How many hold together with others: readers, or the holders of a semaphore.
        exclusive: How many hold alone; more than one is a violation.
        grants: How often anyone entered.
        kazoo_to_ours: How often ours entered next after kazoo had left.
        ours_to_kazoo: The other direction.
        violations: How often one entered who must not.
        last: The side that left last, if nobody has entered since.
        last_exclusive: Whether that one held alone.
    """

    shared: int = 0
    exclusive: int = 0
    grants: int = 0
    kazoo_to_ours: int = 0
    ours_to_kazoo: int = 0
    violations: int = 0
    last: int = 0
    last_exclusive: int = 0


FORMAT = struct.Struct(f">{len(astuple(Counts()))}q")


class Register:
    """The file, as one process sees it.

    Args:
        path: Where it is; made if it is not there.
        limit: How many may hold together.
    """

    def __init__(self, path: Path, limit: int = ANY_NUMBER) -> None:
        self.path = path
        self.limit = limit
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # flock is between open files: threads of one process share this one.
        self._threads = threading.Lock()

    def enter(self, side: str, *, exclusive: bool) -> None:
        """Count a member in that believes to hold."""
        with self._changed() as counts:
            others = counts.shared + counts.exclusive
            if counts.exclusive or (others if exclusive else others >= self.limit):
                counts.violations += 1
                self._report(side, counts, exclusive=exclusive)
            self._count_hand_over(side, counts, exclusive=exclusive)
            counts.grants += 1
            counts.shared += not exclusive
            counts.exclusive += exclusive

    def leave(self, side: str, *, exclusive: bool) -> None:
        """Count a member out that is about to give back."""
        with self._changed() as counts:
            counts.shared -= not exclusive
            counts.exclusive -= exclusive
            counts.last = SIDES.index(side)
            counts.last_exclusive = int(exclusive)

    def counts(self) -> Counts:
        """What it holds now."""
        with self._changed() as counts:
            return counts

    def violations(self) -> list[dict[str, object]]:
        """Each violation: when, who, beside how many."""
        file = self._violations
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _count_hand_over(self, side: str, counts: Counts, *, exclusive: bool) -> None:
        # Readers that follow readers were not kept waiting by them.
        waited = exclusive or counts.last_exclusive or self.limit < ANY_NUMBER
        pair = (SIDES[counts.last], side)
        if waited and pair == ("kazoo", "ours"):
            counts.kazoo_to_ours += 1
        elif waited and pair == ("ours", "kazoo"):
            counts.ours_to_kazoo += 1
        counts.last = 0

    @property
    def _violations(self) -> Path:
        return self.path.with_suffix(".violations")

    def _report(self, side: str, counts: Counts, *, exclusive: bool) -> None:
        entry = {"time": time.monotonic(), "side": side, "exclusive": exclusive, **vars(counts)}
        with self._violations.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    @contextmanager
    def _changed(self) -> Iterator[Counts]:
        with self._threads:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                content = os.pread(self._descriptor, FORMAT.size, 0)
                counts = Counts(*FORMAT.unpack(content)) if content else Counts()
                yield counts
                os.pwrite(self._descriptor, FORMAT.pack(*astuple(counts)), 0)
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
