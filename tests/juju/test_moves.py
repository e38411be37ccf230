"""Applications that move between their peer relation and a scope, and units that cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rolling import restarted
from scenes import LOCK, OUR_VERSIONS, charm_made_by, leader_and_others, steady
from scope_fleet import SCOPE, ScopeFleet
from simulated_juju import Application, Hook, Model, Scripted

# Refused at once: nobody listens there.
NOWHERE = {"url": "zookeeper://127.0.0.1:9", "connect_timeout": 0.05}
Body = Callable[[Hook, Any], None]


class Scene:
    """Three units that restart for each revision, over their peer relation or in a scope."""

    def __init__(self, version: str, place: str, seconds: float, body: Body | None) -> None:
        self.model = Model(seed=2, version=version)
        self.fleet = ScopeFleet(self.model)
        charm = self.fleet.charm(work=steady(seconds))
        if body is not None:
            charm = self.fleet.placed(lambda make: charm_made_by(make, body))
        self.app: Application = self.fleet.deploy("app", 3, backend=place, charm=charm)
        self.model.settle()
        self.leader, self.others = leader_and_others(self.model, self.app)
        self.revision = 0

    def roll(self, **options: Any) -> None:
        """Let all units want to restart."""
        self.revision += 1
        self.app.configure(revision=self.revision, **options)

    def until(self, done: Callable[[], bool], seconds: float = 3600.0) -> None:
        assert self.model.run_until(done, seconds), self.model.describe()

    def rolled(self) -> bool:
        done = [restarted(unit.agent.charm_dir, LOCK) for unit in self.app.units]
        return done == [self.revision] * 3

    def works(self) -> bool:
        return bool(self.model.working())

    @property
    def ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.app.databag("coordinator")["coordinator-ledger"])
        return found

    def is_in_scope(self) -> bool:
        return "elsewhere" in self.ledger

    def warnings(self) -> str:
        calls = self.model.tool_calls
        return "\n".join(call.argv[3] for call in calls if call.argv[:3] == WARNING)


WARNING = ("juju-log", "-l", "WARNING")


@contextmanager
def scene(
    version: str = "3.6.0", place: str = "peer", seconds: float = 60.0, body: Body | None = None
) -> Iterator[Scene]:
    made = Scene(version, place, seconds, body)
    try:
        yield made
        assert made.model.most_at_once(LOCK) <= 1, made.model.describe()
    finally:
        made.fleet.close()
        made.model.close()


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_an_application_moves_there_and_back_in_the_middle_of_rolls(version: str) -> None:
    with scene(version) as it:
        for place in ("store", "peer", "store", "peer"):
            it.roll()
            it.until(it.works)
            # From here on nobody is granted anything where the application was.
            it.app.configure(backend=place)
            it.until(it.rolled)
            it.until(lambda wanted=place == "store": it.is_in_scope() is wanted)  # type: ignore[misc]
        assert it.ledger["epoch"] == 4
        assert len(it.model.work) == 12
        assert (it.ledger["queue"], it.ledger["grants"]) == ([], [])
        status = it.fleet.status()
        assert (status["queue"], status["holders"]) == ([], [])


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_nobody_moves_while_a_unit_holds(version: str) -> None:
    with scene(version, seconds=1800.0) as it:
        for place in ("store", "peer"):
            it.roll()
            it.until(it.works)
            holder = it.model.working()[0].unit
            it.app.configure(backend=place)
            it.model.run(minutes=20)
            assert [work.unit for work in it.model.working()] == [holder]
            assert it.is_in_scope() is (place == "peer"), "it moves when nobody holds"
            it.until(it.rolled, 4 * 3600)
            it.until(lambda wanted=place == "store": it.is_in_scope() is wanted)  # type: ignore[misc]


@pytest.mark.parametrize("version", OUR_VERSIONS)
def test_a_release_whose_hook_at_the_leader_was_skipped_keeps_nobody_from_moving(
    version: str,
) -> None:
    asked: set[str] = set()

    def body(hook: Hook, serial: Any) -> None:
        if hook.unit in asked and serial.acquire(LOCK):
            hook.work(LOCK, 10)
            asked.discard(hook.unit)

    with scene(version, body=body) as it:
        holder = it.others[0]
        asked.add(holder)
        it.app.configure(revision=1)
        it.until(it.works)
        # The leader's hook about the release fails, and an operator gives it up.
        hook = "coordinator-relation-changed"
        it.model.inject(Scripted("hook-failure", it.leader, hook))
        it.until(lambda: it.model.unit(it.leader).status[0] == "error")
        it.model.unit(it.leader).resolved(retry=False)
        it.until(it.model.settled)
        assert [grant["member"] for grant in it.ledger["grants"]] == [holder], "nobody has told it"
        it.app.configure(backend="store")
        it.until(it.is_in_scope, 60)


@pytest.mark.parametrize("version", ["2.9.51", "3.6.0"])
def test_a_grant_that_only_leader_settings_show_keeps_the_ledger_open(version: str) -> None:
    asked: set[str] = set()

    def body(hook: Hook, serial: Any) -> None:
        if hook.unit in asked and serial.acquire(LOCK):
            asked.discard(hook.unit)
            hook.work(LOCK, 600)

    with scene(version, body=body) as it:
        leader, (between, _) = it.leader, it.others
        # The leader is busy for so long that it loses its lease, and has it back, in one hook.
        it.model.juju_exec(leader, lambda hook: hook.sleep(240))
        it.model.hand_leadership("app", between, leader)
        # Meanwhile another leads, whose hook that would have said so has failed. It acts on its own
        # grant in one that goes on.
        it.model.inject(Scripted("hook-failure", between, "leader-elected"))
        it.until(lambda: it.model.unit(between).status[0] == "error", 200)
        asked.add(between)
        it.model.juju_exec(between, it.model.unit(between).agent.charm.function)  # type: ignore[attr-defined]
        it.until(it.works, 60)
        assert it.model.working()[0].unit == between
        assert (it.ledger["leader"], it.ledger["grants"]) == (leader, []), "nothing is committed"
        it.until(lambda: it.model.leader("app") == leader, 400)
        asked.add(leader)
        it.app.configure(backend="store")
        it.model.run(300)
        assert it.works()
        assert not it.is_in_scope(), it.model.describe()
        it.until(it.is_in_scope, 3600)
        it.until(lambda: not asked, 3600)


@pytest.mark.parametrize("version", ["3.6.0", "4.0.0"])
def test_a_store_that_does_not_answer_is_told_and_nobody_goes_on_without_it(version: str) -> None:
    with scene(version, place="store") as it:
        assert it.is_in_scope()
        units = [unit.name for unit in it.app.units]
        it.fleet.settings.update(dict.fromkeys(units, NOWHERE))
        it.roll()
        it.model.run(minutes=40)
        assert not it.model.work, it.model.describe()
        ledger = it.ledger
        assert (ledger["queue"], ledger["grants"], ledger["epoch"]) == ([], [], 1)
        for unit in units:
            assert "127.0.0.1:9" in str(it.fleet.troubles[unit])
        assert {hook.outcome for hook in it.model.hooks_run} == {"ok"}
        assert "127.0.0.1:9" in it.warnings()
        # Nor can the application move back: it may hold there.
        it.app.configure(backend="peer")
        it.model.run(minutes=20)
        assert not it.model.work
        assert it.is_in_scope()
        it.app.configure(backend="store")
        it.fleet.settings.clear()
        it.until(it.rolled)
        assert set(it.fleet.troubles.values()) == {None}


def test_nobody_moves_to_a_store_that_does_not_answer_or_goes_on_without_it() -> None:
    with scene(place="store") as it:
        leader, units = it.leader, [unit.name for unit in it.app.units]
        it.app.configure(backend="peer")
        it.until(lambda: not it.is_in_scope())
        it.fleet.settings.update(dict.fromkeys(units, NOWHERE))
        it.roll(backend="store")
        it.model.run(minutes=30)
        assert not it.model.work, "it would be two places where they take turns"
        assert not it.is_in_scope(), "a seal that leads nowhere"
        assert "127.0.0.1:9" in str(it.fleet.troubles[leader])
        # Whoever gives up the wish goes on where the application is.
        it.app.configure(backend="peer")
        it.until(it.rolled)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"scope": "another"}, 'this unit is to be in scope "another"'),
        ({"url": "memory:another"}, "lead to another store"),
        ({"missing": "hosts is missing: set it"}, "hosts is missing: set it"),
    ],
)
@pytest.mark.parametrize("wrong", ["the leader", "another unit", "all"])
def test_a_unit_with_settings_of_another_place_says_so_and_waits(
    settings: dict[str, Any], complaint: str, wrong: str
) -> None:
    with scene(place="store") as it:
        units = [unit.name for unit in it.app.units]
        which = {"the leader": [it.leader], "another unit": it.others[:1], "all": units}[wrong]
        it.fleet.settings.update(dict.fromkeys(which, settings))
        it.roll()
        it.model.run(hours=1)
        good = [unit for unit in units if unit not in which]
        assert sorted(work.unit for work in it.model.work) == sorted(good), it.model.describe()
        for unit in units:
            trouble = it.fleet.troubles[unit]
            assert (trouble is not None) is (unit in which)
            assert trouble is None or complaint in trouble
            if trouble and "missing" not in settings:
                # Where it is, and the way there.
                assert f'coordinates in scope "{SCOPE}"' in trouble
                assert "set the backend to peer" in trouble
        assert it.ledger["elsewhere"]["scope"] == SCOPE, "nobody is moved by a slip"
        it.fleet.settings.clear()
        it.until(it.rolled)


def test_a_charm_without_settings_says_where_its_application_is() -> None:
    with scene(place="store") as it:
        charm = charm_made_by(it.fleet.kind, lambda _hook, serial: troubles.append(serial.trouble))
        troubles: list[str | None] = []
        it.app.upgrade(charm)
        it.model.settle()
        assert troubles
        for trouble in troubles:
            assert trouble is not None
            assert f'coordinates in scope "{SCOPE}"' in trouble
            assert "has no settings for that" in trouble
