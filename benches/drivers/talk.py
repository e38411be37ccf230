"""How a driver in Python talks: one line of words asks, one line of JSON answers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

# So many hand-overs are not counted.
WARM_UP = 100

# How long the party of a partitioner has to be quiet, in seconds.
BOUNDARY = 1.0


def answer_requests(works: object) -> None:
    """Do the work that each line of standard input names, until it ends.

    A line is the name of a method of `works` and its arguments, all whole numbers, as in
    `hand_overs 500 10`.
    """
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        name, *arguments = line.split()
        print(json.dumps(getattr(works, name)(*map(int, arguments))), flush=True)


def each(count: int, cycle: Callable[[], None]) -> list[float]:
    """Return the seconds that each of `count` runs of `cycle` took."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        cycle()
        times.append(time.perf_counter() - began)
    return times


def divided(join: Callable[[int], Any], members: int) -> list[float]:
    """Return what it takes so many members to divide their items.

    In seconds beyond the boundary; then the same for one member more, and how many items have
    moved by that.
    """
    parts = [join(member) for member in range(members)]
    first = _settled(parts, time.perf_counter())
    before = _owners(parts)
    parts.append(join(members))
    joined = time.perf_counter()
    while not all(part.release for part in parts[:members]):
        time.sleep(0.001)
    for part in parts[:members]:
        part.release_set()
    second = _settled(parts, joined)
    after = _owners(parts)
    moved = sum(before[item] != after[item] for item in before)
    for part in parts:
        part.finish()
    return [first, second, float(moved)]


def _settled(parts: list[Any], began: float) -> float:
    while not all(part.acquired for part in parts):
        for part in parts:
            if part.release:
                part.release_set()
        time.sleep(0.001)
    return time.perf_counter() - began - BOUNDARY


def _owners(parts: list[Any]) -> dict[Any, int]:
    return {item: member for member, part in enumerate(parts) for item in part}


class Counter:
    """Counts grants while the lock is held, and takes the time of the counted ones."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.grants = 0
        self.began = self.ended = 0.0

    def grant(self) -> bool:
        """Count a grant; false once nobody need ask again."""
        self.grants += 1
        if self.grants == WARM_UP:
            self.began = time.perf_counter()
        elif self.grants == WARM_UP + self.count:
            self.ended = time.perf_counter()
        return self.grants < WARM_UP + self.count

    def rate(self) -> float:
        """Return the counted hand-overs per second."""
        return self.count / (self.ended - self.began)
