"""Seven defects that rollingops 1.1.5 was seen to have, each by name: ours has none of them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typing_extensions import Self

import coordinator
from coordinator import _core
from scenes import LOCK, charm_made_by, leader_and_others
from scope_fleet import SCOPE, ScopeFleet
from simulated_juju import Application, Hook, Model
from waiting import until

PLACES = ["peer", "store"]
# Refused at once: nobody listens there.
NOWHERE = {"url": "zookeeper://127.0.0.1:9", "connect_timeout": 0.05}


@dataclass
class Scene:
    """Units that take their turns in a scope, or over their peer relation, as they are told to."""

    model: Model
    place: str
    seconds: float = 20.0
    turns: int = 1
    """How many turns each unit wants."""
    fails: set[str] = field(default_factory=set)
    """The units that fail in the middle of their work."""
    wanted: dict[str, int] = field(default_factory=dict)
    tokens: list[tuple[str, int]] = field(default_factory=list)
    asks_in: Callable[[Hook], bool] = lambda hook: True

    def __post_init__(self) -> None:
        self.fleet = ScopeFleet(self.model)
        charm = self.fleet.placed(lambda make: charm_made_by(make, self._body))
        self.app: Application = self.fleet.deploy("app", 3, backend=self.place, charm=charm)
        self.model.settle()
        self.leader, self.others = leader_and_others(self.model, self.app)

    def ask(self, *units: str) -> None:
        """Let these units want their turns; a change of an option is the event."""
        self.wanted.update(
            dict.fromkeys(units or [unit.name for unit in self.app.units], self.turns)
        )
        self.app.configure(revision=len(self.tokens) + 1)

    def until_done(self) -> None:
        done = self.model.run_until(lambda: not any(self.wanted.values()), 8 * 3600)
        assert done, self.model.describe()
        assert self.model.most_at_once(LOCK) == 1, self.model.describe()

    def run_tool(self, unit: str, *words: str) -> None:
        """Run a hook tool in the context of a unit."""

        def call(hook: Hook) -> None:
            assert hook.tool(list(words)).code == 0

        command = self.model.juju_exec(unit, call)
        assert self.model.run_until(lambda: command.code is not None, 600)
        assert command.code == 0, command.output

    def works_of(self, *units: str) -> int:
        return sum(work.unit in units for work in self.model.work)

    def _body(self, hook: Hook, serial: Any) -> None:
        if not self.wanted.get(hook.unit) or not self.asks_in(hook):
            return
        if not serial.granted(LOCK) and not serial.acquire(LOCK):
            return
        token = serial.token(LOCK)
        hook.work(LOCK, self.seconds)
        if hook.unit in self.fails:
            raise RuntimeError("this work always fails")
        self.wanted[hook.unit] -= 1
        self.tokens.append((hook.unit, token))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.fleet.close()
        self.model.close()


def scene(place: str, seed: int = 2, version: str = "3.6.0", **options: Any) -> Scene:
    return Scene(Model(seed=seed, version=version), place, **options)


def sealed_ledger(app: Application) -> dict[str, Any]:
    ledger: dict[str, Any] = json.loads(app.databag("coordinator")["coordinator-ledger"])
    assert ledger["elsewhere"]["scope"] == SCOPE
    return ledger


def test_defect_1_a_lock_that_times_out_is_not_taken_from_another_backend(tmp_path: Path) -> None:
    url = f"embedded:{tmp_path}/store"
    inside: list[str] = []
    with (
        coordinator.connect(url, identifier="app/1") as holder,
        coordinator.connect(url, identifier="app/2") as client,
        holder.scope("fleet").acquire("restart"),
    ):
        scope = client.scope("fleet")
        with (
            pytest.raises(coordinator.AcquireTimeout) as raised,
            scope.acquire("restart", timeout=0.1),
        ):
            inside.append("app/2")
        # What a caller may expect of a timeout by its documentation.
        assert isinstance(raised.value, TimeoutError)
        assert not inside
        # Who has given up waits on nowhere.
        until(lambda: not scope.status()["queue"])


def test_defect_1_a_unit_that_waits_for_long_takes_no_turn_elsewhere() -> None:
    with scene("store") as it:
        # A program that is no unit holds the lock: of it the peer relation knows nothing.
        held = it.fleet.holder.scope(SCOPE).acquire(LOCK)
        assert held is not None
        it.ask()
        it.model.run(hours=6)
        assert not it.model.work, it.model.describe()
        ledger = sealed_ledger(it.app)
        assert (ledger["queue"], ledger["grants"]) == ([], [])
        held.release()
        it.until_done()
        assert it.works_of(*it.wanted) == 3


@pytest.mark.parametrize("who", ["the leader", "another unit"])
def test_defect_2_there_are_never_two_that_grant_at_once(who: str) -> None:
    with scene("store", seconds=1800.0) as it:
        cut_off, holder = it.leader, it.others[0]
        if who != "the leader":
            cut_off = it.others[1]
        it.fleet.settings[cut_off] = NOWHERE
        it.ask(holder)
        assert it.model.run_until(lambda: bool(it.model.working()), 600)
        # It cannot reach the store, and is told to roll while somebody else works.
        it.ask(cut_off)
        it.model.run(hours=2)
        assert it.works_of(holder) == 1
        assert it.works_of(cut_off) == 0, it.model.describe()
        assert "127.0.0.1:9" in str(it.fleet.troubles[cut_off])
        assert not sealed_ledger(it.app)["grants"]
        del it.fleet.settings[cut_off]
        it.until_done()


def numbers_in(value: Any) -> set[str]:
    """The numbers that stand anywhere in what was stored, but for times."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+Z", "", json.dumps(value))
    return set(re.findall(r"\d+", text))


@pytest.mark.parametrize("place", PLACES)
def test_defect_3_no_leader_kills_a_process_whose_number_it_has_read(place: str) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as victim,
        scene(place, seconds=90.0) as it,
    ):
        # What another leader started on its own machine: here the number is somebody else's.
        keys = ("worker-pid", "pid", "rollingops-worker-pid", "coordinator-pid")
        planted = [f"{key}={victim.pid}" for key in keys]
        plant = ["relation-set", "-r", "coordinator:0", "--app", *planted]
        it.run_tool(it.leader, *plant)
        assert it.app.databag("coordinator")["worker-pid"] == str(victim.pid)
        it.ask()
        assert it.model.run_until(lambda: bool(it.model.working()), 600)
        it.model.hand_leadership("app", it.others[0])
        assert it.model.run_until(lambda: it.model.leader("app") == it.others[0], 600)
        it.until_done()
        it.model.run(minutes=30)
        assert victim.poll() is None
        # Nothing of ours that others read names a process.
        own = [unit.databag("coordinator") for unit in it.app.units]
        bag = {key: text for key, text in it.app.databag("coordinator").items() if key not in keys}
        stored = numbers_in([own, bag, it.fleet.status(), it.app.leader_settings])
        assert str(victim.pid) not in stored
        victim.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("version", ["3.6.0", "4.0.0"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "text",
    [
        "{not json",
        '{"version":1,"sequence":"one"}',
        '{"version":1,"state":"exploded"}',
        '{"version":9}',
    ],
)
def test_defect_4_what_one_unit_spoils_stops_nobody_else(
    place: str, text: str, version: str
) -> None:
    with scene(place, seconds=5.0, version=version) as it:
        spoiler, good = it.others[1], [it.leader, it.others[0]]
        spoil = ["relation-set", "-r", "coordinator:0", f"coordinator-ledger={text}"]
        if place == "store":
            nodes = _core.nodes(it.fleet.holder)
            for directory in ("records", "notices"):
                member = quote(it.fleet.member(spoiler), safe="")
                path = f"/coordinator/scopes/{SCOPE}/{directory}/{member}"
                nodes.call(("create", path, text.encode(), False, False, True))
                assert nodes.call(("set", path, text.encode(), -1))[0] == 0
        it.run_tool(spoiler, *spoil)
        # Nobody mends what it has written.
        it.model.unit(spoiler).kill_agent(restart_after=None)
        it.ask(*good)
        it.until_done()
        assert it.works_of(*good) == 2
        assert it.model.unit(spoiler).databag("coordinator")["coordinator-ledger"] == text
        assert {hook.outcome for hook in it.model.hooks_run if hook.end is not None} == {"ok"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("seconds", [-120.0, 120.0])
def test_defect_5_a_clock_that_is_wrong_starves_nobody(place: str, seconds: float) -> None:
    with scene(place, turns=3) as it:
        it.model.unit(it.others[0]).agent.clock_offset = seconds
        it.ask()
        it.until_done()
        # Each turn has a token of its own, and no unit has one while another waits for its first.
        tokens = [token for _, token in it.tokens]
        assert len(tokens) == len(set(tokens)) == 9
        assert tokens == sorted(tokens)
        assert {unit for unit, _ in it.tokens[:3]} == set(it.wanted), it.tokens


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("seconds", [-120.0, 120.0])
def test_defect_6_a_clock_that_is_wrong_lets_no_grant_go_unused(place: str, seconds: float) -> None:
    with scene(place) as it:
        skewed = it.others[0]
        it.model.unit(skewed).agent.clock_offset = seconds
        it.ask()
        it.until_done()
        it.model.run(minutes=10)
        assert sorted(unit for unit, _ in it.tokens) == sorted(it.wanted)
        # Whoever is next starts as soon as Juju runs its hook, whatever its clock says.
        works = it.model.work
        ends = [work.end for work in works if work.end is not None]
        pauses = [work.start - end for work, end in zip(works[1:], ends[:-1], strict=True)]
        assert max(pauses) < 30, pauses
        if place == "store":
            history = it.fleet.holder.scope(SCOPE).history()
            assert [(entry["outcome"], bool(entry["used"])) for entry in history] == [
                ("ok", True)
            ] * 3


@pytest.mark.parametrize("place", PLACES)
def test_defect_7_a_unit_that_fails_stops_the_roll(place: str) -> None:
    with scene(place) as it:
        bad = it.others[0]
        it.fails.add(bad)
        it.ask(bad)
        assert it.model.run_until(lambda: it.works_of(bad) >= 3, 3600), it.model.describe()
        it.ask()
        it.model.run(hours=6)
        # It tries on, and has the lock all the time: nobody else goes the same way.
        assert it.works_of(bad) > 50
        assert it.works_of(it.leader, it.others[1]) == 0, it.model.describe()
        assert it.model.unit(bad).status[0] == "error"
        it.fails.clear()
        it.until_done()
        assert it.works_of(it.leader, it.others[1]) == 2
        assert it.app.units[0].record.in_error is False
