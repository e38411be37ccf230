"""Shows the demo: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo_progress import DONE, INSTALLING, READY, RESTARTING, WAITING, Progress, Roll

STYLES = {
    INSTALLING: "dim",
    READY: "",
    WAITING: "yellow",
    RESTARTING: "bold cyan",
    DONE: "green",
}
MARKS = {INSTALLING: "…", READY: "·", WAITING: "○", RESTARTING: "●", DONE: "✓"}


class PlainLines:
    """One line for everything that happens, with the virtual time."""

    def __init__(self, roll: Roll) -> None:
        self._roll = roll
        roll.tell = self._tell

    @contextlib.contextmanager
    def shown(self, heading: str) -> Iterator[None]:
        """Print lines while the body runs."""
        print(heading, flush=True)
        yield

    def _tell(self, line: str) -> None:
        print(f"{self._roll.clock:8.1f} s  {line}", flush=True)


class LiveTable:
    """A table with a row for each unit, drawn anew several times a second."""

    def __init__(self, roll: Roll, console: Console) -> None:
        self._roll = roll
        self._console = console
        self._trouble: list[str] = []
        roll.tell = self._tell

    @contextlib.contextmanager
    def shown(self, heading: str) -> Iterator[None]:
        """Draw the table while the body runs, and leave its last state on the screen."""
        # While it is live a table that is higher than the screen is cut off; the last is not.
        with Live(
            get_renderable=lambda: self._drawn(heading),
            console=self._console,
            refresh_per_second=8,
            transient=True,
        ):
            yield
        self._console.print(self._drawn(heading))

    def _tell(self, line: str) -> None:
        if "failed" in line or line.startswith("    "):
            self._trouble.append(line)

    def _drawn(self, heading: str) -> Group:
        roll = self._roll
        table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
        table.add_column("unit")
        table.add_column("")
        table.add_column("state", width=26, no_wrap=True)
        table.add_column("turn", justify="right")
        table.add_column("token", justify="right")
        table.add_column("restart", justify="right")
        table.add_column("hooks", justify="right")
        table.add_column("tools", justify="right")
        # Sorted into a copy: the simulation goes on in another thread and may add a unit.
        for unit in sorted(roll.units.values(), key=lambda unit: number(unit.unit)):
            table.add_row(
                unit.unit,
                Text("leader", "magenta") if roll.is_leader(unit.unit) else "",
                Text(f"{MARKS[unit.state]} {described(roll, unit)}", STYLES[unit.state]),
                shown_number(unit.turn),
                shown_number(unit.token),
                interval(unit),
                str(unit.hooks),
                str(unit.tools),
            )
        total = Text(
            f"virtual time {roll.clock:.0f} s · {roll.hooks} hooks · {roll.tools} hook tool calls",
            "dim",
        )
        trouble = [Text(line, "red") for line in self._trouble[-12:]]
        return Group(Text(heading, "bold"), table, total, *trouble)


def view_for(roll: Roll, console: Console) -> PlainLines | LiveTable:
    """Return the table for a terminal that can draw it, else the lines."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveTable(roll, console)
    return PlainLines(roll)


def described(roll: Roll, unit: Progress) -> str:
    """Say in a few words what a unit does."""
    if unit.state == WAITING:
        place = roll.place(unit.unit)
        if place is not None:
            return "waiting, is next" if place <= 1 else f"waiting, {place} before it"
    if unit.current_hook and unit.state in (INSTALLING, READY):
        return f"{unit.state}, {unit.current_hook}"
    return unit.state


def interval(unit: Progress) -> str:
    """Show when a unit restarted."""
    if unit.began is None:
        return ""
    return f"{unit.began:.0f} s -" + ("" if unit.ended is None else f" {unit.ended:.0f} s")


def shown_number(value: int | None) -> str:
    """Show a number that may not be known yet."""
    return "" if value is None else str(value)


def number(unit: str) -> int:
    """Return the number in a unit's name."""
    return int(unit.rpartition("/")[2])
