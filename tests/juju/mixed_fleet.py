"""An application whose units run charmhelpers' coordinator or ours, and who holds locks in it.

charmhelpers' own leader can break mutual exclusion: it takes a grant back when its view of the
holder is old, and it acts on grants to itself before they are written. The fleet tells holdings
that it brought about in this way from all others.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field

from coordinator import juju
from rolling import PEERS, OldSerial, OldSimple, Work, old_charm, our_charm, restarted
from simulated_juju import Faults, HookRecord, Model, ToolCall, WorkInterval

LOCK = "restart"
WORK = Work(long_share=0.3)
MINUTES = 15.0
RULES: dict[str, tuple[type, type]] = {
    "simple": (OldSimple, juju.SimpleCoordinator),
    "serial": (OldSerial, juju.Serial),
}
Grants = dict[str, dict[str, str]]


@dataclass
class Running:
    """One hook that runs: whether it is an old unit's, and the grants that it read."""

    start: float
    old: bool
    read: Grants | None = None


@dataclass
class Drop:
    """A grant that a leader took out of the leader settings."""

    time: float
    by_old: bool
    unit: str
    at: str


@dataclass
class Verdict:
    """Two units at work at once: who broke it, or nobody that is known."""

    first: str
    second: str
    time: float
    reason: str


@dataclass
class MixedFleet:
    """A fleet in one simulated model, driven by the model's seed."""

    model: Model
    only_ours_lead: bool
    rules: str = "simple"
    running: dict[str, Running] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    settings: Grants = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"fleet {self.model.seed}")
        old, ours = RULES[self.rules]
        self.old = old_charm(old, work=WORK)
        self.ours = our_charm(ours, work=WORK)
        self.revision = 0
        self.app = self.model.deploy(
            "app", self.ours, units=1, peers=PEERS, config={"revision": self.revision}
        )
        for _ in range(self.chance.randint(2, 3)):
            self.app.add_unit(self.chance.choice([self.old, self.old, self.ours]))
        claim = self.model.world.controller.claim

        def guarded_claim(unit: str) -> bool:
            return (not self.only_ours_lead or not self.is_old(unit)) and claim(unit)

        self.model.world.controller.claim = guarded_claim  # type: ignore[method-assign]
        self.model.listen("hook-start", self._hook_started)
        self.model.listen("tool", self._tool_ran)
        self.model.listen("work-start", self._work_started)
        self.model.listen("leader", self._leader_changed)

    def is_old(self, unit: str) -> bool:
        return self.model.world.agents[unit].charm is self.old

    def names(self, *, old: bool | None = None) -> list[str]:
        names = [unit.name for unit in self.app.units if unit.record.life == "alive"]
        return [name for name in names if old is None or self.is_old(name) is old]

    def live(self) -> None:
        """Roll twice while units are upgraded, come and go, and leadership changes hands."""
        model, chance = self.model, self.chance
        model.run(chance.uniform(20, 120))
        start = model.now
        length = MINUTES * 60
        self._roll()
        model.at(start + chance.uniform(60, length / 2), self._roll)
        for _ in range(chance.randint(1, 3)):
            model.at(start + chance.uniform(0, length), self._upgrade)
        for _ in range(chance.randint(0, 4)):
            model.at(start + chance.uniform(0, length), self._pass_leadership)
        if chance.random() < 0.4:
            model.at(start + chance.uniform(0, length), self._add)
        if chance.random() < 0.4:
            model.at(start + chance.uniform(0, length), self._remove)
        model.run(length)

    def recover(self) -> None:
        """End all faults and let everyone finish; the roll has to complete."""
        self.model.heal()
        done = self.model.run_until(self._rolled, 3 * 3600)
        assert done, f"not everyone restarted: {self._behind()}\n{self.model.describe(80)}"

    def unexplained(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if not verdict.reason]

    def _rolled(self) -> bool:
        return not self._behind() and self.model.settled()

    def _behind(self) -> dict[str, int]:
        done = {unit.name: restarted(unit.agent.charm_dir, LOCK) for unit in self.app.units}
        return {name: revision for name, revision in done.items() if revision != self.revision}

    def _roll(self) -> None:
        self.revision += 1
        self.app.configure(revision=self.revision)

    def _upgrade(self) -> None:
        candidates = self.names(old=True)
        if candidates:
            self.app.upgrade_unit(self.chance.choice(candidates), self.ours)
            self.counts["upgrades"] += 1

    def _pass_leadership(self) -> None:
        candidates = self.names(old=False if self.only_ours_lead else None)
        others = [name for name in candidates if name != self.model.leader("app")]
        if others:
            back = [self.model.leader("app") or others[0]] if self.chance.random() < 0.5 else []
            self.model.hand_leadership("app", self.chance.choice(others), *back)

    def _add(self) -> None:
        # Juju gives new units the application's charm: an older one no more once all are upgraded.
        kinds = [self.old, self.ours] if self.names(old=True) else [self.ours]
        self.app.add_unit(self.chance.choice(kinds))

    def _remove(self) -> None:
        name = self.chance.choice(self.names())
        if len(self.names()) > 2 and (self.is_old(name) or len(self.names(old=False)) > 1):
            self.app.remove_unit(name, force=self.chance.random() < 0.5)

    def _hook_started(self, record: HookRecord) -> None:
        self.running[record.context_id] = Running(record.start, self.is_old(record.unit))

    def _leader_changed(self, agent: object) -> None:
        leader = self.model.leader("app")
        if leader is not None:
            self.counts["old leaders" if self.is_old(leader) else "our leaders"] += 1

    def _tool_ran(self, call: ToolCall) -> None:
        running = self.running.get(call.context_id)
        if running is None or call.code != 0:
            return
        if call.argv[0] == "leader-get":
            answer = json.loads(call.stdout)
            raw = answer.get("coordinator") if isinstance(answer, dict) else answer
            running.read = json.loads(raw or "{}")
        elif call.argv[0] == "leader-set":
            pairs = dict(pair.split("=", 1) for pair in call.argv[1:])
            written: Grants = json.loads(pairs.get("coordinator", "{}"))
            for unit, locks in self.settings.items():
                for lock, at in locks.items():
                    if written.get(unit, {}).get(lock) != at:
                        self.drops.append(Drop(call.time, running.old, unit, at))
            self.settings = written

    def _work_started(self, started: WorkInterval) -> None:
        self.counts["works of old units" if self.is_old(started.unit) else "works of ours"] += 1
        for other in self.model.working():
            if other.unit != started.unit:
                reason = self._reason(other, started)
                self.counts["double holdings"] += 1
                self.verdicts.append(Verdict(other.unit, started.unit, started.start, reason))

    def _reason(self, first: WorkInterval, second: WorkInterval) -> str:
        begun = self.running[first.context_id].start
        taken = [drop for drop in self.drops if drop.unit == first.unit and drop.time >= begun]
        if self.running[first.context_id].old:
            # An old unit holds by the request that it had published when the hook began.
            taken = [drop for drop in taken if drop.at == self._published(first.unit)]
        if taken:
            return "an old leader took the grant back" if all(d.by_old for d in taken) else ""
        if self._granted_itself(first):
            return "an old leader acted on a grant to itself that it never wrote"
        if self._granted_itself(second):
            known = LOCK in (self.running[second.context_id].read or {}).get(first.unit, {})
            return "an old leader took the grant back before it wrote that" if known else ""
        return ""

    def _granted_itself(self, interval: WorkInterval) -> bool:
        running = self.running[interval.context_id]
        granted = (running.read or {}).get(interval.unit, {}).get(LOCK)
        return running.old and (granted is None or granted != self._published(interval.unit))

    def _published(self, unit: str) -> str | None:
        requests: dict[str, str] = json.loads(
            self.model.unit(unit).databag("coordinator").get("coordinator", "{}")
        )
        return requests.get(LOCK)


def fleet_model(seed: int) -> Model:
    """A model with faults of its seed, apart from those that a fleet brings about itself."""
    own = ("lease_bounce", "unit_added", "unit_removed")
    version = ("2.9.51", "3.6.0")[seed % 2]
    return Model(
        seed=seed, version=version, faults=Faults.drawn(seed, without=own), keep_tool_calls=False
    )
