"""The built charm's own hooks, run as processes in the simulated Juju.

Everything is real but Juju: the charm as charm-build made it, its wheelhouse, charms.reactive
and charmhelpers.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import build_charm
from simulated_juju import (
    DirectoryCharm,
    HookRecord,
    Model,
    Scripted,
    Unit,
    WorkInterval,
)

APPLICATION = "rolling"
VERSIONS = ("2.9.51", "3.6.8", "4.0.0")
CONFIGURATION = {"service": "web", "restart-command": "guarded-work restart 30"}


@dataclass
class BuiltCharm(DirectoryCharm):
    """A built charm whose units share the environment that its own wheelhouse makes."""

    def install(self, directory: Path) -> None:
        """Copy the charm, and link the environment to where its first hook would make it."""
        super().install(directory)
        environment = directory.parent / ".venv"
        if not environment.is_symlink():
            environment.symlink_to(build_charm.make_environment(Path(self.path)))


class Deployment:
    """The example charm, deployed and settled, and what it did in its latest roll."""

    def __init__(self, model: Model, charm: DirectoryCharm, units: int) -> None:
        self.model = model
        self.revision = 1
        self.application = model.deploy(
            APPLICATION,
            charm,
            units=units,
            peers={"coordinator": "coordinator"},
            config={"revision": 1, **CONFIGURATION},
        )
        self.begin()
        model.settle()

    def begin(self) -> None:
        """Let the records of the latest roll begin here."""
        self._works = len(self.model.work)
        self._hooks = len(self.model.hooks_run)

    def roll(self) -> None:
        """Change the configuration and wait until nothing is left to do."""
        self.begin()
        self.revision += 1
        self.application.configure(revision=self.revision)
        self.model.settle()

    @property
    def work(self) -> list[WorkInterval]:
        return self.model.work[self._works :]

    @property
    def hooks(self) -> list[HookRecord]:
        return self.model.hooks_run[self._hooks :]

    @property
    def restarts(self) -> Counter[str]:
        return Counter(interval.unit for interval in self.work)

    @property
    def once_each(self) -> Counter[str]:
        return Counter(unit.name for unit in self.application.units)

    def assert_rolled(self) -> None:
        """Every unit runs the latest revision, nobody waits, and nobody ever overlapped."""
        assert self.model.most_at_once() == 1, self.model.describe()
        assert {unit.status for unit in self.application.units} == {
            ("active", f"Running revision {self.revision}")
        }
        assert not any(
            flag.startswith("coordinator.")
            for unit in self.application.units
            for flag in flags(unit)
        )


@contextmanager
def deployed(version: str, units: int) -> Iterator[Deployment]:
    with Model(version=version) as model:
        deployment = Deployment(model, BuiltCharm(build_charm.example_charm()), units)
        assert deployment.restarts == Counter(), "a first start needs no turn"
        yield deployment


def flags(unit: Unit) -> set[str]:
    """Return the flags that the unit's hooks have left for the next one."""
    prefix = "reactive.states."
    with closing(sqlite3.connect(unit.agent.charm_dir / ".unit-state.db")) as connection:
        keys = connection.execute("select key from kv where key like ?", (prefix + "%",))
        return {key.removeprefix(prefix) for (key,) in keys}


# The hooks, each a real process, grow with the square of the units: many of them once is enough.
@pytest.mark.parametrize(("version", "units"), [("2.9.51", 3), ("3.6.8", 5), ("4.0.0", 3)])
def test_a_config_change_restarts_every_unit_once_and_one_at_a_time(
    version: str, units: int
) -> None:
    with deployed(version, units) as deployment:
        waited: set[str] = set()

        def look(record: HookRecord) -> None:
            kept = flags(deployment.model.unit(record.unit))
            # Granted lasts as long as the hook, requested until the grant and no longer.
            assert "coordinator.granted.restart" not in kept
            if "coordinator.requested.restart" in kept:
                assert record.unit not in deployment.restarts
                waited.add(record.unit)

        deployment.model.listen("hook-end", look)
        deployment.roll()
        deployment.assert_rolled()
        assert deployment.restarts == deployment.once_each, deployment.model.describe()
        assert {record.outcome for record in deployment.hooks} == {"ok"}
        assert len(waited) >= units - 2
        # The handler needs config.set.restart-command too, and most grants arrive in hooks of
        # the relation or of the leader's settings.
        contexts = {interval.context_id for interval in deployment.work}
        hooks = {record.hook for record in deployment.hooks if record.context_id in contexts}
        assert hooks - {"config-changed"}


@pytest.mark.parametrize("version", ["3.6.8", "4.0.0"])
def test_hooks_that_fail_run_again_and_keep_their_turn(version: str, tmp_path: Path) -> None:
    # The service is restarted, and the first hook that has done so fails.
    command = tmp_path / "restart-and-fail-once"
    command.write_text(f"guarded-work restart 30; ! mkdir {tmp_path}/failed 2>/dev/null\n")
    with deployed(version, units=3) as deployment:
        deployment.application.configure(**{"restart-command": f"sh {command}"})
        # Another hook fails before it could ask for its turn.
        early = Scripted("hook-failure", f"{APPLICATION}/2", "config-changed", tool=6)
        deployment.model.inject(early)
        deployment.roll()
        deployment.assert_rolled()
        failures = [record for record in deployment.hooks if record.outcome == "failed"]
        contexts = {interval.context_id for interval in deployment.work}
        assert (early.unit, early.hook) in {(record.unit, record.hook) for record in failures}
        (late,) = (record.unit for record in failures if record.context_id in contexts)
        assert len(failures) == 2, deployment.model.describe()
        assert deployment.restarts == deployment.once_each + Counter([late])
        order = [interval.unit for interval in deployment.work]
        position = order.index(late)
        assert order[position : position + 2] == [late, late], "nobody came in between"


@pytest.mark.parametrize("version", ["3.6.8", "4.0.0"])
def test_the_actions_show_the_locks_and_take_one_from_a_unit_that_is_gone(version: str) -> None:
    with deployed(version, units=3) as deployment:
        model = deployment.model
        deployment.begin()
        deployment.revision += 1
        deployment.application.configure(revision=deployment.revision)
        leader = model.leader(APPLICATION)
        assert leader is not None
        assert model.run_until(lambda: any(item.unit != leader for item in model.working()))
        (holder,) = (item.unit for item in model.working())
        model.run(10)
        model.unit(holder).kill_agent(None)
        model.run(minutes=7)
        others = len(deployment.once_each) - 1
        assert len(deployment.work) <= others, "its lock is still its own"

        shown = model.unit(leader).run_action("show-locks")
        wrong = {"unit": holder, "lock": "other", "reason": "a mistake"}
        refused = model.unit(leader).run_action("release-lock", **wrong)
        right = {"unit": holder, "lock": "restart", "reason": "its machine is lost"}
        released = model.unit(leader).run_action("release-lock", **right)
        model.run_until(lambda: released.status in ("completed", "failed"))
        assert shown.status == "completed", shown.message
        grants = json.loads(shown.results["locks"])["grants"]
        assert (holder, "restart") in {(grant["unit"], grant["lock"]) for grant in grants}
        assert refused.status == "failed"
        assert "other" in refused.message
        assert released.status == "completed", released.message

        model.run(minutes=7)
        assert len(deployment.restarts) == others + 1, "everyone else had a turn"
        model.unit(holder).start_agent()
        model.settle()
        deployment.assert_rolled()
        assert set(deployment.restarts) == set(deployment.once_each)


def test_a_unit_makes_its_own_environment_and_a_class_of_charmhelpers_decides(
    tmp_path: Path,
) -> None:
    # Juju 4 has no leader settings, which are all that charmhelpers' own coordinator knows.
    source = build_charm.copy_with_options(
        build_charm.EXAMPLE, tmp_path, {"class": "charmhelpers.coordinator.Serial"}
    )
    charm = build_charm.build_charm(source, build_charm.project_wheel())
    with Model(version="4.0.0") as model:
        deployment = Deployment(model, DirectoryCharm(charm), units=2)
        deployment.roll()
        deployment.assert_rolled()
        assert deployment.restarts == deployment.once_each
        for unit in deployment.application.units:
            # Beside the charm there is its environment, and what Juju itself puts there.
            directory = unit.agent.directory
            assert (directory / ".venv/bin/python").exists()
            assert {path.name for path in directory.iterdir()} <= {"charm", ".venv", "tools"}
