"""layer:coordinator with the real charms.reactive and charmhelpers, outside of a hook.

Who is granted what is not the layer's business, so a stand-in answers that here. Whole
hooks of a built charm are run in tests/juju.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import charmhelpers.coordinator
import pytest
import yaml
from charmhelpers.core import hookenv, unitdata

import charms
import coordinator.juju
from coordinator.exceptions import Invalid

PROJECT = Path(__file__).resolve().parents[2]
REACTIVE = PROJECT / "layer/reactive/coordinator.py"
LIBRARIES = (PROJECT / "layer/lib", PROJECT / "tests/juju/layers/basic/lib")
UNIT = "app/0"

Load = Callable[..., ModuleType]


class Answers:
    """Stands in for the object that decides, and answers what the test wants."""

    def __init__(self, waiting: set[str], granted: set[str], at_once: bool = False) -> None:
        self.requests = {UNIT: dict.fromkeys(waiting | granted, "now"), "app/1": {"join": "now"}}
        self.held = set(granted)
        self.at_once = at_once

    def granted(self, lock: str) -> bool:
        return lock in self.held

    def acquire(self, lock: str) -> bool:
        self.requests[UNIT][lock] = "now"
        if self.at_once:
            self.held.add(lock)
        return self.granted(lock)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Load the layer as a charm's hook does, with the given options in layer.yaml."""
    # charmhelpers 1.2.1 looks here before it refuses a system other than Ubuntu.
    monkeypatch.setattr(platform, "linux_distribution", lambda: ("debian", "", ""), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUJU_UNIT_NAME", UNIT)
    monkeypatch.setenv("CHARM_DIR", str(tmp_path))
    monkeypatch.setenv("JUJU_MODEL_NAME", "prod")
    monkeypatch.setenv("JUJU_MODEL_UUID", "3f2a91c0-0bad-400d-8000-4b1d0d06f00d")
    monkeypatch.setenv("UNIT_STATE_DB", str(tmp_path / "unit-state.db"))
    monkeypatch.setattr(unitdata, "_KV", None)
    monkeypatch.setattr(hookenv, "_atstart", [])
    monkeypatch.setattr(hookenv, "_atexit", [])
    monkeypatch.setattr(hookenv, "log", lambda *arguments, **options: None)
    monkeypatch.setattr(hookenv, "config", dict)
    places = [str(tmp_path / "lib"), *map(str, LIBRARIES)]
    monkeypatch.setattr(charms, "__path__", [*charms.__path__, *(f"{p}/charms" for p in places)])
    for place in places:
        monkeypatch.syspath_prepend(place)

    def forget() -> None:
        for name in list(sys.modules):
            if name.startswith(("charms.coordinator", "charms.layer", "rules_of_the_charm")):
                del sys.modules[name]

    def load_with(**options: object) -> ModuleType:
        forget()
        Path("layer.yaml").write_text(yaml.safe_dump({"options": {"coordinator": options}}))
        return importlib.import_module("charms.coordinator")

    yield load_with
    forget()
    if unitdata._KV is not None:
        unitdata._KV.close()


@pytest.fixture
def layer(load: Load) -> ModuleType:
    return load()


def decided_by(layer: ModuleType, answers: Answers) -> Answers:
    layer.coordinator = answers  # type: ignore[attr-defined]
    return answers


def flags(layer: ModuleType) -> set[str]:
    return set(layer.reactive.get_flags())


def write_rules(text: str) -> None:
    """Give the charm a module below lib/ that defines its own class."""
    Path("lib").mkdir()
    Path("lib/rules_of_the_charm.py").write_text(text)
    importlib.invalidate_caches()


def test_a_lock_granted_at_once_has_only_its_granted_flag(layer: ModuleType) -> None:
    decided_by(layer, Answers(set(), set(), at_once=True))
    assert layer.acquire("restart") is True
    assert flags(layer) == {"coordinator.granted.restart"}


def test_a_lock_that_has_to_wait_has_only_its_requested_flag(layer: ModuleType) -> None:
    decided_by(layer, Answers(set(), set()))
    assert layer.acquire("restart") is False
    assert flags(layer) == {"coordinator.requested.restart"}


def test_a_waiting_lock_that_is_asked_for_again_and_granted_is_no_longer_requested(
    layer: ModuleType,
) -> None:
    answers = decided_by(layer, Answers({"restart"}, set()))
    layer.publish_flags()
    answers.at_once = True
    assert layer.acquire("restart") is True
    assert flags(layer) == {"coordinator.granted.restart"}


def test_the_start_of_a_hook_exchanges_requested_for_granted(layer: ModuleType) -> None:
    answers = decided_by(layer, Answers({"restart", "a.dotted.name"}, set()))
    layer.publish_flags()
    assert flags(layer) == {"coordinator.requested.restart", "coordinator.requested.a.dotted.name"}
    answers.held.add("restart")
    layer.publish_flags()
    assert flags(layer) == {"coordinator.granted.restart", "coordinator.requested.a.dotted.name"}


def test_the_start_of_a_hook_removes_what_earlier_hooks_left(layer: ModuleType) -> None:
    layer.reactive.set_flag("coordinator.granted.restart")
    layer.reactive.set_flag("coordinator.requested.join")
    layer.reactive.set_flag("another.layers.flag")
    decided_by(layer, Answers(set(), set()))
    layer.publish_flags()
    assert flags(layer) == {"another.layers.flag"}


def test_the_end_of_a_hook_clears_what_was_granted_and_keeps_what_waits(
    layer: ModuleType,
) -> None:
    decided_by(layer, Answers({"join"}, {"restart"}))
    layer.publish_flags()
    layer.clear_granted_flags()
    assert flags(layer) == {"coordinator.requested.join"}


def test_a_flag_the_charm_cleared_stays_cleared_when_another_lock_is_asked_for(
    layer: ModuleType,
) -> None:
    # A charm clears the flag of a lock whose work is done; setting it again would do the
    # work twice.
    decided_by(layer, Answers(set(), {"restart"}, at_once=True))
    layer.publish_flags()
    layer.reactive.clear_flag("coordinator.granted.restart")
    layer.acquire("join")
    assert flags(layer) == {"coordinator.granted.join"}


def test_flags_that_are_right_already_are_left_alone(
    layer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided_by(layer, Answers({"join"}, {"restart"}))
    layer.publish_flags()

    def refuse(flag: str) -> None:
        raise AssertionError(f"changed {flag}, which costs a process")

    monkeypatch.setattr(layer.reactive, "set_flag", refuse)
    monkeypatch.setattr(layer.reactive, "clear_flag", refuse)
    layer.publish_flags()
    assert layer.acquire("restart") is True
    assert layer.acquire("join") is False


def test_discovery_under_two_names_registers_the_callbacks_once(layer: ModuleType) -> None:
    for name in ("reactive.coordinator", "coordinator_discovered_again"):
        specification = importlib.util.spec_from_file_location(name, REACTIVE)
        assert specification is not None
        assert specification.loader is not None
        specification.loader.exec_module(importlib.util.module_from_spec(specification))
    starts = [entry[0] for entry in hookenv._atstart]
    ends = [entry[0] for entry in hookenv._atexit]
    assert starts.count(layer.publish_flags) == 1
    assert ends.count(layer.clear_granted_flags) == 1
    # The grants of the hook are settled before they are shown as flags.
    assert starts.index(layer.coordinator.handle) < starts.index(layer.publish_flags)


def test_the_default_is_simple_on_the_layers_own_relation(layer: ModuleType) -> None:
    assert isinstance(layer.coordinator, layer.SimpleCoordinator)
    assert isinstance(layer.coordinator, coordinator.juju.SimpleCoordinator)
    assert layer.coordinator.relname == "coordinator"


@pytest.mark.parametrize(
    "path",
    ["charmhelpers.coordinator.Serial", "coordinator.juju.Serial"],
)
def test_serial_can_be_named_by_either_path(load: Load, path: str) -> None:
    chosen = load(**{"class": path}).coordinator
    assert chosen.relname == "coordinator"
    assert chosen.default_grant("restart", UNIT, set(), [UNIT, "app/1"]) is True
    assert chosen.default_grant("restart", UNIT, {"app/1"}, [UNIT]) is False


@pytest.mark.parametrize(
    "base",
    [
        "charmhelpers.coordinator.BaseCoordinator",
        "charmhelpers.coordinator.Serial",
        "coordinator.juju.BaseCoordinator",
        "coordinator.juju.SimpleCoordinator",
        "charms.coordinator.SimpleCoordinator",
    ],
)
def test_a_class_of_the_charms_own_decides(load: Load, base: str) -> None:
    module, _, name = base.rpartition(".")
    write_rules(
        f"from {module} import {name}\n"
        f"class TwoAtOnce({name}):\n"
        "    def default_grant(self, lock, unit, granted, queue):\n"
        "        return unit == queue[0] and len(granted) < 2\n"
    )
    chosen = load(**{"class": "rules_of_the_charm.TwoAtOnce"}).coordinator
    assert chosen.relname == "coordinator"
    assert chosen.default_grant("restart", UNIT, {"app/1"}, [UNIT]) is True
    assert chosen.default_grant("restart", UNIT, {"app/1", "app/2"}, [UNIT]) is False


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"class": "Serial"}, "option coordinator.class .*'Serial'.* absolute dotted path"),
        ({"class": "no.such.Thing"}, "coordinator.class .*'no.such.Thing'.* cannot be imported"),
        ({"class": "coordinator.juju.Seriell"}, "coordinator.class .* has no Seriell"),
        ({"class": "pathlib.Path"}, "coordinator.class .*'pathlib.Path'.* a subclass of"),
        ({"class": "os.getcwd"}, "coordinator.class .*'os.getcwd'.* a subclass of"),
        ({"class": None}, "coordinator.class .* absolute dotted path"),
        ({"log_level": "loud"}, "coordinator.log_level .*'loud'.* debug, info"),
        ({"backend": "zookeper"}, "coordinator.backend .*'zookeper'.* peer, zookeeper, embedded"),
        ({"rules": {"at_most": 2}}, "coordinator.rules .* choose a class"),
        ({"clas": "coordinator.juju.Serial"}, "coordinator.clas .* class, log_level"),
    ],
)
def test_a_wrong_option_says_which_and_what_to_write(
    load: Load, options: dict[str, object], complaint: str
) -> None:
    with pytest.raises(Invalid, match=complaint):
        load(**options)


def test_a_class_in_a_module_that_needs_the_layer_first_says_where_to_put_it(load: Load) -> None:
    write_rules(
        "import charms.coordinator\nclass Late(charms.coordinator.SimpleCoordinator):\n    pass\n"
    )
    sys.modules.pop("rules_of_the_charm", None)
    Path("layer.yaml").write_text(
        yaml.safe_dump({"options": {"coordinator": {"class": "rules_of_the_charm.Late"}}})
    )
    with pytest.raises(Invalid, match="before it defines Late; put the class into a module"):
        importlib.import_module("rules_of_the_charm")


def test_the_log_level_decides_which_messages_reach_the_log(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, Any]] = []
    monkeypatch.setattr(hookenv, "log", lambda *message: written.append(message))
    layer = load(log_level="warning")
    layer.log("quiet")
    layer.coordinator.msg("quiet too")
    layer.log("loud", hookenv.ERROR)
    assert written == [("Coordinator: loud", "ERROR")]


def test_charmhelpers_own_class_is_left_as_it_was(load: Load) -> None:
    load(**{"class": "charmhelpers.coordinator.Serial"})
    assert charmhelpers.coordinator.Serial.__module__ == "charmhelpers.coordinator"


class Troubled(Answers):
    """An object that cannot coordinate, for a reason."""

    def __init__(self, trouble: str | None) -> None:
        super().__init__(set(), set())
        self.trouble = trouble


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The statuses of the unit, one after the other."""
    statuses = [("active", "Ready")]
    monkeypatch.setattr(hookenv, "status_get", lambda: statuses[-1])
    monkeypatch.setattr(hookenv, "status_set", lambda *status: statuses.append(status))
    return statuses


def test_a_unit_that_cannot_coordinate_is_blocked_and_says_why_until_it_can(
    layer: ModuleType, shown: list[tuple[str, str]]
) -> None:
    for trouble in (None, "no answer", "no answer", "another", None, None):
        decided_by(layer, Troubled(trouble))
        layer.show_trouble()
    assert shown[1:] == [
        ("blocked", "Coordinator: no answer"),
        ("blocked", "Coordinator: no answer"),
        ("blocked", "Coordinator: another"),
        ("active", "Ready"),
    ]


def test_what_the_charm_has_said_meanwhile_stays(
    layer: ModuleType, shown: list[tuple[str, str]]
) -> None:
    decided_by(layer, Troubled("no answer"))
    layer.show_trouble()
    shown.append(("maintenance", "Restarting"))
    decided_by(layer, Troubled(None))
    layer.show_trouble()
    assert shown[-1] == ("maintenance", "Restarting")


def test_a_configuration_that_makes_no_sense_blocks_and_fails_no_hook(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hookenv, "config", lambda: {"coordinator-backend": "zookeper"})
    backend = load().coordinator.backend
    assert backend.is_wanted
    assert "backend is 'zookeper'" in backend.missing
