"""The real charmhelpers coordinator runs in the simulated Juju, and fails where Juju makes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("charmhelpers.coordinator")

from charmhelpers import coordinator as charmhelpers_coordinator
from charmhelpers.core import hookenv

from simulated_juju import Application, Faults, FunctionCharm, Hook, Model
from simulated_juju.charmhelpers_world import charmhelpers_world, run_hook

PEERS = {"coordinator": "coordinator"}


class OneUnitAtATime(charmhelpers_coordinator.BaseCoordinator):  # type: ignore[misc]
    """Whatever the lock, only one unit holds any; a holder is granted all it asks for."""

    def default_grant(self, lock: str, unit: str, granted: set[str], queue: list[str]) -> bool:
        holders = {name for name, locks in self.grants.items() if locks}
        return unit in holders or (not holders and queue[0] == unit)

    def _save_state(self) -> None:
        # A leader's own request fires no hook on the leader, so it is looked at once more here.
        self.handle()
        super()._save_state()


def serial() -> Any:
    return charmhelpers_coordinator.Serial(peer_relation_name="coordinator")


def roll(make: Callable[[], Any] = serial, seconds: float = 40.0) -> FunctionCharm:
    """Return a charm that restarts once under the lock after each change of its revision."""

    def body(hook: Hook, coordinator: Any) -> None:
        done = Path("done")
        revision = str(hookenv.config("revision"))
        if hookenv.hook_name() == "install":
            done.write_text(revision)
        elif done.read_text() != revision and coordinator.acquire("restart"):
            hook.work("restart", seconds)
            done.write_text(revision)

    return charmhelpers_world(run_hook(make, body), peers=PEERS)


def deploy(model: Model, charm: FunctionCharm, units: int = 4) -> Application:
    app = model.deploy("app", charm, units=units, peers=PEERS, config={"revision": 1})
    model.settle()
    return app


def one_unit_at_a_time() -> Any:
    return OneUnitAtATime(peer_relation_name="coordinator")


@pytest.mark.parametrize("version", ["2.9.42", "3.6.0"])
@pytest.mark.parametrize("make", [serial, one_unit_at_a_time])
def test_units_roll_one_at_a_time_when_nothing_goes_wrong(
    make: Callable[[], Any], version: str
) -> None:
    with Model(seed=7, version=version) as model:
        app = deploy(model, roll(make))
        app.configure(revision=2)
        model.run(minutes=60)
        model.settle()
        assert {record.outcome for record in model.hooks_run} == {"ok"}
        assert sorted(interval.unit for interval in model.work) == [f"app/{n}" for n in range(4)]
        assert model.most_at_once("restart") == 1


def test_global_state_is_what_it_was_after_a_run() -> None:
    before = (dict(os.environ), Path.cwd(), hookenv.cache, hookenv.subprocess, hookenv._atexit)
    with Model(seed=1) as model:
        deploy(model, roll())
    assert (dict(os.environ), Path.cwd()) == before[:2]
    assert hookenv.cache is before[2]
    assert hookenv.subprocess is before[3]
    assert hookenv._atexit is before[4]


def test_a_unit_needs_the_machine_agent_which_kubernetes_does_not_have() -> None:
    with Model(seed=1, kubernetes=True) as model:
        model.deploy("app", roll(), peers=PEERS, config={"revision": 1})
        model.run(minutes=1)
        assert model.hooks_run[0].outcome == "failed"
        assert "IndexError" in model.hooks_run[0].output


def test_juju_4_has_no_leader_settings_for_it() -> None:
    with Model(seed=1, version="4.0.0") as model:
        model.deploy("app", roll(), peers=PEERS, config={"revision": 1})
        model.run(minutes=1)
        assert "leader-get" in model.hooks_run[0].output


def test_a_new_leader_with_stale_peer_data_grants_a_held_lock_again() -> None:
    with Model(seed=2) as model:
        app = deploy(model, roll(seconds=300), units=3)
        first = model.leader("app") or ""
        second, stale = (unit.name for unit in app.units if unit.name != first)
        model.unit(stale).hold_watchers(24 * 3600)
        app.configure(revision=2)
        assert model.run_until(lambda: any(item.unit == second for item in model.working()))
        model.hand_leadership("app", stale)
        assert model.run_until(lambda: len(model.working("restart")) > 1, 300), model.describe()
        assert {item.unit for item in model.working()} == {second, stale}


def test_seeds_with_slow_watchers_and_changing_leaders_break_mutual_exclusion() -> None:
    faults = Faults(lease_bounce=20.0, slow_watch=0.3)
    broken = 0
    for seed in range(6):
        with Model(seed=seed, faults=faults) as model:
            app = deploy(model, roll(seconds=300))
            app.configure(revision=2)
            model.run(minutes=20)
            broken += model.most_at_once("restart") > 1
    assert broken >= 2
