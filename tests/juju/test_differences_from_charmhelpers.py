"""Where this coordinator answers otherwise than charmhelpers' own, one test per difference.

In all else they are equal, see test_differential.py.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from comparison import (
    OurHearingSerial,
    OurSerial,
    OurSimple,
    TheirSerial,
    TheirSimple,
    maker,
    their_holdings,
)
from fresh_juju import KEY, START, Holdings, Hook, Seen, World, swapped_globals

LEDGER = "coordinator-ledger"
MakeWorld = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Make an application app/0, app/1, … whose leader is app/0."""

    def make(kind: type, units: int = 3, version: str = "3.6.0") -> World:
        directory = tmp_path / kind.__name__
        directory.mkdir()
        names = [f"app/{number}" for number in range(units)]
        made = World(names, maker(kind), directory, version)
        for unit in names:
            made.run(Hook(unit, "leader-elected" if unit == made.leader else "start"))
        for unit in names[1:]:
            hear(made, unit)
        return made

    with swapped_globals():
        yield make


def ask(world: World, unit: str, *locks: str, at: float | None = None, fails: bool = False) -> Seen:
    """Run a hook that asks for locks, by a clock that shows `at` seconds."""
    if at is None:
        world.now += dt.timedelta(seconds=1)
        time = world.now
    else:
        time = START + dt.timedelta(days=1, seconds=at)
    times = [time + dt.timedelta(microseconds=number) for number in range(len(locks))]
    world.now = time
    return world.run(Hook(unit, "config-changed", locks, fails=fails), times)


def idle(world: World, unit: str) -> Seen:
    return world.run(Hook(unit, "update-status"))


def hear(world: World, unit: str) -> Seen:
    """Run the leader's hook about `unit`."""
    return world.run(Hook(world.leader, "coordinator-relation-changed", remote=unit))


def held_at_start(world: World, unit: str) -> set[str]:
    return set(idle(world, unit).at_start)


@pytest.mark.parametrize("order", [("app/1", "app/2"), ("app/2", "app/1")])
def test_locks_of_different_names_go_by_arrival_and_not_by_the_order_of_a_set(
    world: MakeWorld, order: tuple[str, str]
) -> None:
    class InOrder(TheirSimple):
        """Iterates over units in one of the orders in which a set of them may come."""

        def _load_peer_state(self) -> Holdings:
            loaded = super()._load_peer_state()
            return {unit: loaded.get(unit, {}) for unit in ("app/0", *order)}

    old, ours = world(InOrder), world(OurSimple)
    for either in (old, ours):
        ask(either, "app/1", "restart")
        ask(either, "app/2", "upgrade")
    idle(old, "app/0")
    assert set(their_holdings(old)) == {order[0]}
    for unit in order:
        hear(ours, unit)
    assert held_at_start(ours, order[1]) == set()
    assert held_at_start(ours, order[0]) != set()


def test_locks_that_a_leader_hears_of_in_one_hook_go_by_time(world: MakeWorld) -> None:
    ours = world(OurSimple)
    ask(ours, "app/2", "upgrade")
    ask(ours, "app/1", "restart")
    ours.leader = "app/1"
    ours.run(Hook("app/1", "leader-elected"))
    assert held_at_start(ours, "app/1") == set()
    assert held_at_start(ours, "app/2") == {"upgrade"}


def test_units_go_on_ahead_of_the_leader(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        for unit in ("app/1", "app/2"):
            ask(either, unit, "restart")
            hear(either, unit)
        assert held_at_start(either, "app/1") == {"restart"}
    assert held_at_start(old, "app/2") == set()
    assert held_at_start(ours, "app/2") == {"restart"}


def test_a_leader_passes_its_own_lock_on_at_the_end_of_the_hook(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurHearingSerial)
    for either in (old, ours):
        ask(either, "app/1", "restart")
        hear(either, "app/1")
        ask(either, "app/0", "restart")
        ask(either, "app/2", "restart")
        hear(either, "app/2")
        assert held_at_start(either, "app/1") == {"restart"}
        assert set(hear(either, "app/1").at_start) == {"restart"}
    assert held_at_start(old, "app/2") == set()
    assert held_at_start(ours, "app/2") == {"restart"}


def test_on_juju_4_a_leader_with_peers_acts_on_its_own_grant_one_hook_later(
    world: MakeWorld,
) -> None:
    before, four = world(OurSerial), world(OurSimple, version="4.0.0")
    assert ask(before, "app/0", "restart").answers == [True]
    assert ask(four, "app/0", "restart").answers == [False]
    # It has asked a peer to call it.
    called = json.loads(four.application[LEDGER])["wake"]["member"]
    published = dict(four.databags[called])
    idle(four, called)
    assert four.databags[called] != published
    assert set(hear(four, called).at_start) == {"restart"}


def test_on_juju_4_a_unit_without_peers_acts_at_once(world: MakeWorld) -> None:
    alone = world(OurSerial, units=1, version="4.0.0")
    assert ask(alone, "app/0", "restart").answers == [True]


def test_order_is_that_of_arrival_whatever_the_clocks_of_units_say(world: MakeWorld) -> None:
    old, ours = world(TheirSerial, units=4), world(OurSerial, units=4)
    for either in (old, ours):
        ask(either, "app/3", "restart", at=0)
        hear(either, "app/3")
        for unit, clock in (("app/1", 3600), ("app/2", 60)):
            ask(either, unit, "restart", at=clock)
            hear(either, unit)
        assert held_at_start(either, "app/3") == {"restart"}
        hear(either, "app/3")
    assert held_at_start(old, "app/1") == set()
    assert held_at_start(ours, "app/1") == {"restart"}


def test_nothing_is_kept_of_units_that_are_gone(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        ask(either, "app/2", "restart")
        hear(either, "app/2")
        either.remove("app/2")
        either.run(
            Hook("app/0", "coordinator-relation-departed", remote="app/2", departing="app/2")
        )
    assert json.loads(old.leader_settings[KEY]) == {"app/2": {}}
    assert "app/2" not in ours.application[LEDGER]


def test_a_lock_is_not_listed_as_a_unit(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        ask(either, "app/1", "restart")
    assert set(old.coordinator.requests) == {"app/0", "app/1", "app/2", "restart"}
    assert set(ours.coordinator.requests) == {"app/1"}


def test_a_new_leader_with_an_old_view_of_the_holder_takes_nothing_away(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        stale = dict(either.databags["app/1"])
        ask(either, "app/1", "restart")
        hear(either, "app/1")
        ask(either, "app/2", "restart")
        either.leader = "app/2"
        either.views["app/2"] = {"app/1": stale}
    # In the real world app/1 is in the middle of its restart now.
    assert old.run(Hook("app/2", "leader-elected")).at_start != {}
    assert ours.run(Hook("app/2", "leader-elected")).at_start == {}
    assert held_at_start(ours, "app/1") == {"restart"}


def test_a_new_leader_that_does_not_see_the_holder_yet_takes_nothing_away(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        ask(either, "app/1", "restart")
        hear(either, "app/1")
        ask(either, "app/2", "restart")
        either.leader = "app/2"
        either.not_joined["app/2"] = {"app/1"}
    assert old.run(Hook("app/2", "leader-elected")).at_start != {}
    assert ours.run(Hook("app/2", "leader-elected")).at_start == {}


def test_a_unit_whose_turn_it_is_holds_at_once_what_else_it_asks_for(world: MakeWorld) -> None:
    old, ours = world(TheirSimple), world(OurSimple)
    for either in (old, ours):
        ask(either, "app/1", "restart")
        hear(either, "app/1")
    assert ask(old, "app/1", "upgrade").answers == [False]
    assert ask(ours, "app/1", "upgrade").answers == [True]


def test_a_grant_made_known_by_a_hook_that_failed_ends_with_the_word_of_its_unit(
    world: MakeWorld,
) -> None:
    # A leader makes its own grant known before it acts on it. What has become of its work, a later
    # leader cannot know.
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        assert ask(either, "app/0", "restart", fails=True).answers == [True]
        either.leader = "app/1"
        either.run(Hook("app/1", "leader-elected"))
    assert ask(old, "app/1", "restart").answers == [True]
    assert ask(ours, "app/1", "restart").answers == [False]
    idle(ours, "app/0")
    assert set(hear(ours, "app/0").at_start) == {"restart"}


def test_a_unit_knows_of_requests_of_others_what_the_leader_has_taken_up(world: MakeWorld) -> None:
    # The price for not reading the data of every unit in every hook.
    for kind, at_once in ((TheirSerial, True), (OurSerial, False)):
        either = world(kind)
        ask(either, "app/1", "restart")
        idle(either, "app/2")
        assert ("app/1" in either.coordinator.requests) is at_once
        hear(either, "app/1")
        idle(either, "app/2")
        assert set(either.coordinator.requests["app/1"]) == {"restart"}
