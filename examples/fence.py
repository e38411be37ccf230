"""A resource that remembers the highest token it has seen, and refuses whoever comes too late.

A holder that is paused (by its scheduler, a full disk, a laptop lid) does not know that its turn
has ended while it slept. Only the guarded resource can stop its write: it keeps the highest
fencing token it has seen, and refuses every lower one.

    python examples/fence.py
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
from pathlib import Path

import coordinator


class TooLate(Exception):
    """A later holder has been here: the caller's turn is over."""


class FileFence:
    """The highest token in a file: for a resource that one process at a time changes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, token: int) -> None:
        """Let this token in and remember it; raise TooLate if a higher one was seen."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            highest = int(os.pread(descriptor, 20, 0) or 0)
            if token < highest:
                raise TooLate(f"token {token} comes after token {highest}")
            # Always twenty digits, in place: a crash leaves the old number or the new one.
            os.pwrite(descriptor, b"%020d" % token, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class SqlFence:
    """The highest token in a table, in the transaction that it guards: nothing can come between."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        database.execute(
            "CREATE TABLE IF NOT EXISTS fence (lock TEXT PRIMARY KEY, token INTEGER NOT NULL)"
        )

    def check(self, lock: str, token: int) -> None:
        """Let this token in, within the caller's transaction; raise TooLate if it is too old."""
        changed = self.database.execute(
            "INSERT INTO fence VALUES (?, ?) ON CONFLICT (lock)"
            " DO UPDATE SET token = excluded.token WHERE excluded.token >= fence.token",
            (lock, token),
        ).rowcount
        if not changed:
            raise TooLate(f"lock {lock}: token {token} comes after a higher one")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        one = coordinator.connect("memory:example", identifier="one")
        other = coordinator.connect("memory:example", identifier="other")
        database = sqlite3.connect(":memory:", isolation_level=None)
        table, file = SqlFence(database), FileFence(Path(directory) / "token")

        def write(grant: coordinator.Grant) -> str:
            try:
                file.check(grant.token)
                table.check("/report", grant.token)
            except TooLate as late:
                return f"{grant.holder}: refused, {late}"
            return f"{grant.holder}: written with token {grant.token}"

        sleeper = one.lock("/report").acquire()
        print(write(sleeper))
        one.close()  # as if it slept until the store gave it up
        with other.lock("/report") as grant:
            print(write(grant))
            print(write(sleeper))


if __name__ == "__main__":
    main()
