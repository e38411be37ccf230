"""Coordinator classes that were written for charmhelpers, run by this package."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from charmhelpers import coordinator as theirs

from coordinator import juju
from coordinator.exceptions import Invalid
from fresh_juju import Hook, World, swapped_globals

CONFIG = Hook("app/0", "config-changed")


@pytest.fixture(autouse=True)
def _swapped() -> Iterator[None]:
    with swapped_globals():
        yield


def application(kind: Any, directory: Path, units: int = 1, version: str = "3.6.0") -> World:
    adapted = juju.adapt(kind)
    names = [f"app/{number}" for number in range(units)]
    made = World(names, lambda: adapted(peer_relation_name="coordinator"), directory, version)
    return made.start()


class Own(theirs.BaseCoordinator):  # type: ignore[misc]
    """Overrides all that charmhelpers invites to override, and keeps what happened."""

    events: list[str] = []  # noqa: RUF012 - shared by all hooks of a test

    def default_grant(self, lock: str, unit: str, granted: set[str], queue: list[str]) -> bool:
        self.events.append(f"default_grant {lock} {unit} {sorted(granted)} {queue}")
        return unit == queue[0] and not granted

    def grant_any(self, lock: str, unit: str, granted: set[str], queue: list[str]) -> bool:
        self.events.append(f"grant_any {lock} {unit} {sorted(granted)} {queue}")
        return True

    def msg(self, msg: str) -> None:
        self.events.append(f"msg {msg}")

    def released(self, unit: str, lock: str, timestamp: dt.datetime) -> None:
        self.events.append(f"released {unit} {lock} {timestamp:%H:%M:%S}")

    def _save_state(self) -> None:
        self.events.append("before saving")
        super()._save_state()
        self.events.append("saved")

    def _release_granted(self) -> None:
        self.events.append("before releasing")
        super()._release_granted()


@pytest.fixture
def events() -> list[str]:
    Own.events.clear()
    return Own.events


def test_classes_of_this_package_come_back_as_they_are() -> None:
    class Mine(juju.Serial):
        pass

    for kind in (juju.BaseCoordinator, juju.Serial, juju.SimpleCoordinator, Mine):
        assert juju.adapt(kind) is kind


def test_serial_of_charmhelpers_is_serial_of_this_package() -> None:
    assert juju.adapt(theirs.Serial) is juju.Serial


def test_a_class_is_adapted_once_and_keeps_its_name() -> None:
    adapted = juju.adapt(Own)
    assert juju.adapt(Own) is adapted
    assert adapted.__name__ == "Own"
    assert issubclass(adapted, Own)
    assert juju.adapt(adapted) is adapted
    assert adapted() is adapted()
    assert isinstance(adapted(), theirs.BaseCoordinator)


@pytest.mark.parametrize("wrong", [int, object, "Serial", None, theirs, object(), dict])
def test_what_is_no_coordinator_class_is_refused(wrong: object) -> None:
    with pytest.raises(Invalid, match=r"derive it from coordinator\.juju"):
        juju.adapt(wrong)


def test_an_instance_is_refused() -> None:
    with pytest.raises(Invalid, match="no coordinator class"):
        juju.adapt(theirs.Serial())


def test_without_charmhelpers_a_wrong_class_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "charmhelpers.coordinator")
    with pytest.raises(Invalid, match="no coordinator class"):
        juju.adapt(theirs.Serial)


def test_the_policy_of_the_class_decides(tmp_path: Path, events: list[str]) -> None:
    made = application(Own, tmp_path, units=3)
    for unit in ("app/1", "app/2"):
        made.ask(unit, "restart", "any")
        events.clear()
        made.hear(unit)
        asked = [event for event in events if "grant_" in event or "default" in event]
        if unit == "app/1":
            assert asked == [
                "default_grant restart app/1 [] ['app/1']",
                "grant_any any app/1 [] ['app/1']",
            ]
        else:
            assert asked[:2] == [
                "default_grant restart app/2 ['app/1'] ['app/2']",
                "grant_any any app/2 ['app/1'] ['app/2']",
            ]
    assert set(made.idle("app/2").at_start) == {"any"}
    assert set(made.idle("app/1").at_start) == {"any", "restart"}


def test_what_the_class_overrides_is_called_in_charmhelpers_order(
    tmp_path: Path, events: list[str]
) -> None:
    made = application(Own, tmp_path, units=2)
    made.now = made.now.replace(hour=12, minute=0, second=0)
    made.ask("app/1", "restart")
    made.hear("app/1")
    events.clear()
    made.idle("app/1")
    assert events == [
        "msg Granted restart",
        "before releasing",
        "msg Released restart",
        "before saving",
        "saved",
    ]
    events.clear()
    made.hear("app/1")
    assert events[0] == "released app/1 restart 12:00:01"


def test_a_class_may_settle_once_more_before_it_saves(tmp_path: Path) -> None:
    class Twice(theirs.Serial):  # type: ignore[misc]
        def _save_state(self) -> None:
            self.handle()
            super()._save_state()

    made = application(Twice, tmp_path, units=3)
    made.ask("app/0", "restart")
    for unit in ("app/1", "app/2"):
        made.ask(unit, "restart")
        made.hear(unit)
    assert set(made.idle("app/1").at_start) == {"restart"}
    assert made.idle("app/2").at_start == {}
    made.hear("app/1")
    assert set(made.idle("app/2").at_start) == {"restart"}


def test_a_constructor_of_the_class_is_used(tmp_path: Path) -> None:
    class Named(theirs.Serial):  # type: ignore[misc]
        def __init__(self, peer_relation_name: str) -> None:
            super().__init__(relation_key="named", peer_relation_name=peer_relation_name)
            self.own = "state"

    made = application(Named, tmp_path, units=2)
    made.ask("app/1", "restart")
    assert made.coordinator.own == "state"
    assert set(made.databags["app/1"]) == {"named", "named-ledger"}


def test_all_of_the_interface_is_there(tmp_path: Path, events: list[str]) -> None:
    made = application(Own, tmp_path)
    with made.hook(CONFIG) as own:
        assert own.relid == "coordinator:0"
        assert own.acquire("restart") is True
        assert own.granted("restart")
        assert own.requested("restart")
        assert own.request_timestamp("restart") == made.now.replace(tzinfo=None)
        assert own.requests == {"app/0": {"restart": f"{made.now:%Y-%m-%d %H:%M:%S.%f}Z"}}
        assert own.grants == own.requests
        assert own.require("restart", lambda: True)(lambda: "ran")() == "ran"
        own.hold("restart")
    with made.hook(CONFIG) as own:
        assert own.granted("restart")
        own.release("restart")


def test_juju_4_will_do(tmp_path: Path, events: list[str]) -> None:
    made = application(Own, tmp_path, units=2, version="4.0.0")
    made.ask("app/1", "restart")
    made.hear("app/1")
    assert set(made.idle("app/1").at_start) == {"restart"}
    assert not any(call[0].startswith("leader-") for call in made.calls)
