"""Leases and partitioners over a real ZooKeeper, beside kazoo's, in one run against one server."""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

import measured
from report import table
from zookeeper_server import Options, ZooKeeperServer

ROUNDS = 9
LEASES = 40
DIVISIONS = 3
ITEMS, MEMBERS = 1000, 4
LEASE_WORKS = {
    "lease": "renewal, by the same object",
    "lease_anew": "renewal, by a new object",
    "denied": "held by another",
}
MOST_LEASE, MOST_DIVISION, MOST_MOVED = 1 / 3, 1 / 10, 201


def report(package: Path) -> str:
    """Measure, and return the tables."""
    build = Path("build/benches").resolve()
    build.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory(dir=build))
        options = Options(tick=2.0, heap="512m", java_options=(), settings={"dataDir": data})
        hosts = stack.enter_context(ZooKeeperServer(options)).hosts
        theirs = measured.python("kazoo_driver.py", package, hosts)
        ours = measured.python("coordinator_driver.py", package, hosts)
        for driver in (theirs, ours):
            stack.enter_context(driver).ready()
        return f"{leases(theirs, ours)}\n\n{divisions(theirs, ours)}\n"


def leases(theirs: measured.Driver, ours: measured.Driver) -> str:
    """The table of leases."""
    rows = []
    for work, label in LEASE_WORKS.items():
        for driver in (theirs, ours):
            driver.ask(work, LEASES)
        pairs = []
        for _ in range(ROUNDS):
            pair = [statistics.median(driver.ask(work, LEASES)) * 1000 for driver in (theirs, ours)]
            pairs.append(pair)
        ratio = statistics.median(mine / their for their, mine in pairs)
        medians = [statistics.median(each) for each in zip(*pairs, strict=True)]
        verdict = "met" if ratio <= MOST_LEASE else "**missed**"
        times = [f"{median:.2f}" for median in medians]
        rows.append((label, *times, f"{ratio:.2f}", f"0.33, {verdict}"))
    header = ("", "kazoo, ms", "ours, ms", "ratio", "target")
    return f"Medians of {ROUNDS} rounds of {LEASES} each.\n\n{table(header, rows)}"


def divisions(theirs: measured.Driver, ours: measured.Driver) -> str:
    """The table of partitioners."""
    measured_times = {"kazoo": [], "ours": []}
    for number in range(DIVISIONS):
        for name, driver in (("kazoo", theirs), ("ours", ours)):
            measured_times[name].append(driver.ask("divide", number, ITEMS, MEMBERS))
    medians = {
        name: [statistics.median(each) for each in zip(*times, strict=True)]
        for name, times in measured_times.items()
    }
    labels = (
        f"{ITEMS} items over {MEMBERS} members, s beyond the boundary",
        "one member more, s beyond the boundary",
        "items that moved by that",
    )
    rows = []
    for index, label in enumerate(labels):
        their, mine = medians["kazoo"][index], medians["ours"][index]
        limit = MOST_MOVED if index == 2 else their * MOST_DIVISION
        verdict = "met" if mine <= limit else "**missed**"
        target = f"{MOST_MOVED}, {verdict}" if index == 2 else f"a tenth, {verdict}"
        rows.append((label, f"{their:.2f}", f"{mine:.2f}", target))
    return (
        f"Medians of {DIVISIONS} rounds, with a boundary of 1 s; ours sticky, kazoo's as it is.\n\n"
        f"{table(('', 'kazoo', 'ours', 'target'), rows)}"
    )
