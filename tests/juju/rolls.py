"""One roll per seed, with faults, and what must be true of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from coordinator import juju
from rolling import PEERS, Work, our_charm, restarted
from simulated_juju import Application, Faults, Model, NotSettledError, WorkInterval


class AtMostTwo(juju.BaseCoordinator):
    """Two units at a time under each lock, by the built-in rule."""

    rules = "at most 2"


class Policy(juju.BaseCoordinator):
    """Two units at a time under each lock, by a policy of the charm."""

    def default_grant(
        self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
    ) -> bool:
        return len(granted) < 2


KINDS = {juju.SimpleCoordinator: 1, juju.Serial: 1, AtMostTwo: 2, Policy: 2}
VERSIONS = ("2.9.51", "3.6.0", "4.0.0")
LAST_REVISION = 2


@dataclass
class Plan:
    """What a seed stands for: the model, the rules and the locks. The faults are drawn from it."""

    seed: int
    version: str = field(init=False)
    kind: type = field(init=False)
    locks: tuple[str, ...] = field(init=False)
    units: int = field(init=False)

    def __post_init__(self) -> None:
        self.version = VERSIONS[self.seed % 3]
        self.kind = [*KINDS, juju.SimpleCoordinator, juju.Serial][self.seed // 3 % 6]
        self.locks = (("restart",), ("restart", "reload"))[self.seed // 18 % 2]
        self.units = 2 + self.seed // 36 % 4


def roll(seed: int) -> Counter[str]:
    """Run the roll of `seed` and return what happened in it, counted.

    Raises:
        AssertionError: a rule of the coordinator was broken; the message has the seed and the end
            of the history.
    """
    plan = Plan(seed)
    faults = Faults.drawn(seed)
    with Model(seed=seed, version=plan.version, faults=faults, keep_tool_calls=False) as model:

        def few_enough(work: WorkInterval) -> None:
            name = None if plan.kind is juju.SimpleCoordinator else work.name
            units = sorted({other.unit for other in model.working(name)})
            allowed = KINDS[plan.kind]
            assert len(units) <= allowed, explained(model, f"{work.name} on {units} at once")

        model.listen("work-start", few_enough)
        work = Work(keeps_asking=seed % 2 == 0)
        charm = our_charm(plan.kind, locks=plan.locks, work=work)
        application = model.deploy(
            "app", charm, units=plan.units, peers=PEERS, config={"revision": 0}
        )
        model.run(minutes=3)
        application.configure(revision=1)
        model.run(minutes=12)
        application.configure(revision=LAST_REVISION)
        model.run(minutes=3)
        model.heal()
        try:
            model.run_until(lambda: finished(application, plan.locks), limit_seconds=8 * 3600)
        except NotSettledError as error:
            raise AssertionError(explained(model, "somebody waits for ever")) from error
        nothing_left_behind(model, application)
        counted = Counter(model.counters)
        counted[f"version {plan.version}"] = counted[plan.kind.__name__] = 1
        return counted


def finished(application: Application, locks: tuple[str, ...]) -> bool:
    """Whether every unit has restarted for the last revision."""
    return all(
        restarted(unit.agent.charm_dir, lock) == LAST_REVISION
        for unit in application.units
        for lock in locks
    )


def nothing_left_behind(model: Model, application: Application) -> None:
    """Check that no request and no grant outlives the roll."""

    def clean() -> bool:
        bags = [unit.databag("coordinator") for unit in application.units]
        requests = [bag.get("coordinator") for bag in bags]
        ledger = application.databag("coordinator").get("coordinator-ledger", "")
        return all(text == "{}" for text in requests) and '"queue":[],"grants":[]' in ledger

    try:
        model.run_until(clean, limit_seconds=3600)
    except NotSettledError as error:
        raise AssertionError(explained(model, "something was left behind")) from error


def explained(model: Model, what: str) -> str:
    """Say what is wrong, with what is needed to see it again."""
    bags = {unit.name: unit.databag("coordinator") for unit in model.applications["app"].units}
    ledger = model.applications["app"].databag("coordinator")
    return f"seed {model.seed}: {what}\n{model.describe()}\n{bags}\n{ledger}"
