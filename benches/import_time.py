"""What `import coordinator` adds to the start of an interpreter."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from report import table

ROUNDS = 40
MOST_MILLISECONDS = 10.0
BARE = "bare interpreter"
# Each program is compared with the one it names; with -S nothing that is installed is in the way.
PROGRAMS = {
    BARE: (["-S", "-c", "pass"], BARE),
    "import coordinator": (["-S", "-c", "import coordinator"], BARE),
    "import coordinator.juju": (["-S", "-c", "import coordinator.juju"], BARE),
    "kazoo.client": (["-c", "import kazoo.client"], BARE),
    "charmhelpers' hookenv": (["-c", "from charmhelpers.core import hookenv"], BARE),
    "hookenv, coordinator.juju": (
        ["-c", "from charmhelpers.core import hookenv; import coordinator.juju"],
        "charmhelpers' hookenv",
    ),
}


def report(package: Path) -> str:
    """Measure the package in the directory `package`, and return the table."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    # Alternating, so that whatever else the machine does hits all of them.
    for _ in range(ROUNDS):
        for name, (arguments, _) in PROGRAMS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], env=environment, check=True)
            times[name].append((time.perf_counter() - began) * 1000)
    rows = []
    for name, each in times.items():
        beside = times[PROGRAMS[name][1]]
        median = statistics.median(each)
        rows.append((name, median, median - statistics.median(beside), min(each) - min(beside)))
    added = rows[1][2]
    verdict = "met" if added <= MOST_MILLISECONDS else "**missed**"
    header = ("", "median ms", "added ms", "added ms, fastest runs")
    return (
        f"Medians of {ROUNDS} alternating runs each; added to a bare interpreter, or in the last\n"
        "row to one that has imported charmhelpers' hookenv, as a reactive charm's hook has.\n"
        f"The target for `import coordinator` is at most {MOST_MILLISECONDS:.0f} ms added: "
        f"{verdict}.\n\n{table(header, rows)}\n"
    )
