"""Our coordinator and charmhelpers' own, driven through the same history."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from charmhelpers import coordinator as theirs

from coordinator import juju
from fresh_juju import KEY, Holdings, Hook, Seen, World
from rolling import OldSimple

LOCKS = ("canary", "config", "restart", "upgrade")
MOST_UNITS = 6


class Quiet:
    """Says nothing, and remembers in its world what it hears of releases."""

    world: World

    def msg(self, msg: str) -> None:
        pass


class Hearing(Quiet):
    def released(self, unit: str, lock: str, timestamp: dt.datetime) -> None:
        self.world.releases.append((unit, lock, timestamp.isoformat()))


class TwoAtATime(Hearing):
    def default_grant(
        self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
    ) -> bool:
        return unit in queue[: max(0, 2 - len(granted))]


class CanaryFirst(TwoAtATime):
    """The policy of a charm: two units per lock, but the canary lock goes to one, lowest first."""

    def grant_canary(
        self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
    ) -> bool:
        return not granted and unit == min(queue)


class OurSerial(Quiet, juju.Serial):
    pass


class OurHearingSerial(Hearing, juju.Serial):
    pass


class OurSimple(Quiet, juju.SimpleCoordinator):
    pass


class OurHearingSimple(Hearing, juju.SimpleCoordinator):
    pass


class OurLimit(Hearing, juju.BaseCoordinator):
    rules = "at most 2"


class OurCanary(CanaryFirst, juju.BaseCoordinator):
    pass


class TheirSerial(Hearing, theirs.Serial):  # type: ignore[misc]
    pass


class TheirLimit(TwoAtATime, theirs.BaseCoordinator):  # type: ignore[misc]
    pass


class TheirCanary(CanaryFirst, theirs.BaseCoordinator):  # type: ignore[misc]
    pass


class TheirSimple(Hearing, OldSimple):
    """What the older reactive layer ran, with one thing pinned that it left to chance.

    It asks its policy about units in the order of a set, and about locks in the order of their
    names. Here both come in the order of the requests, which is one of the orders it may take.
    """

    def _load_peer_state(self) -> Holdings:
        loaded: Holdings = super()._load_peer_state()
        in_order = {
            unit: dict(sorted(locks.items(), key=lambda pair: pair[1]))
            for unit, locks in loaded.items()
        }
        latest = "9999"
        return dict(sorted(in_order.items(), key=lambda pair: next(iter(pair[1].values()), latest)))


HEARING = " that hears of releases"

KINDS: dict[str, tuple[type, type]] = {
    "serial": (OurSerial, TheirSerial),
    f"serial{HEARING}": (OurHearingSerial, TheirSerial),
    "simple": (OurSimple, TheirSimple),
    f"simple{HEARING}": (OurHearingSimple, TheirSimple),
    "at most 2": (OurLimit, TheirLimit),
    "custom": (OurCanary, TheirCanary),
    "custom, adapted": (juju.adapt(TheirCanary), TheirCanary),
    "simple, adapted": (juju.adapt(TheirSimple), TheirSimple),
}


def maker(kind: type) -> Callable[[], Any]:
    return lambda: kind(peer_relation_name="coordinator")


class Pair:
    """Two worlds, one for each coordinator, in lockstep."""

    def __init__(self, kind: str, units: int, directory: Path, trace: list[str]) -> None:
        our_kind, their_kind = KINDS[kind]
        names = [f"app/{number}" for number in range(units)]
        self.ours = World(names, maker(our_kind), directory / "ours")
        self.theirs = World(names, maker(their_kind), directory / "theirs")
        self.trace = trace
        self.rules = "custom" if "adapted" in kind else kind.removesuffix(HEARING)
        self.hears = issubclass(our_kind, Hearing)
        self.only_idle = kind.startswith("simple") and "adapted" not in kind
        self.time = self.ours.now
        self.next_unit = units
        self.grants = 0
        self.had: dict[str, set[str]] = {}
        """By unit, what it had since its last hook that was not about the coordinator itself."""

    @property
    def units(self) -> list[str]:
        return self.ours.units

    @property
    def leader(self) -> str:
        return self.ours.leader

    def step(self, hook: Hook) -> None:
        """Run a hook, have the leader hear of it, and compare where everybody stands."""
        seen = self.run(hook)
        if hook.unit != self.leader or seen.at_end:
            self.settle(hook.unit)
        # The leader has heard of everything, and holds nothing between hooks.
        self.compare()

    def run(self, hook: Hook) -> Seen:
        # Ours postpones what is asked for again in a hook that a coordinator's own data made.
        had = self.had.setdefault(hook.unit, set())
        if hook.remote is None:
            had.clear()
        # And the retry of a leader's hook goes on with what the hook that failed was granted.
        retried = hook.fails and hook.unit == self.leader
        asks = tuple(lock for lock in hook.asks if lock not in had and not retried)
        hook = replace(hook, asks=asks, asks_only_idle=self.only_idle)
        self.trace.append(str(hook))
        first = self.time + dt.timedelta(seconds=1)
        times = [first + dt.timedelta(seconds=number) for number in range(len(hook.asks))]
        self.time = first + dt.timedelta(seconds=len(hook.asks))
        self.ours.now = self.theirs.now = first
        ours, old = self.ours.run(hook, times), self.theirs.run(hook, times)
        assert ours == old, f"in {hook} ours saw {ours}, charmhelpers {old}"
        self.grants += len(ours.at_end)
        if hook.fails:
            return self.run(replace(hook, fails=False))
        had.update(ours.at_start, ours.at_end)
        return ours

    def settle(self, unit: str) -> None:
        """Let the leader hear of `unit`, and go on until it has used up its own grants."""
        hook = Hook(self.leader, "coordinator-relation-changed", remote=unit)
        if unit == self.leader:
            hook = Hook(unit, "update-status")
        while self.run(hook).at_end:
            hook = Hook(self.leader, "update-status")

    def compare(self) -> None:
        ours, old = self.our_holdings(), their_holdings(self.theirs)
        assert ours == old, f"ours hold {ours}, charmhelpers' {old}"
        if self.hears:
            heard, old_heard = sorted(self.ours.releases), sorted(self.theirs.releases)
            assert heard == old_heard, f"ours heard of {heard}, charmhelpers of {old_heard}"
        self.ours.releases.clear()
        self.theirs.releases.clear()

    def our_holdings(self) -> Holdings:
        held: Holdings = {}
        for unit in self.units:
            requests = json.loads(self.ours.databags[unit].get(KEY, "{}"))
            if requests and unit != self.leader:
                locks = self.ours.look(unit, self.rules)
                if locks:
                    held[unit] = {lock: requests[lock] for lock in sorted(locks)}
        return held

    def hand_leadership(self, unit: str, asks: tuple[str, ...] = ()) -> None:
        self.ours.leader = self.theirs.leader = unit
        self.step(Hook(unit, "leader-elected", asks))

    def depart(self, unit: str, chance: random.Random) -> None:
        self.trace.append(f"{unit} departs")
        self.ours.remove(unit)
        self.theirs.remove(unit)
        rest = list(self.units)
        if unit == self.leader:
            self.hand_leadership(chance.choice(rest))
        for other in [self.leader, *(other for other in rest if other != self.leader)]:
            self.step(Hook(other, "coordinator-relation-departed", (), unit, unit))

    def join(self, asks: tuple[str, ...]) -> None:
        unit = f"app/{self.next_unit}"
        self.next_unit += 1
        self.ours.add(unit)
        self.theirs.add(unit)
        self.step(Hook(unit, "install", asks))


def their_holdings(world: World) -> Holdings:
    """What units of charmhelpers' coordinator hold: grants that match their requests."""
    grants: Holdings = json.loads(world.leader_settings.get(KEY, "{}"))
    held: Holdings = {}
    for unit in world.units:
        requests = json.loads(world.databags[unit].get(KEY, "{}"))
        granted = grants.get(unit, {})
        own = {lock: at for lock, at in sorted(requests.items()) if granted.get(lock) == at}
        if own:
            held[unit] = own
    return held


def history(kind: str, seed: int, directory: Path) -> int:
    """Drive a random history through both; return how many locks were held in its hooks.

    Raises:
        AssertionError: they differ; the message has the seed and the history.

    """
    chance = random.Random(f"{kind} {seed}")
    trace: list[str] = []
    pair = Pair(kind, chance.randint(2, MOST_UNITS), directory, trace)
    locks = LOCKS[: chance.randint(1, len(LOCKS))]
    eagerness = chance.choice((0.3, 0.6, 0.9))

    def asks() -> tuple[str, ...]:
        if chance.random() > eagerness:
            return ()
        return tuple(chance.sample(locks, chance.randint(1, len(locks))))

    try:
        pair.hand_leadership(pair.leader)
        for _ in range(chance.randint(4, 10)):
            others = [unit for unit in pair.units if unit != pair.leader]
            draw = chance.random()
            if draw < 0.08 and others:
                pair.hand_leadership(chance.choice(others), asks())
            elif draw < 0.13 and len(pair.units) > 1:
                pair.depart(chance.choice(pair.units), chance)
            elif draw < 0.18 and len(pair.units) < MOST_UNITS:
                pair.join(asks())
            else:
                unit = chance.choice(pair.units)
                fails = chance.random() < 0.04
                pair.step(
                    replace(ordinary_hook(unit, pair.units, chance), asks=asks(), fails=fails)
                )
    except Exception as error:
        lines = "\n".join(trace)
        raise AssertionError(f"kind {kind!r}, seed {seed}: {error}\n{lines}") from error
    return pair.grants


def ordinary_hook(unit: str, units: list[str], chance: random.Random) -> Hook:
    others = [other for other in units if other != unit]
    if others and chance.random() < 0.4:
        return Hook(unit, "coordinator-relation-changed", remote=chance.choice(others))
    return Hook(unit, chance.choice(("config-changed", "update-status", "upgrade-charm", "start")))
