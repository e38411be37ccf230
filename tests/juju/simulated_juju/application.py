"""Handles by which a test steers an application and looks at a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .agent import UnitAgent
from .charms import Charm
from .controller import RelationRecord, UnitRecord
from .resolver import Action

if TYPE_CHECKING:
    from .model import Model


class Application:
    """A deployed application."""

    def __init__(self, model: Model, name: str, charm: Charm) -> None:
        self._model = model
        self.name = name
        self.charm = charm

    @property
    def units(self) -> list[Unit]:
        """The units that have not been removed."""
        return [unit for unit in self._model.units() if unit.application == self.name]

    def add_unit(self, charm: Charm | None = None, machine: str | None = None) -> Unit:
        """Add a unit; by default of the application's charm and on a machine of its own."""
        world = self._model.world
        record = world.controller.applications[self.name]
        number = record.next_unit
        record.next_unit += 1
        name = f"{self.name}/{number}"
        world.controller.units[name] = UnitRecord(
            name,
            self.name,
            machine if machine is not None else str(len(world.machines)),
            number,
            since=world.scheduler.now,
        )
        world.machine(world.controller.units[name].machine)
        skew = self._model.faults.clock_skew
        offset = world.planner.chance.uniform(-skew, skew) if skew else 0.0
        directory = self._model.root / f"unit-{self.name}-{number}"
        agent = UnitAgent(world, name, charm or self.charm, directory, offset)
        world.agents[name] = agent
        world.scheduler.after(world.chance.uniform(0.1, 2.0), agent.start)
        self._model.chaos.watch_unit(name)
        return Unit(self._model, name)

    def remove_unit(self, name: str, *, force: bool = False) -> None:
        """Remove a unit: it runs its last hooks first, or with `force` is gone at once."""
        world = self._model.world
        agent = self._model.unit(name).agent
        world.records.operation(world.scheduler.now, name, f"remove-unit, force {force}")
        if force:
            world.remove(name)
            return
        world.controller.units[name].life = "dying"
        agent.notify("life")

    def configure(self, **options: Any) -> None:
        """Change options, as `juju config` does."""
        world = self._model.world
        world.records.operation(world.scheduler.now, self.name, f"config {options}")
        world.controller.set_config(self.name, options)

    def upgrade(self, charm: Charm) -> None:
        """Upgrade every unit to another charm."""
        self.charm = charm
        for unit in self.units:
            self.upgrade_unit(unit.name, charm)

    def upgrade_unit(self, name: str, charm: Charm) -> None:
        """Upgrade one unit: it runs upgrade-charm, then config-changed."""
        agent = self._model.unit(name).agent
        agent.next_charm = charm
        self._model.world.controller.units[name].charm_version += 1
        agent.notify("charm")

    def databag(self, endpoint: str) -> dict[str, str]:
        """Return the application's databag as the controller holds it."""
        bag = self._relation(endpoint).applications.get(self.name)
        return dict(bag.settings) if bag is not None else {}

    @property
    def leader_settings(self) -> dict[str, str]:
        """The leader settings as the controller holds them."""
        return dict(self._model.world.controller.applications[self.name].leader_settings)

    def _relation(self, endpoint: str) -> RelationRecord:
        return relation_of(self._model, self.name, endpoint)


class Unit:
    """One unit."""

    def __init__(self, model: Model, name: str) -> None:
        self._model = model
        self.name = name
        self.application = name.partition("/")[0]
        self.agent: UnitAgent = model.world.agents[name]

    @property
    def record(self) -> UnitRecord:
        """The unit as the controller holds it."""
        return self._model.world.controller.units[self.name]

    @property
    def status(self) -> tuple[str, str]:
        """Workload status and message; error if a hook has failed."""
        if self.record.in_error:
            return "error", "hook failed"
        return self.record.status, self.record.message

    @property
    def state(self) -> dict[str, str]:
        """What state-set has stored."""
        return dict(self.record.state)

    def databag(self, endpoint: str) -> dict[str, str]:
        """Return the unit's databag as the controller holds it."""
        bag = relation_of(self._model, self.application, endpoint).units.get(self.name)
        return dict(bag.settings) if bag is not None else {}

    def run_action(self, name: str, **parameters: Any) -> Action:
        """Ask for an action; look at the result after the model has run."""
        chance = self._model.world.chance
        action = Action(name, parameters, f"{chance.getrandbits(32):08x}-0000-4000-8000")
        self.agent.add_action(action)
        return action

    def resolved(self, *, retry: bool = True) -> None:
        """Answer a hook error: run the hook again, or without `retry` skip it."""
        self.agent.resolve(retry=retry)

    def kill_agent(self, restart_after: float | None = 1.0) -> None:
        """Kill the agent and the hook that runs; None leaves it down until `heal` or `start`."""
        self.agent.stop(restart_after)

    def start_agent(self) -> None:
        """Start an agent that is down."""
        self.agent.start()

    def hold_watchers(self, seconds: float) -> None:
        """Hold back for this long all that the unit's agent would be told from now on."""
        self.agent.watchers_held_until = self._model.now + seconds

    def partition(self, seconds: float | None = None) -> None:
        """Cut the unit off from the controller, for a while or until `reconnect`."""
        self.agent.partition()
        if seconds is not None:
            self._model.world.scheduler.after(seconds, self.agent.reconnect)

    def reconnect(self) -> None:
        """End the partition."""
        self.agent.reconnect()


def relation_of(model: Model, application: str, endpoint: str) -> RelationRecord:
    """Return the relation at an endpoint of an application."""
    for relation in model.world.controller.relations_of(application):
        if relation.endpoints[application] == endpoint:
            return relation
    raise KeyError(f"{application} has no relation {endpoint!r}: name it in deploy(peers=...)")
