"""Several applications that take turns in one scope of a store, each unit with its agent.

The units run in the simulated Juju, on its clock; so do the agents, one step at a time. The store
is in memory: what happens to sessions there is part of the history, and equal for equal seeds.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import coordinator as package
from coordinator import _core, juju
from rolling import PEERS, our_charm
from simulated_juju import Application, FunctionCharm, Hook, Model
from simulated_juju.environment import MODEL_UUID
from simulated_juju.resolver import Command

SCOPE = "fleet"
SESSION_SECONDS = 10.0
CALL = {"JUJU_HOOK_NAME": "update-status", "COORDINATOR_CALL": "1"}
_stores = itertools.count()


@dataclass
class SimulatedAgent:
    """The agent of one unit: alive, or dead with a session that has yet to run out."""

    fleet: ScopeFleet
    unit: str
    client: package.Client | None = None
    steps: _core.Agent | None = None
    timer: Any = None
    calls: int = 0
    generation: int = 0

    def start(self) -> None:
        """Begin, in a session of its own."""
        if self.steps is not None or self.unit not in self.fleet.model.world.agents:
            return
        self.client = package.connect(self.fleet.url, identifier=f"agent of {self.unit}")
        self.steps = _core.Agent(self.client, self.fleet.scope, self.fleet.member(self.unit))
        self.soon()

    def kill(self) -> None:
        """Die without a word: the session is there until the store gives it up."""
        client, self.client, self.steps = self.client, None, None
        self.generation += 1
        if client is not None:
            self.fleet.model.at(self.fleet.model.now + SESSION_SECONDS, client.close)

    def soon(self) -> None:
        delay = self.fleet.model.world.chance.uniform(0.001, 0.03)
        self._arm(delay, background=False)

    def _arm(self, delay: float, *, background: bool) -> None:
        scheduler = self.fleet.model.world.scheduler
        scheduler.cancel(self.timer)
        self.timer = scheduler.after(delay, self._turn, background=background)

    def _turn(self) -> None:
        if self.steps is None:
            return
        locks, again = self.steps.turn(self.fleet.model.now)
        if locks is not None:
            self._call(self.generation)
        if again is not None:
            self._arm(again, background=True)
        self.fleet.look()

    def _call(self, generation: int) -> None:
        self.calls += 1
        model = self.fleet.model

        def finished(command: Command) -> None:
            if self.generation == generation and self.steps is not None:
                self.steps.called(model.now, command.code == 0)
                self.soon()

        if self.unit not in model.world.agents:
            return
        agent = model.world.agents[self.unit]
        command = Command(called(agent.charm), finished=finished)
        agent.add_command(command)


def called(charm: Any) -> Callable[[Hook], None]:
    """What an agent has `juju-exec` run: the charm, as in its update-status hook."""

    def function(hook: Hook) -> None:
        # The environment is in place already when the function begins.
        os.environ.update(CALL)
        charm.function(hook)

    return function


@dataclass
class ScopeFleet:
    """Applications of one model whose charms name the same scope."""

    model: Model
    url: str = ""
    scope: str = SCOPE
    kind: type = juju.Serial
    agents: dict[str, SimulatedAgent] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By unit, what is different in its settings of the store."""
    troubles: dict[str, str | None] = field(default_factory=dict)
    """By unit, what kept it from coordinating in its last hook."""

    def __post_init__(self) -> None:
        self.url = self.url or f"memory:fleet-{next(_stores)}"
        # The tree lives as long as somebody is connected.
        self.holder = package.connect(self.url, identifier="operator")
        for event in ("hook-start", "hook-end", "tool", "work-start", "work-end"):
            self.model.listen(event, lambda _record: self.look())

    def charm(self, **options: Any) -> FunctionCharm:
        """A charm that restarts as `rolling.our_charm` with these options does."""
        return self.placed(lambda make: our_charm(make, **options))

    def placed(self, build: Callable[[Callable[..., Any]], FunctionCharm]) -> FunctionCharm:
        """A charm that wants to coordinate where its configuration says: in the scope, or not.

        `build` makes it, with what makes its coordinator.
        """
        wish: list[juju.Backend] = []

        def make(**arguments: Any) -> Any:
            # No other hook runs between the wish and this.
            return self.kind(backend=wish.pop(), **arguments)

        base = build(make)

        def function(hook: Hook) -> None:
            configured = json.loads(hook.tool(["config-get", "--format=json"]).stdout)
            is_wanted = configured["backend"] != "peer"
            settings = {"url": self.url, "scope": self.scope, **self.settings.get(hook.unit, {})}
            wish.append(juju.Backend(is_wanted=is_wanted, **settings))
            try:
                base.function(hook)
            finally:
                # A process that ends is heard of no more.
                for coordinator in hook.local["instances"].values():
                    if coordinator._hook is not None:
                        self.troubles[hook.unit] = coordinator.trouble
                        coordinator._hook.say_goodbye()

        return replace(base, function=function)

    def deploy(
        self,
        name: str,
        units: int,
        *,
        backend: str = "store",
        charm: FunctionCharm | None = None,
        **options: Any,
    ) -> Application:
        """Deploy an application of `charm`, or of one as `rolling.our_charm` with these options."""
        return self.model.deploy(
            name,
            charm or self.charm(**options),
            units=units,
            peers=PEERS,
            config={"revision": 0, "backend": backend},
        )

    def member(self, unit: str) -> str:
        """The name of a unit in scopes."""
        return f"simulated-{MODEL_UUID[:8]}:{unit}"

    def status(self) -> dict[str, Any]:
        """What an operator sees of the scope."""
        return self.holder.scope(self.scope).status()

    def look(self) -> None:
        """Let agents begin and end with their units, and look where something has changed."""
        units = self.model.world.agents
        # Seldom: and this is called with each tool of each hook.
        if units.keys() != self.agents.keys():
            for unit in sorted(units.keys() - self.agents.keys()):
                self.agents[unit] = SimulatedAgent(self, unit)
                self.model.at(self.model.now + 1.0, self.agents[unit].start)
            for unit in [unit for unit in self.agents if unit not in units]:
                self.agents.pop(unit).kill()
        for agent in self.agents.values():
            if agent.steps is not None and agent.steps.has_changed():
                agent.soon()

    def close(self) -> None:
        for agent in self.agents.values():
            agent.kill()
        self.holder.close()
