"""Locks and semaphores over a real ZooKeeper, and what others need for the same.

All are warm and take turns in one run against one server, whose data lie on a disk, as they do in a
data centre: a commit waits for it. The floor is what no lock that ends with its session can do
without: one ephemeral node made and deleted, through nothing but the client library in Rust. A
ratio is that of two medians of the same round.
"""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import measured
from report import table
from zookeeper_server import Options, ZooKeeperServer

ROUNDS = 15
CYCLES = 40
HAND_OVER_ROUNDS = 7
HAND_OVERS = 600
CONTENDERS = (10, 50)
# Java compiles what ran often; a thousand times are enough that nothing gets faster any more.
WARM_CYCLES = 1500
WARM_HAND_OVERS = 3000

WORKS = {
    "first": "lock, free, first time",
    "again": "lock, free, again by the last holder",
    "semaphore": "semaphore, free",
}
SIDES = ("kazoo", "Curator", "ours, Rust", "ours, Python")
OURS = SIDES[2:]
# In floors, and for hand-overs in Curator's.
MOST_FLOORS = {"first": 1.2, "again": 1.05, "semaphore": 1.9}
LEAST_HAND_OVERS = 1.8
Drivers = dict[str, measured.Driver]


def report(package: Path, driver: Path) -> str:
    """Measure, and return the tables."""
    with started(package, driver) as drivers:
        warm_up(drivers)
        return f"{cycles(drivers)}\n\n{hand_overs(drivers)}\n"


@contextmanager
def started(package: Path, driver: Path) -> Iterator[Drivers]:
    """The drivers, by name, and a server for them."""
    build = Path("build/benches").resolve()
    build.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory(dir=build))
        classes = stack.enter_context(tempfile.TemporaryDirectory(dir=build))
        options = Options(tick=2.0, heap="512m", java_options=(), settings={"dataDir": data})
        hosts = stack.enter_context(ZooKeeperServer(options)).hosts
        drivers = {
            "kazoo": measured.python("kazoo_driver.py", package, hosts),
            "Curator": measured.curator(Path(classes), hosts),
            "ours, Rust": measured.rust(driver, hosts),
            "ours, Python": measured.python("coordinator_driver.py", package, hosts),
        }
        for each in drivers.values():
            stack.enter_context(each).ready()
        yield drivers


def warm_up(drivers: Drivers) -> None:
    """Let everybody, and the server, run until nothing gets faster."""
    floors(drivers, WARM_CYCLES)
    for name in SIDES:
        for work in WORKS:
            drivers[name].ask(work, WARM_CYCLES if name == "Curator" else CYCLES)
        for contenders in CONTENDERS:
            drivers[name].ask("hand_overs", WARM_HAND_OVERS if name == "Curator" else 1, contenders)


def floors(drivers: Drivers, count: int) -> list[float]:
    """Measure the floor so many times."""
    return drivers["ours, Rust"].ask("floor", count)


def cycles(drivers: Drivers) -> str:
    """The table of uncontended work."""
    rounds = [measured_round(drivers) for _ in range(ROUNDS)]

    def ratio(work: str, name: str) -> float:
        return statistics.median(each[work, name] / each["floor", ""] for each in rounds)

    def cell(work: str, name: str) -> str:
        milliseconds = statistics.median(each[work, name] for each in rounds) * 1000
        return f"{ratio(work, name):.2f} ({milliseconds:.2f} ms)"

    rows = []
    for work, label in WORKS.items():
        worst, most = max(ratio(work, name) for name in OURS), MOST_FLOORS[work]
        verdict = "met" if worst <= most else f"**missed by {worst - most:.2f}**"
        rows.append((label, *(cell(work, name) for name in SIDES), f"{most:g}, {verdict}"))
    floor = statistics.median(each["floor", ""] for each in rounds) * 1000
    return (
        f"Acquire and release, in floors; a floor took {floor:.2f} ms. Medians of {ROUNDS} rounds\n"
        f"of {CYCLES} each.\n\n{table(('', *SIDES, 'target'), rows)}"
    )


def measured_round(drivers: Drivers) -> dict[tuple[str, str], float]:
    """The median of each work of each side, and of the floor, which is measured between them."""
    medians: dict[tuple[str, str], float] = {}
    all_floors: list[float] = []
    for work in WORKS:
        for name in SIDES:
            all_floors += floors(drivers, CYCLES)
            medians[work, name] = statistics.median(drivers[name].ask(work, CYCLES))
    medians["floor", ""] = statistics.median(all_floors)
    return medians


def hand_overs(drivers: Drivers) -> str:
    """The table of contended work."""
    rates: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
    for _ in range(HAND_OVER_ROUNDS):
        for contenders in CONTENDERS:
            for name in SIDES:
                rates[contenders, name] += drivers[name].ask("hand_overs", HAND_OVERS, contenders)

    def ratio(contenders: int, name: str) -> float:
        theirs, curators = rates[contenders, name], rates[contenders, "Curator"]
        return statistics.median(a / b for a, b in zip(theirs, curators, strict=True))

    def cell(contenders: int, name: str) -> str:
        rate = statistics.median(rates[contenders, name])
        return f"{rate:.0f} ({ratio(contenders, name):.2f})"

    rows = []
    for count in CONTENDERS:
        worst = min(ratio(count, name) for name in OURS)
        verdict = (
            "met" if worst >= LEAST_HAND_OVERS else f"**missed by {LEAST_HAND_OVERS - worst:.2f}**"
        )
        cells = (cell(count, name) for name in SIDES)
        rows.append((f"{count} contenders", *cells, f"{LEAST_HAND_OVERS:g}, {verdict}"))
    return (
        "Hand-overs of one lock per second, and their ratio to Curator's. Every contender has a\n"
        "session of its own; those of one side are threads or tasks of one process. Medians of\n"
        f"{HAND_OVER_ROUNDS} rounds of {HAND_OVERS} each.\n\n{table(('', *SIDES, 'target'), rows)}"
    )
