"""Locks of one host without a server: ours beside filelock, which polls."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import measured
from report import table

ROUNDS = 15
CYCLES = 200
HAND_OVERS = 20
MOST_FREE_MICROSECONDS = 70.0
MOST_HAND_OVER_MILLISECONDS = 2.0
# Longer than the interval in which filelock polls, so that it is met anywhere in it.
LONGEST_HOLD = 0.08


def report(package: Path) -> str:
    """Measure, and return the table."""
    build = Path("build/benches").resolve()
    build.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(dir=build))
        places = {
            "filelock": ("filelock", f"{directory}/file.lock"),
            "ours": ("coordinator", f"embedded:{directory}/store"),
        }
        pairs = {
            name: [
                stack.enter_context(measured.python("host_driver.py", package, *place))
                for _ in range(2)
            ]
            for name, place in places.items()
        }
        for pair in pairs.values():
            for driver in pair:
                driver.ready()
                driver.ask("free", CYCLES)
        return measure(pairs)


def measure(pairs: dict[str, list[measured.Driver]]) -> str:
    """Let both sides take turns, and return the table."""
    free: defaultdict[str, list[float]] = defaultdict(list)
    hand_overs: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for name, (one, other) in pairs.items():
            free[name].append(statistics.median(one.ask("free", CYCLES)))
            one.ask("take")
            for _ in range(HAND_OVERS // 2):
                hand_overs[name] += [hand_over(one, other), hand_over(other, one)]
            one.ask("give")
    microseconds = [statistics.median(free[name]) * 1e6 for name in pairs]
    milliseconds = [statistics.median(hand_overs[name]) * 1e3 for name in pairs]
    worst = [max(hand_overs[name]) * 1e3 for name in pairs]
    rows = [
        ("acquire and release, free, µs", *microseconds, met(microseconds, MOST_FREE_MICROSECONDS)),
        (
            "hand-over between two processes, ms",
            *milliseconds,
            met(milliseconds, MOST_HAND_OVER_MILLISECONDS),
        ),
        ("the slowest of the hand-overs, ms", *worst, None),
    ]
    return (
        f"From Python; medians of {ROUNDS} rounds of {CYCLES} cycles and {HAND_OVERS} hand-overs,\n"
        "in which one process waits while the other holds, and the time is from the call that\n"
        "gives back to the return of the call that waits.\n\n"
        f"{table(('', *pairs, 'target'), rows)}\n"
    )


def met(figures: list[float], most: float) -> str:
    """Say whether the last of these, ours, meets its target."""
    return f"{most:.0f}, {'met' if figures[-1] <= most else '**missed**'}"


def hand_over(holder: measured.Driver, waiter: measured.Driver) -> float:
    """Hand the lock from one process to another that waits; return the seconds that took."""
    waiter.send("take")
    time.sleep(random.uniform(LONGEST_HOLD / 2, LONGEST_HOLD))
    (given,) = holder.ask("give")
    (taken,) = waiter.receive()
    return taken - given
