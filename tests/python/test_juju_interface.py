"""The interface of coordinator.juju, as charmhelpers documents that of its coordinator.

Each behaviour that the 27 tests of charmhelpers' own coordinator show has a counterpart here, in
test_juju_policies.py, test_juju_local_state.py or test_juju_hook_tools.py, or a reason for its
absence:

==================================== ============================================================
is_singleton                         one_instance_per_class
implicit_initialize_and_handle       initialize_and_handle_run_at_the_start_of_a_hook
initialize_enforces_juju_version     any version will do: the_version_comes_from_the_environment
initialize                           initialize_*, finish_runs_at_the_end_of_a_hook
acquire, acquire_leader              acquire_*, a_policy_is_asked_once_per_grant
granted, requested                   granted_and_requested_are_about_this_unit
request_timestamp                    the_time_of_a_request_is_utc_without_tzinfo
handle_not_leader, grant_not_leader  only_a_leader_grants
handle                               the_leader_takes_in_releases_and_requests
grant                                policies_get_exactly_what_charmhelpers_gives_them
released                             a_release_is_heard_of_by_the_leader
require                              require_*
msg, name                            the_class_names_itself_in_messages_which_go_out_together
load_state, load_peer_state          requests_and_grants_are_by_unit_and_lock
emit_state                           messages_tell_what_happened; of what still waits nothing said
save_state                           what_is_written_at_the_end_of_a_hook
local_state_filename,                requests_wait_in_a_local_file_*, a_file_left_by_charmhelpers_*;
load_local_state, save_local_state   the file is another one, for it holds more
release_granted                      a_lock_is_released_at_the_end_of_the_hook
implicit_peer_relation_name          the_first_peer_relation_is_taken_*
default_grant                        serial_*
==================================== ============================================================
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from charmhelpers.core import hookenv

from coordinator import juju
from coordinator.exceptions import Invalid, NotHeld
from coordinator.juju import framework
from fresh_juju import KEY, Hook, World, swapped_globals

LEDGER = "coordinator-ledger"
MakeWorld = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Make an application app/0, app/1, … of which app/0 is the leader, and all have started."""

    def make(
        kind: Callable[[], Any] | None = None,
        units: int = 1,
        start: bool = True,
        version: str = "3.6.0",
    ) -> World:
        names = [f"app/{number}" for number in range(units)]
        make = kind or (lambda: juju.Serial(peer_relation_name="coordinator"))
        made = World(names, make, tmp_path, version)
        for unit in names if start else ():
            made.run(Hook(unit, "leader-elected" if unit == made.leader else "start"))
            made.hear(unit)
        return made

    with swapped_globals():
        yield make


CONFIG = Hook("app/0", "config-changed")


def test_one_instance_per_class() -> None:
    with swapped_globals():
        assert juju.Serial() is juju.Serial()
        assert juju.Serial("other", "peers") is juju.Serial()
        kinds = (juju.Serial, juju.SimpleCoordinator, juju.BaseCoordinator)
        assert len({id(kind()) for kind in kinds}) == 3


def test_the_arguments_are_those_of_charmhelpers() -> None:
    with swapped_globals():
        serial = juju.Serial("restarts", "cluster")
        assert (serial.key, serial.relname, serial.relid) == ("restarts", "cluster", None)
        assert serial.grants is None
        assert serial.requests is None
        simple = juju.SimpleCoordinator(relation_key="other", peer_relation_name="peers")
        assert (simple.key, simple.relname) == ("other", "peers")
        base = juju.BaseCoordinator()
        assert (base.key, base.relname) == ("coordinator", None)


def test_initialize_and_handle_run_at_the_start_of_a_hook() -> None:
    with swapped_globals():
        serial = juju.Serial()
        callbacks = [callback for callback, _, _ in hookenv._atstart]
        assert callbacks == [serial.initialize, serial.handle]
        assert hookenv._atexit == []


def test_finish_runs_at_the_end_of_a_hook(world: MakeWorld) -> None:
    with world().hook(CONFIG) as serial:
        assert [callback for callback, _, _ in hookenv._atexit] == [serial.finish]


def test_what_a_charm_registers_itself_still_sees_the_locks_at_the_end(world: MakeWorld) -> None:
    seen = []
    with world().hook(CONFIG) as serial:
        serial.acquire("restart")
        hookenv.atexit(lambda: seen.append(serial.granted("restart")))
    assert seen == [True]


def test_initialize_does_nothing_the_second_time(world: MakeWorld) -> None:
    made = world()
    with made.hook(CONFIG) as serial:
        serial.acquire("restart")
        calls = len(made.calls)
        requests = serial.requests
        serial.initialize()
        assert len(made.calls) == calls
        assert serial.requests is requests
        assert len(hookenv._atexit) == 1


def test_initialize_finds_the_relation(world: MakeWorld) -> None:
    with world().hook(CONFIG) as serial:
        assert (serial.relname, serial.relid) == ("coordinator", "coordinator:0")
    without = world(start=False)
    without.related = False
    with without.hook(CONFIG) as serial:
        assert (serial.relname, serial.relid) == ("coordinator", None)


@pytest.mark.parametrize("variable", ["JUJU_CHARM_DIR", "CHARM_DIR", None])
def test_the_first_peer_relation_is_taken_by_default(
    variable: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = "name: app\npeers:\n  zoo: {interface: x}\n  cluster: {interface: y}\n"
    (tmp_path / "metadata.yaml").write_text(metadata)
    for name in ("JUJU_CHARM_DIR", "CHARM_DIR"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
    else:
        monkeypatch.chdir(tmp_path)
    assert framework.first_peer_relation() == "cluster"


@pytest.mark.parametrize("metadata", ["name: app\n", "peers: {}\n", "", None])
def test_a_charm_without_peer_relation_is_told_so(
    metadata: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if metadata is not None:
        (tmp_path / "metadata.yaml").write_text(metadata)
    monkeypatch.setenv("JUJU_CHARM_DIR", str(tmp_path))
    monkeypatch.setenv("JUJU_UNIT_NAME", "app/0")
    with swapped_globals(), pytest.raises(Invalid, match=r"metadata\.yaml .*peer_relation_name"):
        juju.Serial().initialize()


def test_acquire_asks_once(world: MakeWorld) -> None:
    made = world(units=2)
    with made.hook(Hook("app/1", "config-changed")) as serial:
        assert not serial.requested("restart")
        assert serial.acquire("restart") is False
        assert serial.requested("restart")
        asked = serial.request_timestamp("restart")
        made.now += dt.timedelta(minutes=1)
        assert serial.acquire("restart") is False
        assert serial.request_timestamp("restart") == asked
    made.now += dt.timedelta(minutes=1)
    with made.hook(Hook("app/1", "update-status")) as serial:
        assert serial.acquire("restart") is False
        assert serial.request_timestamp("restart") == asked
    made.hear("app/1")
    with made.hook(Hook("app/1", "update-status")) as serial:
        assert serial.granted("restart") is True
        assert serial.acquire("restart") is True
        assert serial.request_timestamp("restart") == asked


def test_acquire_is_answered_at_once_at_the_leader(world: MakeWorld) -> None:
    with world(units=2).hook(CONFIG) as serial:
        assert serial.acquire("restart") is True
        assert serial.granted("restart") is True


def test_granted_and_requested_are_about_this_unit(world: MakeWorld) -> None:
    made = world(units=3)
    made.ask("app/1", "restart")
    made.hear("app/1")
    for unit, expected in (("app/0", False), ("app/2", False), ("app/1", True)):
        with made.hook(Hook(unit, "update-status")) as serial:
            assert serial.granted("restart") is expected
            assert serial.requested("restart") is expected
            assert (serial.request_timestamp("restart") is not None) is expected
            assert serial.granted("other") is False


def test_the_time_of_a_request_is_utc_without_tzinfo(world: MakeWorld) -> None:
    made = world()
    made.now = dt.datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=dt.timezone.utc)
    with made.hook(CONFIG) as serial:
        assert serial.request_timestamp("restart") is None
        serial.acquire("restart")
        time = serial.request_timestamp("restart")
        assert time == dt.datetime(2026, 5, 1, 12, 30, 15, 123456)
        assert time.tzinfo is None


def test_a_lock_is_released_at_the_end_of_the_hook(world: MakeWorld) -> None:
    made = world(units=2)
    made.ask("app/1", "restart")
    made.hear("app/1")
    assert set(made.idle("app/1").at_end) == {"restart"}
    with made.hook(Hook("app/1", "update-status")) as serial:
        assert not serial.requested("restart")
    assert made.ask("app/0", "restart", "other").answers == [True, True]
    with made.hook(CONFIG) as serial:
        assert serial.requests["app/0"] == {}


def test_a_hook_that_fails_releases_and_publishes_nothing(world: MakeWorld) -> None:
    made = world(units=2)
    made.ask("app/1", "restart")
    made.hear("app/1")
    before = dict(made.databags["app/1"])
    made.run(Hook("app/1", "update-status", fails=True))
    assert made.databags["app/1"] == before
    with made.hook(Hook("app/1", "update-status")) as serial:
        assert serial.granted("restart")


def test_requests_and_grants_are_by_unit_and_lock(world: MakeWorld) -> None:
    made = world(units=3)
    for unit in ("app/1", "app/2"):
        made.ask(unit, "restart")
        made.hear(unit)
    with made.hook(CONFIG) as serial:
        times = {
            unit: json.loads(made.databags[unit][KEY])["restart"] for unit in ("app/1", "app/2")
        }
        assert serial.requests == {
            "app/0": {},
            "app/1": {"restart": times["app/1"]},
            "app/2": {"restart": times["app/2"]},
        }
        assert serial.grants == {"app/1": {"restart": times["app/1"]}}
        assert times["app/1"] == "2026-01-01 00:00:01.000000Z"


def test_what_is_written_at_the_end_of_a_hook(world: MakeWorld) -> None:
    made = world(units=2)
    made.ask("app/1", "restart", "other")
    # Units of charmhelpers' coordinator read this, also after a downgrade of the charm.
    assert json.loads(made.databags["app/1"][KEY]) == {
        "other": "2026-01-01 00:00:01.000001Z",
        "restart": "2026-01-01 00:00:01.000000Z",
    }
    made.hear("app/1")
    assert set(made.application) == {LEDGER}
    assert set(made.databags["app/1"]) == {KEY, LEDGER}


def test_nothing_is_written_when_nothing_has_changed(world: MakeWorld) -> None:
    made = world(units=2)
    for hook in (CONFIG, Hook("app/1", "config-changed")):
        made.run(hook)
        made.run(hook)
        assert [call for call in made.calls if call[0].endswith("-set")] == []


def test_the_key_names_the_data(world: MakeWorld) -> None:
    made = world(lambda: juju.Serial("restarts", "coordinator"), units=2)
    made.ask("app/1", "restart")
    assert set(made.databags["app/1"]) == {"restarts", "restarts-ledger"}


def test_coordinators_under_different_keys_are_independent(world: MakeWorld) -> None:
    def two() -> juju.Serial:
        juju.SimpleCoordinator("other", "coordinator")
        return juju.Serial("coordinator", "coordinator")

    with world(two).hook(CONFIG) as serial:
        simple = juju.SimpleCoordinator()
        assert serial.acquire("restart")
        assert not simple.requested("restart")
        assert simple.acquire("restart")
        assert simple.granted("restart")


def test_hold_keeps_a_lock_until_release(world: MakeWorld) -> None:
    made = world(units=2)
    made.ask("app/1", "restart")
    made.hear("app/1")
    made.ask("app/0", "restart")
    with made.hook(Hook("app/1", "update-status")) as serial:
        serial.hold("restart")
        token = serial.token("restart")
    made.hear("app/1")
    with made.hook(Hook("app/1", "update-status")) as serial:
        assert serial.granted("restart")
        assert serial.token("restart") == token
    assert not made.idle("app/0").at_start
    with made.hook(Hook("app/1", "update-status")) as serial:
        serial.release("restart", "failed")
        assert not serial.granted("restart")
        assert not serial.requested("restart")
    with made.hook(Hook("app/0", "coordinator-relation-changed", remote="app/1")) as serial:
        assert serial.granted("restart")
        assert serial.token("restart") > token


def test_release_withdraws_a_request_that_waits(world: MakeWorld) -> None:
    made = world(units=3)
    for unit in ("app/1", "app/2"):
        made.ask(unit, "restart")
        made.hear(unit)
    with made.hook(Hook("app/2", "update-status")) as serial:
        serial.release("restart")
        assert not serial.requested("restart")
    made.hear("app/2")
    assert "app/2" not in made.application[LEDGER]


def test_only_what_is_held_can_be_kept_and_only_what_is_asked_for_released(
    world: MakeWorld,
) -> None:
    with world(units=2).hook(Hook("app/1", "update-status")) as serial:
        with pytest.raises(NotHeld, match="restart"):
            serial.release("restart")
        serial.acquire("restart")
        with pytest.raises(NotHeld, match="restart"):
            serial.hold("restart")
        with pytest.raises(Invalid, match="outcome"):
            serial.release("restart", "so-so")
        assert serial.requested("restart")


def test_tokens_grow_and_stand_for_what_is_held(world: MakeWorld) -> None:
    made = world()
    tokens = []
    for _ in range(3):
        with made.hook(CONFIG) as serial:
            assert serial.token("restart") is None
            serial.acquire("restart")
            tokens.append(serial.token("restart"))
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", "a\0b"])
def test_a_name_that_cannot_be_shown_is_refused(name: str, world: MakeWorld) -> None:
    made = world()
    with made.hook(CONFIG) as serial:
        with pytest.raises(Invalid, match="lock name"):
            serial.acquire(name)
        assert serial.granted(name) is False
        assert serial.requested(name) is False
        assert serial.acquire("restart") is True


@pytest.mark.parametrize("name", ["x" * 255, "ä-✓ =\"'", "app/1", "--file", "a b"])
def test_any_plain_text_is_a_name(name: str, world: MakeWorld) -> None:
    made = world(units=2)
    made.ask("app/1", name)
    made.hear("app/1")
    with made.hook(Hook("app/1", "update-status")) as serial:
        assert serial.granted(name)
