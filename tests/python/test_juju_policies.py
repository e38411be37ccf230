"""What subclasses see and decide: policies, releases, messages, decorated functions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from coordinator import juju
from coordinator.exceptions import Invalid
from fresh_juju import Hook, World, swapped_globals

CONFIG = Hook("app/0", "config-changed")
Asked = tuple[str, str, Collection[str], Sequence[str]]


@pytest.fixture(autouse=True)
def _swapped() -> Iterator[None]:
    with swapped_globals():
        yield


class Asking(juju.BaseCoordinator):
    """Keeps what it is asked, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(peer_relation_name="coordinator")
        self.asked: list[Asked] = []
        self.asked_other: list[Asked] = []
        self.answer = False

    def default_grant(
        self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
    ) -> bool:
        self.asked.append((lock, unit, granted, queue))
        return self.answer

    def grant_other(
        self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
    ) -> bool:
        self.asked_other.append((lock, unit, granted, queue))
        return self.answer


def application(kind: Callable[[], Any], directory: Path, units: int = 1) -> World:
    names = [f"app/{number}" for number in range(units)]
    return World(names, kind, directory).start()


def serial() -> juju.Serial:
    return juju.Serial(peer_relation_name="coordinator")


def test_policies_get_exactly_what_charmhelpers_gives_them(tmp_path: Path) -> None:
    made = application(Asking, tmp_path, units=3)
    for unit in ("app/1", "app/2"):
        made.ask(unit, "restart", *(["other"] if unit == "app/1" else []))
        made.hear(unit)
    with made.hook(CONFIG) as asking:
        asking.asked.clear()
        asking.asked_other.clear()
        asking.answer = True
        assert asking.grant("restart", "app/1") is True
        assert asking.asked == [("restart", "app/1", set(), ["app/1", "app/2"])]
        # What is granted is not decided again.
        assert asking.grant("restart", "app/1") is True
        assert len(asking.asked) == 1
        asking.answer = False
        assert asking.grant("restart", "app/2") is False
        assert asking.asked[-1] == ("restart", "app/2", {"app/1"}, ["app/2"])
        assert {type(value) for value in asking.asked[-1]} == {str, set, list}
        assert asking.grant("other", "app/1") is False
        assert asking.asked_other == [("other", "app/1", set(), ["app/1"])]
        # Who has not asked is not granted, whatever the policy would say.
        asking.answer = True
        assert asking.grant("other", "app/2") is False
        assert len(asking.asked_other) == 1
        assert asking.grants["app/1"]["restart"] == asking.requests["app/1"]["restart"]


def test_a_policy_may_change_what_it_is_given(tmp_path: Path) -> None:
    class Careless(Asking):
        def default_grant(
            self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
        ) -> bool:
            assert isinstance(queue, list)
            assert isinstance(granted, set)
            queue.clear()
            granted.add("nobody/0")
            return True

    made = application(Careless, tmp_path, units=3)
    for unit in ("app/1", "app/2"):
        made.ask(unit, "restart")
        made.hear(unit)
    assert {unit for unit in ("app/1", "app/2") if made.idle(unit).at_start} == {"app/1", "app/2"}


def test_a_policy_is_asked_once_per_grant(tmp_path: Path) -> None:
    made = application(Asking, tmp_path)
    with made.hook(CONFIG) as asking:
        assert asking.acquire("restart") is False
        first = asking.request_timestamp("restart")
        asking.answer = True
        assert asking.acquire("restart") is True
        assert asking.acquire("restart") is True
        assert asking.request_timestamp("restart") == first
        assert len(asking.asked) == 2


def test_a_policy_hears_of_a_request_in_the_hook_about_it(tmp_path: Path) -> None:
    made = application(Asking, tmp_path, units=2)
    made.ask("app/1", "restart")
    made.hear("app/1")
    # Again at the end of the hook, when the leader has released its own.
    assert made.coordinator.asked == [("restart", "app/1", set(), ["app/1"])] * 2


def test_only_a_leader_grants(tmp_path: Path) -> None:
    made = application(Asking, tmp_path, units=2)
    with made.hook(Hook("app/1", "config-changed")) as asking:
        asking.answer = True
        assert asking.acquire("restart") is False
        assert asking.grant("restart", "app/1") is False
        asking.handle()
        assert asking.grants == {}
        assert asking.asked == []
    assert [call for call in made.calls if call[0] == "leader-set" or "--app" in call[2:]] == [
        ["relation-get", "--format=json", "-r", "coordinator:0", "--app", "-", "app"]
    ]


def test_a_class_without_policy_is_told_so(tmp_path: Path) -> None:
    made = application(lambda: juju.BaseCoordinator("coordinator", "coordinator"), tmp_path)
    failing = Hook("app/0", "start", fails=True)
    with made.hook(failing) as base, pytest.raises(Invalid, match="default_grant"):
        base.acquire("restart")


@pytest.mark.parametrize(("rules", "holders"), [("at most 2", 2), ("at most 75%", 3)])
def test_rules_can_be_named_in_place_of_a_policy(rules: str, holders: int, tmp_path: Path) -> None:
    class Several(juju.BaseCoordinator):
        pass

    Several.rules = rules
    made = application(lambda: Several(peer_relation_name="coordinator"), tmp_path, units=5)
    units = ("app/1", "app/2", "app/3", "app/4")
    for unit in units:
        made.ask(unit, "restart")
        made.hear(unit)
    assert [bool(made.idle(unit).at_start) for unit in units] == [
        number < holders for number in range(4)
    ]


@pytest.mark.parametrize("rules", ["", "one", "at most", "at most 0", "at most 101%", "at most x"])
def test_rules_that_mean_nothing_are_refused(rules: str, tmp_path: Path) -> None:
    class Wrong(juju.BaseCoordinator):
        pass

    Wrong.rules = rules
    with pytest.raises(Invalid, match=r"rules|limit"):
        application(lambda: Wrong(peer_relation_name="coordinator"), tmp_path)


@pytest.mark.parametrize(
    ("unit", "granted", "queue", "expected"),
    [
        ("u/1", set(), ["u/1", "u/2"], True),
        ("u/1", set(), ["u/2", "u/1"], False),
        ("u/1", {"u/2"}, ["u/1"], False),
    ],
)
def test_serial_grants_to_the_first_when_nobody_holds(
    unit: str, granted: set[str], queue: list[str], expected: bool
) -> None:
    assert serial().default_grant("restart", unit, granted, queue) is expected


def test_simple_grants_whatever_the_lock_to_one_unit() -> None:
    simple = juju.SimpleCoordinator()
    simple.grants = {}
    assert simple.default_grant("restart", "u/1", set(), ["u/1", "u/2"])
    assert not simple.default_grant("restart", "u/2", set(), ["u/1", "u/2"])
    simple.grants = {"u/1": {"other": "time"}, "u/3": {}}
    assert simple.default_grant("restart", "u/1", set(), ["u/2", "u/1"])
    assert not simple.default_grant("restart", "u/2", set(), ["u/2", "u/1"])


def test_a_policy_may_lean_on_that_of_its_base(tmp_path: Path) -> None:
    class NotOnFriday(juju.Serial):
        friday = True

        def default_grant(
            self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
        ) -> bool:
            return not self.friday and super().default_grant(lock, unit, granted, queue)

    made = application(lambda: NotOnFriday(peer_relation_name="coordinator"), tmp_path)
    with made.hook(CONFIG) as coordinator:
        assert coordinator.acquire("restart") is False
        coordinator.friday = False
        assert coordinator.acquire("restart") is True


def test_a_policy_for_one_lock_leaves_the_others_alone(tmp_path: Path) -> None:
    class NeverJoin(juju.Serial):
        def grant_join(self, *arguments: object) -> bool:
            return False

    made = application(lambda: NeverJoin(peer_relation_name="coordinator"), tmp_path)
    assert made.ask("app/0", "join", "restart").answers == [False, True]


def test_the_leader_takes_in_releases_and_requests(tmp_path: Path) -> None:
    made = application(serial, tmp_path, units=3)
    for unit in ("app/1", "app/2"):
        made.ask(unit, "restart")
        made.hear(unit)
    requests = dict(made.coordinator.requests)
    assert set(made.coordinator.grants) == {"app/1"}
    made.idle("app/1")
    made.hear("app/1")
    assert set(made.coordinator.grants) == {"app/2"}
    assert set(made.coordinator.requests) == set(requests) - {"app/1"}


class Hearing(juju.Serial):
    def __init__(self) -> None:
        super().__init__(peer_relation_name="coordinator")
        self.heard: list[tuple[str, str, dt.datetime]] = []

    def released(self, unit: str, lock: str, timestamp: dt.datetime) -> None:
        self.heard.append((unit, lock, timestamp))


def test_a_release_is_heard_of_by_the_leader(tmp_path: Path) -> None:
    made = application(Hearing, tmp_path, units=2)
    made.ask("app/1", "restart")
    asked = made.now.replace(tzinfo=None)
    made.hear("app/1")
    assert made.coordinator.heard == []
    made.idle("app/1")
    assert made.coordinator.heard == []
    made.hear("app/1")
    assert made.coordinator.heard == [("app/1", "restart", asked)]
    made.hear("app/1")
    assert made.coordinator.heard == []


def test_a_release_by_the_leader_itself_is_heard_of(tmp_path: Path) -> None:
    made = application(Hearing, tmp_path, units=2)
    made.ask("app/0", "restart")
    assert [heard[:2] for heard in made.coordinator.heard] == [("app/0", "restart")]


def test_the_departure_of_a_holder_is_heard_of(tmp_path: Path) -> None:
    made = application(Hearing, tmp_path, units=2)
    made.ask("app/1", "restart")
    made.hear("app/1")
    made.remove("app/1")
    made.run(Hook("app/0", "coordinator-relation-departed", (), "app/1", "app/1"))
    assert [heard[:2] for heard in made.coordinator.heard] == [("app/1", "restart")]


class Talking(juju.Serial):
    said: list[str]

    def __init__(self) -> None:
        super().__init__(peer_relation_name="coordinator")
        self.said = []

    def msg(self, msg: str) -> None:
        self.said.append(msg)


def test_messages_tell_what_happened(tmp_path: Path) -> None:
    made = application(Talking, tmp_path, units=2)
    made.ask("app/1", "restart")
    assert made.coordinator.said == ["Requested restart"]
    made.hear("app/1")
    made.idle("app/1")
    assert made.coordinator.said == ["Granted restart", "Released restart"]
    made.now += dt.timedelta(minutes=1)
    made.hear("app/1")
    assert made.coordinator.said == ["Leader released restart from app/1, held 0:01:00"]


def test_the_class_names_itself_in_messages_which_go_out_together(tmp_path: Path) -> None:
    class Mine(juju.Serial):
        pass

    made = application(lambda: Mine(peer_relation_name="coordinator"), tmp_path)
    with made.hook(CONFIG) as mine:
        mine.acquire("restart")
        mine.msg("half way")
    logged = [call for call in made.calls if call[0] == "juju-log"]
    assert len(logged) == 1
    assert logged[0][:3] == ["juju-log", "-l", "INFO"]
    lines = logged[0][3].split("\n")
    assert lines[:2] == ["coordinator.Mine Requested restart", "coordinator.Mine half way"]
    assert all(line.startswith("coordinator.Mine ") for line in lines)


def test_require_runs_a_function_only_under_the_lock(tmp_path: Path) -> None:
    made = application(serial, tmp_path, units=2)
    wanted: list[tuple[object, ...]] = []
    runs: list[tuple[object, ...]] = []

    def hook(unit: str, wants: bool, **options: str) -> str | None:
        coordinator: juju.Serial
        with made.hook(Hook(unit, "config-changed")) as coordinator:

            def guard(*arguments: object, **named: object) -> bool:
                wanted.append((arguments, named))
                return wants

            @coordinator.require("restart", guard, 1, why="test")
            def restart(service: str, **how: str) -> str:
                """Restart it."""
                runs.append((service, how))
                return "done"

            assert (restart.__name__, restart.__doc__) == ("restart", "Restart it.")
            answer: str | None = restart("kafka", **options)
            assert coordinator.requested("restart") is (wants or answer is not None)
            return answer

    assert hook("app/1", wants=False) is None
    assert wanted == [((1,), {"why": "test"})]
    assert hook("app/1", wants=True) is None
    assert runs == []
    made.hear("app/1")
    # Once it is granted, nobody asks whether it is still wanted.
    assert hook("app/1", wants=False, how="slowly") == "done"
    assert runs == [("kafka", {"how": "slowly"})]
    assert len(wanted) == 2
    made.hear("app/1")
    # A leader may act at once.
    assert hook("app/0", wants=True) == "done"
