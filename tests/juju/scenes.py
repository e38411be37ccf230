"""Applications set up for one scenario, with our coordinator or with charmhelpers' own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from coordinator import juju
from coordinator.exceptions import CoordinatorError
from rolling import PEERS, OldSimple, Work, old_charm, our_charm, restarted
from simulated_juju import Application, FunctionCharm, Hook, Model
from simulated_juju.charmhelpers_world import run_hook
from simulated_juju.charms import HookFunction

LOCK = "restart"
OUR_VERSIONS = ["2.9.51", "3.6.0", "4.0.0"]


def steady(seconds: float) -> Work:
    """Restarts that always take this long."""
    return Work((seconds, seconds), long_share=0.0)


def old(seconds: float = 300.0, **options: Any) -> FunctionCharm:
    return old_charm(OldSimple, work=steady(seconds), **options)


def ours(seconds: float = 300.0, **options: Any) -> FunctionCharm:
    return our_charm(juju.SimpleCoordinator, work=steady(seconds), **options)


def charm_of(kind: type, body: Callable[[Hook, Any], None]) -> FunctionCharm:
    """A charm whose hooks run `body` with a coordinator of the class `kind`."""
    around = our_charm() if issubclass(kind, juju.BaseCoordinator) else old_charm()
    make = run_hook(lambda: kind(peer_relation_name="coordinator"), body)
    return replace(around, function=make)


def charm_made_by(make: Callable[..., Any], body: Callable[[Hook, Any], None]) -> FunctionCharm:
    """A charm whose hooks run `body` with the coordinator of ours that `make` makes."""
    function = run_hook(lambda: make(peer_relation_name="coordinator"), body)
    return replace(our_charm(), function=function)


def operable(function: HookFunction) -> HookFunction:
    """Add the operators' actions, which run without the charm's own hooks."""

    def either(hook: Hook) -> None:
        if hook.kind != "action":
            function(hook)
            return
        answer = hook.tool(["action-get", "--format=json"]).stdout
        parameters = json.loads(answer) or {}
        try:
            if hook.name == "release-lock":
                juju.release_lock(lock=LOCK, reason="its machine is gone", **parameters)
            else:
                shown = json.dumps(juju.show_locks())
                hook.tool(["action-set", f"locks={shown}"])
        except CoordinatorError as error:
            hook.tool(["action-fail", str(error)])

    return either


def failing_but_for_actions(charm: FunctionCharm) -> FunctionCharm:
    def function(hook: Hook) -> None:
        if hook.kind != "action":
            message = "this hook always fails"
            raise RuntimeError(message)
        charm.function(hook)

    return replace(charm, function=function)


class OnDemand:
    """A charm whose units restart once for each time that they are asked to."""

    def __init__(self, kind: type, seconds: float) -> None:
        self.wanted: set[str] = set()
        self._seconds = seconds
        self.charm = charm_of(kind, self._body)
        self.charm.function = operable(self.charm.function)

    def ask(self, model: Model, unit: str) -> None:
        """Let the unit ask for the lock at once, outside of any event of Juju's."""
        self.wanted.add(unit)
        model.juju_exec(unit, self.charm.function)

    def _body(self, hook: Hook, coordinator: Any) -> None:
        if hook.unit in self.wanted and coordinator.acquire(LOCK):
            hook.work(LOCK, self._seconds)
            self.wanted.discard(hook.unit)


def deploy(
    charm: FunctionCharm,
    units: int = 3,
    seed: int = 2,
    **options: Any,
) -> tuple[Model, Application]:
    """A model whose application has settled and wants nothing yet."""
    model = Model(seed=seed, **options)
    app = model.deploy("app", charm, units=units, peers=PEERS, config={"revision": 0})
    model.settle()
    return model, app


def leader_and_others(model: Model, app: Application) -> tuple[str, list[str]]:
    leader = model.leader("app") or ""
    return leader, [unit.name for unit in app.units if unit.name != leader]


def behind(app: Application, revision: int = 1) -> list[str]:
    """The units that have not restarted for this revision."""
    return [unit.name for unit in app.units if restarted(unit.agent.charm_dir, LOCK) != revision]


def await_work(model: Model, unit: str, limit: float = 3600.0) -> bool:
    return model.run_until(lambda: unit in {item.unit for item in model.working()}, limit)


def ledger(app: Application) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(app.databag("coordinator")["coordinator-ledger"])
    return found
