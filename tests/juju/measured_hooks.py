"""One unit of a built charm goes through the hooks that matter, among peers in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from charmhelpers.core import hookenv

from measured_charms import LOCK, MeasuredCharm, PeerCharm
from simulated_juju import FunctionCharm, Hook, HookRecord, Model

APPLICATION = "app"
RELATION = "coordinator"

UPDATE_STATUS = "update-status"
CHANGED = "relation-changed, a peer wrote something else"
REQUEST = "relation-changed, a request arrives"
ASKS = "config-changed that asks for a lock"
GRANTED = "the hook in which a grant arrives"
ELECTED = "leader-elected, newly elected"
CROWD = "relation-changed, all others wait"
ARRIVING = "relation-changed, requests of all others arrive: the dearest hook"

FOLLOWER = "not the leader"
LEADER = "leader"


@dataclass
class Cost:
    """The hook tools that one hook called."""

    hook: str
    calls: list[tuple[str, ...]]


Costs = dict[tuple[str, str], Cost]


def peer_charm(base: FunctionCharm | None, make: Callable[[], Any] | None) -> PeerCharm:
    """Return a peer that takes part in each hook it runs, or for no coordinator does nothing."""

    def function(hook: Hook) -> None:
        if make is not None:
            make()
            hookenv._run_atstart()
            hookenv._run_atexit()

    if base is None:
        return PeerCharm(function)
    return PeerCharm(function, base.enter, base.leave, base.files)


@dataclass
class Measurement:
    """An application of which one unit, app/0, is the built charm."""

    model: Model
    charm: MeasuredCharm
    peer: PeerCharm
    make: Callable[[], Any] | None
    units: int
    every_arrival: bool
    costs: Costs = field(default_factory=dict)

    def run(self) -> Costs:
        """Go through all hooks and return what each cost."""
        model = self.model
        self.application = model.deploy(
            APPLICATION, self.charm, units=1, peers={RELATION: RELATION}, config={"asking": 0}
        )
        self.unit = f"{APPLICATION}/0"
        self.peers = {}
        for number in range(1, self.units):
            charm = replace(self.peer)
            self.peers[f"{APPLICATION}/{number}"] = charm
            self.application.add_unit(charm)
        model.settle()
        if self.units > 1:
            self._as_follower()
        elected = self._hooks("leader-elected")[0] if self.units == 1 else self._elect(self.unit)
        self._note(ELECTED, LEADER, elected)
        self._as_leader()
        return self.costs

    def _as_follower(self) -> None:
        leader = f"{APPLICATION}/1"
        self.peers[leader].attentive = True
        if self.model.leader(APPLICATION) != leader:
            self._elect(leader)
        self.charm.spared = False
        self._update_status(FOLLOWER)
        self._note(CHANGED, FOLLOWER, self._nudge())
        since = self._ask()
        self._note(ASKS, FOLLOWER, self._hooks("config-changed", since)[0])
        if self.make is not None:
            (work,) = [work for work in self.model.work if work.start >= since]
            (record,) = [
                record for record in self._hooks("", since) if record.context_id == work.context_id
            ]
            self._note(GRANTED, FOLLOWER, record)
        self.peers[leader].attentive = False

    def _as_leader(self) -> None:
        self._update_status(LEADER)
        if self.units > 1:
            self._note(CHANGED, LEADER, self._nudge())
        if self.units > 1 and self.make is not None:
            asker = self._last_peer
            self.peers[asker].attentive = True
            since = self._request([asker])
            self._note(REQUEST, LEADER, self._changed(since, asker)[0])
            self.peers[asker].attentive = False
        self._note(ASKS, LEADER, self._hooks("config-changed", self._ask())[0])
        if self.units > 1 and self.make is not None:
            self._crowd()

    def _crowd(self) -> None:
        self.charm.spared = not self.every_arrival
        since = self._request(list(self.peers))
        if self.every_arrival:
            records = self._hooks(f"{RELATION}-relation-changed", since)
            self._note(ARRIVING, LEADER, max(records, key=lambda record: record.tool_calls))
        else:
            # With its cache emptied, one hook of the leader sees what the spared hooks did not.
            self.model.unit(self.unit).kill_agent(1.0)
            self.model.settle()
            self.charm.spared = False
        self._note(CROWD, LEADER, self._nudge())

    @property
    def _last_peer(self) -> str:
        return f"{APPLICATION}/{self.units - 1}"

    def _update_status(self, role: str) -> None:
        # What a unit does once after a change is over with the first.
        since = self.model.now
        assert self.model.run_until(lambda: len(self._hooks(UPDATE_STATUS, since)) == 3)
        self._note(UPDATE_STATUS, role, self._hooks(UPDATE_STATUS, since)[1])

    def _nudge(self) -> HookRecord:
        """Let the last peer write something that is not the coordinator's."""
        since = self.model.now
        text = f"nudge={since:.3f}"
        self.model.juju_exec(
            self._last_peer,
            lambda hook: assert_ok(hook, ["relation-set", "-r", f"{RELATION}:0", text]),
        )
        self.model.settle()
        return self._changed(since, self._last_peer)[0]

    def _ask(self) -> float:
        since = self.model.now
        self.asked = getattr(self, "asked", 0) + 1
        self.application.configure(asking=self.asked)
        self.model.settle()
        return since

    def _request(self, peers: list[str]) -> float:
        since = self.model.now

        def ask(hook: Hook) -> None:
            assert self.make is not None
            coordinator = self.make()
            hookenv._run_atstart()
            coordinator.acquire(LOCK)
            hookenv._run_atexit()

        for peer in peers:
            self.model.juju_exec(peer, ask)
        self.model.settle()
        return since

    def _elect(self, unit: str) -> HookRecord | None:
        since = self.model.now
        self.model.hand_leadership(APPLICATION, unit)
        assert self.model.run_until(lambda: self.model.leader(APPLICATION) == unit, 600)
        self.model.run(5)
        self.model.settle()
        records = self._hooks("leader-elected", since)
        return records[0] if records else None

    def _changed(self, since: float, peer: str) -> list[HookRecord]:
        records = self._hooks(f"{RELATION}-relation-changed", since)
        return [record for record in records if record.remote_unit == peer]

    def _hooks(self, name: str, since: float = 0.0) -> list[HookRecord]:
        """Return the unit's hooks of this name that are over; an empty name means any."""
        records = [
            record
            for record in self.model.hooks_run
            if record.unit == self.unit and record.start >= since and record.end is not None
        ]
        for record in records:
            assert record.outcome == "ok", record.output
        return [record for record in records if name in ("", record.hook)]

    def _note(self, what: str, role: str, record: HookRecord | None) -> None:
        assert record is not None, what
        calls = [
            call.argv for call in self.model.tool_calls if call.context_id == record.context_id
        ]
        self.costs[what, role] = Cost(record.hook, calls)


def assert_ok(hook: Hook, arguments: list[str]) -> None:
    """Call a hook tool that has to succeed."""
    result = hook.tool(arguments)
    assert result.code == 0, result.stderr


def measure(
    charm: MeasuredCharm,
    base: FunctionCharm | None,
    make: Callable[[], Any] | None,
    *,
    units: int,
    version: str,
    tool: Path,
    every_arrival: bool = True,
) -> Costs:
    """Return what the hooks of one unit of `charm` cost among `units` units.

    `make` makes a peer's coordinator, in hooks of the charm `base`. With `every_arrival` the leader
    runs a hook for each request of the crowd, without it only for the last.
    """
    charm.spared = True
    with Model(seed=1, version=version, tool_executable=tool) as model:
        return Measurement(model, charm, peer_charm(base, make), make, units, every_arrival).run()
