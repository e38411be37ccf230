"""Charms that restart when their configuration changes, for simulations in one process.

A unit restarts once per revision of its configuration and per lock. What it has done it notes in
its directory at the end of a hook that succeeds, as charms.reactive keeps its flags.
"""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from charmhelpers import coordinator as theirs
from charmhelpers.core import hookenv

from coordinator import juju
from coordinator.juju import framework
from simulated_juju import FunctionCharm, Hook
from simulated_juju.charmhelpers_world import charmhelpers_world

PEERS = {"coordinator": "coordinator"}
DONE = "restarted.json"


@dataclass
class Work:
    """How long restarts take: `seconds`, and now and then `long_seconds`."""

    seconds: tuple[float, float] = (0.5, 5.0)
    long_seconds: tuple[float, float] = (30.0, 240.0)
    long_share: float = 0.1
    keeps_asking: bool = False
    """Whether a leader asks on while it works, as the thread of a real hook does."""

    def draw(self, chance: random.Random) -> float:
        return chance.uniform(
            *(self.long_seconds if chance.random() < self.long_share else self.seconds)
        )


class OldSimple(theirs.BaseCoordinator):  # type: ignore[misc]
    """What the older reactive layer ran: one unit at a time, settled once more at the end."""

    def default_grant(self, lock: str, unit: str, granted: set[str], queue: list[str]) -> bool:
        holders = {holder for holder, locks in self.grants.items() if locks}
        return unit in holders or (not holders and queue[0] == unit)

    def msg(self, msg: str) -> None:
        pass

    def _save_state(self) -> None:
        self.handle()
        super()._save_state()


class OldSerial(theirs.Serial):  # type: ignore[misc]
    def msg(self, msg: str) -> None:
        pass


def our_charm(kind: Callable[..., Any] = juju.SimpleCoordinator, **options: Any) -> FunctionCharm:
    """A charm with a coordinator of this package."""
    charm = charmhelpers_world(rolling(lambda: kind(peer_relation_name="coordinator"), **options))

    def enter(hook: Hook) -> None:
        assert charm.enter is not None
        charm.enter(hook)
        if "simulation" not in hook.local:
            hook.local["simulation"] = simulated(hook)
        framework.simulation = hook.local["simulation"]
        juju.Singleton._instances = hook.local.setdefault("instances", {})

    def leave(hook: Hook) -> None:
        assert charm.leave is not None
        framework.simulation = {}
        charm.leave(hook)

    return replace(charm, enter=enter, leave=leave)


def old_charm(kind: type = OldSimple, **options: Any) -> FunctionCharm:
    """A charm with charmhelpers' own coordinator."""
    return charmhelpers_world(rolling(lambda: kind(peer_relation_name="coordinator"), **options))


def simulated(hook: Hook) -> dict[str, Any]:
    def tools(arguments: list[str], stdin: bytes | None) -> tuple[int, bytes, bytes]:
        result = hook.tool(arguments, stdin)
        return result.code, result.stdout, result.stderr

    def wall_clock() -> datetime.datetime:
        return datetime.datetime.fromtimestamp(hook.wall_clock(), datetime.timezone.utc)

    return {"tools": tools, "monotonic": hook.monotonic, "wall_clock": wall_clock}


def rolling(
    make: Callable[[], Any], locks: Sequence[str] = ("restart",), work: Work | None = None
) -> Callable[[Hook], None]:
    """A hook that restarts under each of `locks` once per revision of the configuration."""
    durations = work or Work()

    def function(hook: Hook) -> None:
        before = noted(hook.charm_dir)
        done = dict(before)
        chance = random.Random(f"{hook.unit} {hook.monotonic()}")
        coordinator = make()
        hookenv._run_atstart()
        # charmhelpers' configuration reads and writes a file in each hook, which says nothing
        # about coordinators.
        configured = json.loads(hook.tool(["config-get", "--format=json"]).stdout)
        revision = int(configured.get("revision") or 0)
        for lock in locks:
            if done.get(lock, 0) == revision:
                continue
            if not coordinator.granted(lock) and not coordinator.requested(lock):
                coordinator.acquire(lock)
            if coordinator.granted(lock):
                seconds = durations.draw(chance)
                while durations.keeps_asking and seconds > 10:
                    hook.work(lock, 10)
                    seconds -= 10
                    if coordinator._opened().may_decide():
                        coordinator._opened().confirm()
                hook.work(lock, seconds)
                done[lock] = revision
        if done != before:
            (hook.charm_dir / DONE).write_text(json.dumps(done))
        hookenv._run_atexit()

    return function


def noted(directory: Path) -> dict[str, int]:
    """The revision up to which a unit has restarted, by lock."""
    # A simulation asks after each of its events: no path is made, and nothing asked twice.
    try:
        with open(f"{directory}/{DONE}", "rb") as file:  # noqa: PTH123
            return {lock: int(revision) for lock, revision in json.load(file).items()}
    except FileNotFoundError:
        return {}


def restarted(directory: Path, lock: str = "restart") -> int:
    """The revision up to which a unit has restarted."""
    return noted(directory).get(lock, 0)
