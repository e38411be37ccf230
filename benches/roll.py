"""What a roll costs the cluster: hooks, controller writes, hook tools, virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


def cost(charm: FunctionCharm, units: int, seed: int = 1) -> Cost:
    """Return the cost of a roll, which it is an error not to finish one unit at a time."""
    with Model(seed=seed, version=VERSION, keep_tool_calls=False) as model:
        application = model.deploy(
            "app", charm, units=units, peers=rolling.PEERS, config={"revision": 0}
        )
        model.settle()
        before, began = model.counters, model.now
        application.configure(revision=1)
        model.settle()
        after = model.counters
        if len(model.work) != units or model.most_at_once() != 1:
            raise RuntimeError(f"not a roll of {units} units\n{model.describe()}")
        last = max(work.end or 0.0 for work in model.work)
    used = {
        name: after[name] - before[name] for name in ("hooks", "tool calls", "controller writes")
    }
    return Cost(used["hooks"], used["tool calls"], used["controller writes"], last - began)


def report() -> str:
    """Measure, and return the table."""
    fixed = rolling.Work((RESTART_SECONDS, RESTART_SECONDS), long_share=0.0)
    makers: tuple[Callable[[], FunctionCharm], ...] = (
        lambda: rolling.old_charm(work=fixed),
        lambda: rolling.our_charm(work=fixed),
    )
    rows: list[tuple[object, ...]] = []
    for units in SIZES:
        theirs, ours = (cost(make(), units) for make in makers)
        for name in ("hooks", "tools", "writes", "seconds"):
            old, new = getattr(theirs, name), getattr(ours, name)
            label = {"tools": "hook tools", "writes": "controller writes"}.get(name, name)
            label = "virtual seconds until the last restart" if name == "seconds" else label
            rows.append((f"{units} units: {label}", old, new, f"{old / new:.1f}"))
    return f"{EXPLANATION}\n{table(('', 'theirs', 'ours', 'ratio'), rows)}\n"
