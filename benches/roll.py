"""What a roll costs the cluster: hooks, controller writes, hook tools, virtual time."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import rolling
from report import table
from simulated_juju import FunctionCharm, Model

SIZES = (5, 20, 50)
VERSION = "3.6.0"
RESTART_SECONDS = 30.0
EXPLANATION = f"""\
Every unit restarts once, for {RESTART_SECONDS:.0f} virtual seconds, after one change of the
configuration, in Juju {VERSION}. Hooks are functions in one process. "Theirs" is charmhelpers'
coordinator with the policy of the older reactive layer. The least possible time is units times
{RESTART_SECONDS:.0f} s.
"""


@dataclass
class Cost:
    """What one roll cost, from the change of the configuration until nothing was left to do."""

    hooks: int
    tools: int
    writes: int
    seconds: float


@dataclass
class RollingCharm(FunctionCharm):
    """A charm that may be spared the hooks in which a deployment's units meet each other.

    charmhelpers' coordinator learns nothing there that it does not read again in every hook.
    """

    spared: bool = False

    def handles(self, directory: Path, path: str) -> bool:
        """Whether there is a hook to run, now."""
        return not (self.spared and path.endswith(("-relation-joined", "-relation-changed")))


def cost(side: str, units: int, seed: int = 1) -> Cost:
    """Return the cost of a roll, which it is an error not to finish one unit at a time."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK):
        # Hooks open many small files, and no time is measured that depends on where they are.
        tempfile.tempdir = str(memory)
    rolled = charm(side)
    with Model(seed=seed, version=VERSION, keep_tool_calls=False) as model:
        application = model.deploy(
            "app", rolled, units=units, peers=rolling.PEERS, config={"revision": 0}
        )
        model.settle()
        rolled.spared = False
        before, began = model.counters, model.now
        application.configure(revision=1)
        model.settle()
        after = model.counters
        if len(model.work) != units or model.most_at_once() != 1:
            raise RuntimeError(f"not a roll of {units} units\n{model.describe()}")
        last = max(work.end or 0.0 for work in model.work)
    hooks, tools, writes = (
        after[name] - before[name] for name in ("hooks", "tool calls", "controller writes")
    )
    return Cost(hooks, tools, writes, last - began)


def charm(side: str) -> RollingCharm:
    """Return the charm of one side, "theirs" or "ours"."""
    work = rolling.Work((RESTART_SECONDS, RESTART_SECONDS), long_share=0.0)
    base = rolling.old_charm(work=work) if side == "theirs" else rolling.our_charm(work=work)
    return RollingCharm(base.function, base.enter, base.leave, base.files, spared=side == "theirs")


def report() -> str:
    """Measure, and return the table."""
    # The longest first, so that all cores are busy to the end.
    plan = [(side, units) for units in sorted(SIZES, reverse=True) for side in ("theirs", "ours")]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        costs = dict(zip(plan, pool.map(cost, *zip(*plan, strict=True)), strict=True))
    labels = {
        "hooks": "hooks",
        "tools": "hook tools",
        "writes": "controller writes",
        "seconds": "virtual seconds until the last restart",
    }
    rows: list[tuple[object, ...]] = []
    for units in SIZES:
        for name, label in labels.items():
            old, new = (getattr(costs[side, units], name) for side in ("theirs", "ours"))
            rows.append((f"{units} units: {label}", old, new, f"{old / new:.1f}"))
    return f"{EXPLANATION}\n{table(('', 'theirs', 'ours', 'ratio'), rows)}\n"
