"""What a roll costs in a scope on a store, and how soon an agent calls the next unit."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import roll
import rolling
from coordinator import juju
from live_fleet import LiveFleet
from report import table
from scope_fleet import ScopeFleet
from simulated_juju import Model
from zookeeper_server import Options, ZooKeeperServer

SIZES = (5, 20, 100)
SIDES = ("theirs", "ours, peer relation", "ours, scope")
ROLLS = 10
TARGET_MILLISECONDS = 50.0
EXPLANATION = f"""\
Every unit restarts once, for {roll.RESTART_SECONDS:.0f} virtual seconds, after one change of the
configuration, in Juju {roll.VERSION}; agents' calls count as hooks. "Theirs" is charmhelpers'
coordinator with the policy of the older reactive layer. The target is two hooks per unit, and a
constant.
"""
CALLS = """\
The time from the moment at which a hook begins to publish its release until the agent of the next
unit has called `juju-exec`, a process: one ZooKeeper server on loopback, ten units and their
agents.
"""


def hooks(side: str, units: int) -> int:
    """Return the hooks of one roll."""
    if side == "theirs":
        return roll.cost("theirs", units).hooks
    if side == "ours, peer relation":
        return roll.cost("ours", units).hooks
    work = rolling.Work((roll.RESTART_SECONDS, roll.RESTART_SECONDS), long_share=0.0)
    with Model(seed=1, version=roll.VERSION, keep_tool_calls=False) as model:
        fleet = ScopeFleet(model, kind=juju.SimpleCoordinator)
        application = fleet.deploy("app", units, work=work)
        model.settle()
        before = len(model.hooks_run)
        application.configure(revision=1)
        model.run_until(
            lambda: all(rolling.restarted(unit.agent.charm_dir) == 1 for unit in application.units)
        )
        model.settle()
        if len(model.work) != units or model.most_at_once() != 1:
            raise RuntimeError(f"not a roll of {units} units\n{model.describe()}")
        fleet.close()
        updates = sum(record.hook == "update-status" for record in model.hooks_run[before:])
        return len(model.hooks_run) - before - updates


class Timed(juju.Serial):
    """Notes when it begins to publish a release."""

    released = 0.0

    def _publish(self) -> None:
        if len(self.requests[self._opened().unit]) < len(self.held_at_close):
            Timed.released = time.monotonic()
        super()._publish()

    def _close(self) -> None:
        self.held_at_close = dict(self.requests[self._opened().unit])
        super()._close()


def calls() -> list[float]:
    """Return the times from a release to the next call, in milliseconds."""
    times: list[float] = []

    def called(_unit: object) -> None:
        if Timed.released:
            times.append((time.monotonic() - Timed.released) * 1000)
            Timed.released = 0.0

    with (
        tempfile.TemporaryDirectory() as directory,
        ZooKeeperServer(Options(java_options=())) as server,
        LiveFleet([server], Path(directory), 1, Timed) as fleet,
    ):
        fleet.deploy("kafka", 5)
        fleet.deploy("spark", 5)
        fleet.until(fleet.model.settled)
        fleet.roll()
        fleet.model.listen("exec", called)
        for _ in range(ROLLS):
            fleet.roll()
    return times


def report() -> str:
    """Measure, and return the tables."""
    plan = [(side, units) for units in sorted(SIZES, reverse=True) for side in SIDES]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        counts = dict(zip(plan, pool.map(hooks, *zip(*plan, strict=True)), strict=True))
    rows: list[tuple[object, ...]] = []
    for units in SIZES:
        counted = [counts[side, units] for side in SIDES]
        more = counted[-1] - 2 * units
        rows.append((f"{units} units", *counted, f"2 per unit {more:+d}"))
    first = table(("hooks in a roll", *SIDES, "the last"), rows)
    times = sorted(calls())
    median, late = statistics.median(times), times[int(len(times) * 0.95)]
    met = (
        "met"
        if median <= TARGET_MILLISECONDS
        else f"**missed by {median - TARGET_MILLISECONDS:.0f}**"
    )
    second = table(
        ("from a release to the next call", "ms", "target"),
        [
            (f"median of {len(times)}", median, f"{TARGET_MILLISECONDS:.0f}, {met}"),
            ("19 of 20", late, None),
        ],
    )
    return f"{EXPLANATION}\n{first}\n\n{CALLS}\n{second}\n"
