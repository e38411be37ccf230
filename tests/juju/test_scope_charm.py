"""The built charm in a scope on a store: real hooks, real agents, and the real embedded store.

Juju is simulated. The agents are started by the layer, and wake their units through its juju-exec.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import build_charm
from simulated_juju import Application, DirectoryCharm, Model
from test_built_charm import BuiltCharm

PEERS = {"coordinator": "coordinator"}
BOUND = 40.0


class Fleet:
    """Applications of the example charm, and the agents of their units."""

    def __init__(self, model: Model, store: Path) -> None:
        self.model = model
        self.store = store
        self.charm: DirectoryCharm = BuiltCharm(build_charm.example_charm())
        self.applications: list[Application] = []
        self.revision = 1

    def deploy(self, name: str, units: int, **config: Any) -> Application:
        application = self.model.deploy(
            name,
            self.charm,
            units=units,
            peers=PEERS,
            config={
                "revision": 1,
                "service": name,
                "restart-command": "guarded-work restart 5",
                "coordinator-backend": "embedded",
                "coordinator-scope": "fleet",
                "coordinator-directory": str(self.store),
                **config,
            },
        )
        self.applications.append(application)
        return application

    def configure(self, **options: Any) -> None:
        for application in self.applications:
            application.configure(**options)

    def roll(self) -> Counter[str]:
        """Change the configuration and wait until everybody has restarted for it."""
        begun = len(self.model.work)
        self.revision += 1
        self.configure(revision=self.revision)
        self.until(lambda: len(self.restarted(begun)) == len(self.units) and self.is_idle())
        return self.restarted(begun)

    def restarted(self, begun: int) -> Counter[str]:
        return Counter(work.unit for work in self.model.work[begun:] if work.end is not None)

    def until(self, done: Callable[[], bool]) -> None:
        assert self.model.run_live(done, BOUND), f"{self.model.describe()}\n{self.logs()}"

    def logs(self) -> str:
        """What the agents have said."""
        logs = ((unit, self.directory(unit) / "agent.log") for unit in self.units)
        return "\n".join(f"{unit}:\n{log.read_text()}" for unit, log in logs if log.exists())

    def is_idle(self) -> bool:
        status = self.status()
        return not status["holders"] and not status["queue"] and self.model.settled()

    @property
    def units(self) -> list[str]:
        return [unit.name for application in self.applications for unit in application.units]

    def status(self) -> dict[str, Any]:
        """What the command tells."""
        command = [sys.executable, "-m", "coordinator", "status", "--json"]
        command += ["--url", f"embedded:{self.store}"]
        shown = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        assert shown["version"] == 1
        (scope,) = shown["scopes"]
        return dict(scope)

    def directory(self, unit: str) -> Path:
        """Where the layer keeps what the unit's agent needs."""
        return self.model.unit(unit).agent.charm_dir.parent / "coordinator"

    def agents(self) -> dict[str, int]:
        """The processes of the agents, by unit, as the operating system shows them."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_text().split("\0")
            except OSError:
                continue
            for unit in self.units:
                if "--supervised" in words and str(self.directory(unit) / "agent.json") in words:
                    found[unit] = int(process.name)
        return found

    def close(self) -> None:
        """End the agents: they end when their settings go."""
        for unit in self.units:
            (self.directory(unit) / "agent.json").unlink(missing_ok=True)
        deadline = time.monotonic() + BOUND
        while self.agents() and time.monotonic() < deadline:
            time.sleep(0.1)


@contextmanager
def fleet(store: Path, version: str = "3.6.8") -> Iterator[Fleet]:
    with Model(version=version) as model:
        made = Fleet(model, store)
        try:
            yield made
        finally:
            made.close()


def present(status: dict[str, Any]) -> int:
    return sum(member["agent"] for member in status["members"])


def test_two_applications_take_turns_and_an_agent_wakes_each_unit(tmp_path: Path) -> None:
    with fleet(tmp_path / "store") as made:
        made.deploy("kafka", 3)
        made.deploy("spark", 2)
        made.until(lambda: made.model.settled() and (tmp_path / "store").exists())
        made.until(lambda: present(made.status()) == 5)
        begun = len(made.model.hooks_run)
        assert made.roll() == Counter(made.units)
        assert made.model.most_at_once() == 1, made.model.describe()
        hooks = Counter(record.hook for record in made.model.hooks_run[begun:])
        assert hooks["config-changed"] == 5
        # Whoever was granted its turn at once needed no call.
        assert hooks == {"config-changed": 5, "run-commands": hooks["run-commands"]}
        assert 3 <= hooks["run-commands"] <= 5
        assert {record.outcome for record in made.model.hooks_run[begun:]} == {"ok"}
        for unit in made.units:
            assert made.model.unit(unit).status == ("active", "Running revision 2")

        # An agent that is killed is started anew, and what came meanwhile is not lost.
        agents = made.agents()
        assert agents.keys() == set(made.units)
        for process in agents.values():
            os.kill(process, signal.SIGKILL)
        assert made.roll() == Counter(made.units)
        assert made.model.most_at_once() == 1, made.model.describe()
        made.until(lambda: made.agents().keys() == set(made.units))
        assert not set(made.agents().values()) & set(agents.values())


def test_the_actions_show_a_scope_and_take_a_lock_from_a_unit_that_is_gone(tmp_path: Path) -> None:
    with fleet(tmp_path / "store") as made:
        made.deploy("kafka", 2)
        made.deploy("spark", 1)
        made.until(lambda: made.model.settled() and (tmp_path / "store").exists())
        made.until(lambda: present(made.status()) == 3)
        made.roll()
        made.configure(revision=made.revision + 1)
        made.until(lambda: len(made.status()["queue"]) == 2 and bool(made.model.working()))
        (holder,) = (work.unit for work in made.model.working())
        made.model.unit(holder).kill_agent(None)
        other = next(unit for unit in made.units if unit != holder)

        shown = made.model.unit(other).run_action("show-locks")
        made.until(lambda: shown.status in ("completed", "failed"))
        assert shown.status == "completed", shown.message
        locks = json.loads(shown.results["locks"])
        assert locks["scope"] == "fleet"
        assert locks["leader"] is None
        assert [(grant["unit"], grant["lock"]) for grant in locks["grants"]] == [
            (holder, "restart")
        ]
        assert {row["unit"] for row in locks["queue"]} == set(made.units) - {holder}

        wrong = {"unit": holder, "lock": "other", "reason": "a mistake"}
        right = {"unit": holder, "lock": "restart", "reason": "its machine is lost"}
        refused = made.model.unit(other).run_action("release-lock", **wrong)
        released = made.model.unit(other).run_action("release-lock", **right)
        made.until(lambda: released.status in ("completed", "failed"))
        assert refused.status == "failed"
        assert "other" in refused.message
        assert released.status == "completed", released.message
        assert str(locks["grants"][0]["token"]) in released.results["result"]
        made.until(lambda: not made.status()["holders"] and not made.status()["queue"])

        shown = made.model.unit(other).run_action("show-locks")
        made.until(lambda: shown.status in ("completed", "failed"))
        (forced,) = json.loads(shown.results["locks"])["forced"]
        assert (forced["unit"], forced["reason"]) == (holder, "its machine is lost")
        made.model.unit(holder).start_agent()
        made.until(made.is_idle)


def test_a_unit_that_cannot_coordinate_is_blocked_and_says_what_to_write(tmp_path: Path) -> None:
    with fleet(tmp_path / "store") as made:
        made.deploy("kafka", 1, **{"coordinator-directory": "relative"})
        made.until(made.model.settled)
        made.configure(revision=2)
        made.until(made.model.settled)
        unit = made.model.unit("kafka/0")
        assert unit.status == (
            "blocked",
            "Coordinator: the embedded backend wants a directory: set it to an absolute path",
        )
        assert not made.model.work, "it goes on nowhere else"
        made.configure(**{"coordinator-directory": str(made.store)})
        made.until(made.model.settled)
        # It has moved; its next hook, which no peer brings about, asks there.
        made.model.run(minutes=7)
        made.until(made.model.settled)
        assert unit.status == ("active", "Running revision 2")
        assert made.model.most_at_once() == 1
