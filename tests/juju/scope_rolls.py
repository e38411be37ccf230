"""One seed, applications that roll in one scope of a store, with faults, and what must be true."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from coordinator import juju
from rolling import Work, restarted
from scope_fleet import SCOPE, ScopeFleet
from simulated_juju import Application, Faults, Model, NotSettledError, WorkInterval

APPLICATIONS = ("kafka", "spark", "zookeeper")
HOUR = 3600.0


class AtMostTwo(juju.BaseCoordinator):
    """Two units at a time under each lock, by the built-in rule."""

    rules = "at most 2"


class Policy(juju.BaseCoordinator):
    """One unit at a time under each lock, by a policy of the charms."""

    def default_grant(
        self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
    ) -> bool:
        return not granted and unit == queue[0]


KINDS: dict[type, int] = {juju.SimpleCoordinator: 1, juju.Serial: 1, AtMostTwo: 2, Policy: 1}


@dataclass
class Plan:
    """What a seed stands for."""

    seed: int
    version: str = field(init=False)
    kind: type = field(init=False)
    locks: tuple[str, ...] = field(init=False)
    units: int = field(init=False)
    moves: bool = field(init=False)

    def __post_init__(self) -> None:
        chance = random.Random(f"scope {self.seed}")
        self.version = ("2.9.51", "3.6.0", "4.0.0")[self.seed % 3]
        self.kind = [*KINDS][self.seed // 3 % 4]
        self.locks = chance.choice([("restart",), ("restart", "reload")])
        self.units = chance.randint(1, 5)
        # An application that is on its way takes turns with nobody but itself.
        self.moves = chance.random() < 0.4
        # How often an agent dies, per hour and unit, and for how long at most.
        self.deaths = chance.choice([0.0, 2.0, 10.0])
        self.longest_death = chance.choice([5.0, 120.0])


def roll(seed: int, plan: Plan | None = None, faults: Faults | None = None) -> Counter[str]:
    """Run the rolls of `seed` and return what happened in them, counted.

    Raises:
        AssertionError: a promise was broken; the message has the seed and the end of the history.
    """
    plan = plan or Plan(seed)
    faults = faults or Faults.drawn(seed)
    with Model(seed=seed, version=plan.version, faults=faults, keep_tool_calls=False) as model:
        fleet = ScopeFleet(model, kind=plan.kind)
        try:
            return Roll(plan, fleet).run()
        finally:
            fleet.close()


class Roll:
    """The rolls of one seed."""

    def __init__(self, plan: Plan, fleet: ScopeFleet) -> None:
        self.plan, self.fleet, self.model = plan, fleet, fleet.model
        self.chance = random.Random(f"scope chaos {plan.seed}")
        self.counted: Counter[str] = Counter()
        self.applications: list[Application] = []
        self.revisions: Counter[str] = Counter()

    def run(self) -> Counter[str]:
        plan, model = self.plan, self.model
        model.listen("work-start", self.few_enough)
        work = Work(seconds=(0.5, 5.0), long_seconds=(20.0, 120.0), keeps_asking=plan.seed % 2 == 0)
        self.applications = [
            self.fleet.deploy(name, plan.units, locks=plan.locks, work=work)
            for name in APPLICATIONS
        ]
        self.let_agents_die()
        model.run(minutes=5)
        self.begin_rolls()
        if plan.moves:
            self.move_about()
        model.run(minutes=15)
        self.begin_rolls()
        model.run(minutes=5)
        model.heal()
        for application in self.applications:
            application.configure(backend="store")
        self.until(self.finished, 8 * HOUR, "somebody waits for ever")
        self.until(self.nothing_is_left, HOUR, "something was left behind")
        self.counted.update(model.counters)
        self.counted[f"version {plan.version}"] = self.counted[plan.kind.__name__] = 1
        self.counted["moves"] = sum(self.epoch(application) for application in self.applications)
        self.counted["calls"] = sum(agent.calls for agent in self.fleet.agents.values())
        return self.counted

    def begin_rolls(self) -> None:
        for application in self.applications:
            self.begin_roll(application)

    def begin_roll(self, application: Application) -> None:
        self.revisions[application.name] += 1
        application.configure(revision=self.revisions[application.name])

    def few_enough(self, work: WorkInterval) -> None:
        name = None if self.plan.kind is juju.SimpleCoordinator else work.name
        units = sorted({other.unit for other in self.model.working(name)})
        if self.plan.moves:
            application = work.unit.partition("/")[0]
            units = [unit for unit in units if unit.partition("/")[0] == application]
        allowed = KINDS[self.plan.kind]
        assert len(units) <= allowed, self.explained(f"{work.name} on {units} at once")

    def let_agents_die(self) -> None:
        if self.plan.deaths == 0.0:
            return
        mean = HOUR / (self.plan.deaths * self.plan.units * len(APPLICATIONS))

        def die() -> None:
            if not self.model.world.planner.active:
                return
            agents = [agent for agent in self.fleet.agents.values() if agent.steps is not None]
            if agents:
                agent = self.chance.choice(agents)
                agent.kill()
                self.counted["agents killed"] += 1
                pause = self.chance.uniform(0.0, self.plan.longest_death)
                self.model.at(self.model.now + pause, agent.start)
            self.model.at(self.model.now + self.chance.expovariate(1 / mean), die)

        self.model.at(self.model.now + self.chance.expovariate(1 / mean), die)

    def move_about(self) -> None:
        """Let applications be told to move, each a few times, also in the middle of their rolls."""
        for application in self.applications:
            for backend in ("peer", "store", "peer")[: self.chance.randint(1, 3)]:
                at = self.model.now + self.chance.uniform(60, 14 * 60)
                self.model.at(at, partial(application.configure, backend=backend))
                # Most moves come in the middle of a roll.
                begun = at - self.chance.uniform(0, 60)
                self.model.at(begun, partial(self.begin_roll, application))
                self.counted["moves wanted"] += 1

    def until(self, done: object, seconds: float, otherwise: str) -> None:
        assert callable(done)
        try:
            came = self.model.run_until(done, limit_seconds=seconds)
        except NotSettledError as error:
            raise AssertionError(self.explained(otherwise)) from error
        assert came, self.explained(otherwise)

    def finished(self) -> bool:
        """Whether every unit has restarted for the last revision."""
        return all(
            restarted(unit.agent.charm_dir, lock) == self.revisions[application.name]
            for application in self.applications
            for unit in application.units
            for lock in self.plan.locks
        )

    def nothing_is_left(self) -> bool:
        """Whether no request and no grant outlives the rolls, and everybody is in the scope.

        What units had that are gone is taken from them by whoever waits for it, and nobody does.
        """
        status = self.fleet.status()
        members = {self.fleet.member(unit.name) for unit in self.model.units()}
        left = [row for row in status["holders"] + status["queue"] if row["member"] in members]
        bags = [application.databag("coordinator") for application in self.applications]
        there = all('"elsewhere":{' in bag.get("coordinator-ledger", "") for bag in bags)
        return there and not left

    def epoch(self, application: Application) -> int:
        """How often it has moved."""
        ledger = json.loads(application.databag("coordinator").get("coordinator-ledger", "{}"))
        return int(ledger.get("epoch", 0))

    def explained(self, what: str) -> str:
        ledgers = [
            application.databag("coordinator").get("coordinator-ledger")
            for application in self.applications
        ]
        status = self.fleet.status()
        shown = {name: status[name] for name in ("rules", "holders", "queue")}
        return (
            f"seed {self.plan.seed}: {what}\n{self.plan}\n{self.model.describe(60)}\n"
            f"{SCOPE}: {shown}\n{ledgers}"
        )
