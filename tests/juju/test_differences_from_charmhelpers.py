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
from fresh_juju import KEY, Holdings, Hook, World, swapped_globals

LEDGER = "coordinator-ledger"
MakeWorld = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Make an application app/0, app/1, … whose leader is app/0."""

    def make(kind: type, units: int = 3, version: str = "3.6.0") -> World:
        directory = tmp_path / kind.__name__
        directory.mkdir()
        names = [f"app/{number}" for number in range(units)]
        return World(names, maker(kind), directory, version).start()

    with swapped_globals():
        yield make


def held_at_start(world: World, unit: str) -> set[str]:
    return set(world.idle(unit).at_start)


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
        either.ask("app/1", "restart")
        either.ask("app/2", "upgrade")
    old.idle("app/0")
    assert set(their_holdings(old)) == {order[0]}
    for unit in order:
        ours.hear(unit)
    assert held_at_start(ours, order[1]) == set()
    assert held_at_start(ours, order[0]) != set()


def test_locks_that_a_leader_hears_of_in_one_hook_go_by_time(world: MakeWorld) -> None:
    ours = world(OurSimple)
    ours.ask("app/2", "upgrade")
    ours.ask("app/1", "restart")
    ours.leader = "app/1"
    ours.run(Hook("app/1", "leader-elected"))
    assert held_at_start(ours, "app/1") == set()
    assert held_at_start(ours, "app/2") == {"upgrade"}


def test_units_go_on_ahead_of_the_leader(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        for unit in ("app/1", "app/2"):
            either.ask(unit, "restart")
            either.hear(unit)
        assert held_at_start(either, "app/1") == {"restart"}
    assert held_at_start(old, "app/2") == set()
    assert held_at_start(ours, "app/2") == {"restart"}


def test_a_leader_passes_its_own_lock_on_at_the_end_of_the_hook(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurHearingSerial)
    for either in (old, ours):
        either.ask("app/1", "restart")
        either.hear("app/1")
        either.ask("app/0", "restart")
        either.ask("app/2", "restart")
        either.hear("app/2")
        assert held_at_start(either, "app/1") == {"restart"}
        assert set(either.hear("app/1").at_start) == {"restart"}
    assert held_at_start(old, "app/2") == set()
    assert held_at_start(ours, "app/2") == {"restart"}


def test_on_juju_4_a_leader_with_peers_acts_on_its_own_grant_one_hook_later(
    world: MakeWorld,
) -> None:
    before, four = world(OurSerial), world(OurSimple, version="4.0.0")
    assert before.ask("app/0", "restart").answers == [True]
    assert four.ask("app/0", "restart").answers == [False]
    # It has asked a peer to call it.
    called = json.loads(four.application[LEDGER])["wake"]["member"]
    published = dict(four.databags[called])
    four.idle(called)
    assert four.databags[called] != published
    assert set(four.hear(called).at_start) == {"restart"}


def test_on_juju_4_a_unit_without_peers_acts_at_once(world: MakeWorld) -> None:
    alone = world(OurSerial, units=1, version="4.0.0")
    assert alone.ask("app/0", "restart").answers == [True]


def test_order_is_that_of_arrival_whatever_the_clocks_of_units_say(world: MakeWorld) -> None:
    old, ours = world(TheirSerial, units=4), world(OurSerial, units=4)
    for either in (old, ours):
        either.ask("app/3", "restart", at=0)
        either.hear("app/3")
        for unit, clock in (("app/1", 3600), ("app/2", 60)):
            either.ask(unit, "restart", at=clock)
            either.hear(unit)
        assert held_at_start(either, "app/3") == {"restart"}
        either.hear("app/3")
    assert held_at_start(old, "app/1") == set()
    assert held_at_start(ours, "app/1") == {"restart"}


def test_nothing_is_kept_of_units_that_are_gone(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        either.ask("app/2", "restart")
        either.hear("app/2")
        either.remove("app/2")
        either.run(
            Hook("app/0", "coordinator-relation-departed", remote="app/2", departing="app/2")
        )
    assert json.loads(old.leader_settings[KEY]) == {"app/2": {}}
    assert "app/2" not in ours.application[LEDGER]


def test_a_lock_is_not_listed_as_a_unit(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        either.ask("app/1", "restart")
    assert set(old.coordinator.requests) == {"app/0", "app/1", "app/2", "restart"}
    assert set(ours.coordinator.requests) == {"app/1"}


def test_a_new_leader_with_an_old_view_of_the_holder_takes_nothing_away(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        stale = dict(either.databags["app/1"])
        either.ask("app/1", "restart")
        either.hear("app/1")
        either.ask("app/2", "restart")
        either.leader = "app/2"
        either.views["app/2"] = {"app/1": stale}
    # In the real world app/1 is in the middle of its restart now.
    assert old.run(Hook("app/2", "leader-elected")).at_start != {}
    assert ours.run(Hook("app/2", "leader-elected")).at_start == {}
    assert held_at_start(ours, "app/1") == {"restart"}


def test_a_new_leader_that_does_not_see_the_holder_yet_takes_nothing_away(world: MakeWorld) -> None:
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        either.ask("app/1", "restart")
        either.hear("app/1")
        either.ask("app/2", "restart")
        either.leader = "app/2"
        either.not_joined["app/2"] = {"app/1"}
    assert old.run(Hook("app/2", "leader-elected")).at_start != {}
    assert ours.run(Hook("app/2", "leader-elected")).at_start == {}


def test_a_unit_whose_turn_it_is_holds_at_once_what_else_it_asks_for(world: MakeWorld) -> None:
    old, ours = world(TheirSimple), world(OurSimple)
    for either in (old, ours):
        either.ask("app/1", "restart")
        either.hear("app/1")
    assert old.ask("app/1", "upgrade").answers == [False]
    assert ours.ask("app/1", "upgrade").answers == [True]


def test_a_grant_made_known_by_a_hook_that_failed_ends_with_the_word_of_its_unit(
    world: MakeWorld,
) -> None:
    # A leader makes its own grant known before it acts on it. What has become of its work, a later
    # leader cannot know.
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        assert either.ask("app/0", "restart", fails=True).answers == [True]
        either.leader = "app/1"
        either.run(Hook("app/1", "leader-elected"))
    assert old.ask("app/1", "restart").answers == [True]
    assert ours.ask("app/1", "restart").answers == [False]
    ours.idle("app/0")
    assert set(ours.hear("app/0").at_start) == {"restart"}


def test_a_unit_knows_of_requests_of_others_what_the_leader_has_taken_up(world: MakeWorld) -> None:
    # The price for not reading the data of every unit in every hook.
    for kind, at_once in ((TheirSerial, True), (OurSerial, False)):
        either = world(kind)
        either.ask("app/1", "restart")
        either.idle("app/2")
        assert ("app/1" in either.coordinator.requests) is at_once
        either.hear("app/1")
        either.idle("app/2")
        assert set(either.coordinator.requests["app/1"]) == {"restart"}


def test_what_is_asked_for_again_in_a_hook_of_the_coordinator_waits_for_another_hook(
    world: MakeWorld,
) -> None:
    # Every turn makes hooks on all units. A charm that asks in each of them would never end.
    again = Hook("app/1", "coordinator-relation-changed", ("restart",), "app/0")
    old, ours = world(TheirSerial, 2), world(OurSerial, 2)
    for either in (old, ours):
        either.ask("app/1", "restart")
        either.hear("app/1")
        assert held_at_start(either, "app/1") == {"restart"}
        assert either.run(again, [either.now + dt.timedelta(seconds=9)]).answers == [False]
    assert "restart" in json.loads(old.databags["app/1"][KEY])
    assert json.loads(ours.databags["app/1"][KEY]) == {}
    assert ours.coordinator.requested("restart")
    ours.idle("app/1")
    assert "restart" in json.loads(ours.databags["app/1"][KEY])


def test_the_retry_of_a_leaders_hook_goes_on_with_the_same_grant(world: MakeWorld) -> None:
    # It may have failed in the middle of the restart: to ask anew would be to give the lock away.
    old, ours = world(TheirSerial), world(OurSerial)
    for either in (old, ours):
        either.ask("app/0", "restart", fails=True)
    assert held_at_start(old, "app/0") == set()
    assert held_at_start(ours, "app/0") == {"restart"}
