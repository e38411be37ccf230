"""Markdown tables, medians, and words for the machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; the first column is text and the others are numbers."""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(shown(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def shown(cell: object) -> str:
    """Show a cell; None is a figure that there is not."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.1f}" if cell < 1000 else f"{cell:.0f}"
    return str(cell)


def machine() -> str:
    """Describe the machine: cores and Python, and nothing that names it."""
    return (
        f"{os.cpu_count()} cores, {platform.python_implementation()} "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    )


def milliseconds(action: Callable[[], object], rounds: int) -> float:
    """Return the median time of `action`, in milliseconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000
