"""What `import coordinator` adds to the start of an interpreter."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from report import table

ROUNDS = 60
MOST_MILLISECONDS = 10.0
PROGRAMS = {
    "bare interpreter": "pass",
    "import coordinator": "import coordinator",
    "import coordinator.juju": "import coordinator.juju",
}


def report(package: Path) -> str:
    """Measure the package in the directory `package`, and return the table."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    # Alternating, so that whatever else the machine does hits all of them.
    for _ in range(ROUNDS):
        for name, program in PROGRAMS.items():
            began = time.perf_counter()
            # Without site: what is installed beside the package is not its cost.
            subprocess.run([sys.executable, "-S", "-c", program], env=environment, check=True)
            times[name].append((time.perf_counter() - began) * 1000)
    bare = statistics.median(times["bare interpreter"])
    rows = []
    for name, each in times.items():
        median = statistics.median(each)
        rows.append((name, median, median - bare, min(each) - min(times["bare interpreter"])))
    added = rows[1][2]
    verdict = "met" if added <= MOST_MILLISECONDS else "**missed**"
    header = ("", "median ms", "added ms", "added ms, fastest runs")
    return (
        f"Medians of {ROUNDS} alternating runs each, without site-packages. The target for "
        f"`import coordinator` is at most {MOST_MILLISECONDS:.0f} ms added: {verdict}.\n\n"
        f"{table(header, rows)}\n"
    )
