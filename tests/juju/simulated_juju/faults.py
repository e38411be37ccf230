"""What goes wrong, by chance from the seed or one by one from a script.

A drawn set of faults leaves most kinds out, so that over many seeds each kind is also met without
the others covering for it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace

RATES = {
    "hook_failure": 0.08,
    "hook_kill": 0.05,
    "commit_failure": 0.05,
    "agent_kill_before_exec": 0.03,
    "agent_kill_after_exec": 0.03,
    "agent_kill_after_commit": 0.03,
    "operator_skip": 0.15,
    "slow_watch": 0.05,
    "agent_outage": 1.0,
    "partition": 1.0,
    "lease_bounce": 4.0,
    "clock_skew": 600.0,
    "unit_added": 1.0,
    "unit_removed": 1.0,
}


@dataclass(frozen=True)
class Faults:
    """How often each fault happens.

    Per hook (0 to 1): the hook exits with 1 or is killed at a random tool call, its commit fails,
    the agent dies before the hook runs, between hook and commit, or between commit and writing
    its own state. `operator_skip`: chance that an operator answers a hook error with
    `resolved --no-retry`. `slow_watch`: chance that a notification takes up to
    `slow_watch_seconds`. Per hour of each unit: `agent_outage` (up to `outage_seconds`),
    `partition`. Per hour of each application: `lease_bounce`, `unit_added`, `unit_removed`
    (half of them by force). `clock_skew`: the largest offset of a unit's clock in seconds.
    """

    hook_failure: float = 0.0
    hook_kill: float = 0.0
    commit_failure: float = 0.0
    agent_kill_before_exec: float = 0.0
    agent_kill_after_exec: float = 0.0
    agent_kill_after_commit: float = 0.0
    operator_skip: float = 0.0
    slow_watch: float = 0.0
    agent_outage: float = 0.0
    partition: float = 0.0
    lease_bounce: float = 0.0
    clock_skew: float = 0.0
    unit_added: float = 0.0
    unit_removed: float = 0.0
    slow_watch_seconds: float = 240.0
    outage_seconds: float = 300.0

    @classmethod
    def none(cls) -> Faults:
        """Nothing goes wrong but what a script asks for."""
        return cls()

    @classmethod
    def drawn(cls, seed: int, *, share: float = 0.4, without: tuple[str, ...] = ()) -> Faults:
        """Return a random set: each kind is there with chance `share`, at a random strength."""
        unknown = set(without) - {item.name for item in fields(cls)}
        if unknown:
            raise ValueError(f"no fault is called {sorted(unknown)}; see the fields of Faults")
        chance = random.Random(f"faults {seed}")
        chosen: dict[str, float] = {}
        for name, rate in RATES.items():
            present, strength = chance.random() < share, chance.uniform(0.3, 2.0)
            if present and name not in without:
                chosen[name] = min(rate * strength, 0.5) if rate < 0.5 else rate * strength
        return replace(cls(), **chosen)


KINDS = (
    "hook-failure",
    "hook-kill",
    "commit-failure",
    "agent-kill-before-exec",
    "agent-kill-after-exec",
    "agent-kill-after-commit",
)


@dataclass
class Scripted:
    """One fault to happen once, at the first hook that matches."""

    kind: str
    unit: str
    hook: str | None = None
    tool: int = 1
    restart_after: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no scripted fault is called {self.kind!r}; use one of {KINDS}")


@dataclass
class HookPlan:
    """What will go wrong in one run of a hook; `at_tool` counts its tool calls from 1."""

    end: str = ""
    at_tool: int = 0
    commit_fails: bool = False
    agent_kill: str = ""
    restart_after: float = 1.0


class FaultPlanner:
    """Decides for each hook what goes wrong in it."""

    def __init__(self, faults: Faults, chance: random.Random) -> None:
        self.faults = faults
        self.chance = chance
        self.active = True
        self.script: list[Scripted] = []

    def plan(self, unit: str, hook: str) -> HookPlan:
        """Draw what goes wrong in one hook, scripted faults first."""
        for fault in self.script:
            if fault.unit == unit and fault.hook in (None, hook):
                self.script.remove(fault)
                return scripted_plan(fault)
        plan = HookPlan()
        faults = self.faults
        if not self.active or faults == NONE:
            return plan
        draw = self.chance.random
        if draw() < faults.hook_failure:
            plan.end, plan.at_tool = "hook-failure", self.chance.randint(1, 12)
        elif draw() < faults.hook_kill:
            plan.end, plan.at_tool = "hook-kill", self.chance.randint(1, 12)
        plan.commit_fails = draw() < faults.commit_failure
        plan.restart_after = self.chance.uniform(0.5, 20.0)
        for name in ("before_exec", "after_exec", "after_commit"):
            if draw() < getattr(faults, f"agent_kill_{name}"):
                plan.agent_kill = name
        return plan

    def watch_delay(self, delay: float) -> float:
        """How long a notification takes, given what it takes when all is well."""
        if self.active and self.faults.slow_watch and self.chance.random() < self.faults.slow_watch:
            return self.chance.uniform(delay, self.faults.slow_watch_seconds)
        return delay


NONE = Faults.none()


def scripted_plan(fault: Scripted) -> HookPlan:
    """Return the plan that makes a scripted fault happen."""
    plan = HookPlan(restart_after=fault.restart_after)
    if fault.kind in ("hook-failure", "hook-kill"):
        plan.end, plan.at_tool = fault.kind, fault.tool
    elif fault.kind == "commit-failure":
        plan.commit_fails = True
    else:
        plan.agent_kill = fault.kind.removeprefix("agent-kill-").replace("-", "_")
    return plan
