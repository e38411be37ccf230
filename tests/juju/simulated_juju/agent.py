"""A unit's agent: watches, decides what is next, runs it and keeps its own state.

An agent may die at any point. What it keeps on disk (`local`) survives; caches, the snapshot of
the watchers and the leadership tracker do not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .charms import Charm
from .leadership import LeadershipTracker
from .operations import OperationRunner
from .relation_state import LocalRelation, RelationCache, RelationSnapshot
from .resolver import Action, Command, LocalState, RemoteState, next_operation
from .scheduler import Event
from .world import World

RETRY_SECONDS = (5.0, 300.0)


class UnitAgent:
    """The agent of one unit."""

    def __init__(
        self, world: World, name: str, charm: Charm, directory: Path, clock_offset: float
    ) -> None:
        self.world = world
        self.name = name
        self.application = name.partition("/")[0]
        self.charm = charm
        self.next_charm = charm
        self.directory = directory
        self.charm_dir = directory / "charm"
        self.clock_offset = clock_offset
        self.up = False
        self.partitioned = False
        self.gone = False
        self.watchers_held_until = 0.0
        self.local = LocalState()
        self.remote = RemoteState()
        self.actions: list[Action] = []
        self.caches: dict[int, RelationCache] = {}
        self.tracker = LeadershipTracker(self, world.controller, world.scheduler)
        self.operations = OperationRunner(self)
        self.epoch = 0
        self._pending: set[str] = set()
        self._retries = 0
        self._turn: Event | None = None
        self._retry: Event | None = None
        self._status_timer: Event | None = None
        charm.install(self.charm_dir)

    @property
    def machine(self) -> str:
        """The machine whose lock this agent takes."""
        return self.world.controller.units[self.name].machine

    def later(self, delay: float, action: Callable[[], None], *, background: bool = False) -> Event:
        """Do something later unless the agent has died by then."""
        epoch = self.epoch

        def unless_dead() -> None:
            if self.epoch == epoch and self.up:
                action()

        return self.world.scheduler.after(delay, unless_dead, background=background)

    def start(self) -> None:
        """Start the agent with empty caches; it reads everything anew before its first turn."""
        if self.up or self.gone:
            return
        self.up = True
        self.epoch += 1
        self.caches = {}
        self.remote = RemoteState()
        self._pending.clear()
        self.note("agent starts")
        self.later(self.world.chance.uniform(0.05, 2.0), self._claim_then_watch)
        self._arm_update_status()

    def stop(self, restart_after: float | None) -> None:
        """Die at once, with the hook that runs; perhaps come back later."""
        if not self.up:
            return
        self.note("agent dies")
        self.up = False
        self.epoch += 1
        self.tracker.stop()
        for event in (self._turn, self._retry, self._status_timer):
            self.world.scheduler.cancel(event)
        self._turn = None
        self.operations.abandon()
        for command in self.remote.commands:
            command.finish(1, "the agent stopped before the command ran")
        if restart_after is not None and not self.gone:
            self.world.scheduler.after(restart_after, self.start)

    def partition(self) -> None:
        """Cut this unit off from the controller; a running hook goes on, its tools fail."""
        if not self.partitioned:
            self.partitioned = True
            self.note("cut off from the controller")
            # The tracker cannot renew; the controller lets the lease run out.

    def reconnect(self) -> None:
        """End the partition. An agent without a running hook starts anew, as Juju's does."""
        if self.partitioned:
            self.partitioned = False
            self.note("reconnected to the controller")
            if not self.up:
                return
            if self.operations.busy:
                self.tracker.attempt()
                self._ready()
            else:
                self.stop(self.world.chance.uniform(0.5, 3.0))

    def notify(self, kind: str) -> None:
        """Take in that the controller has something new of a kind this agent watches."""
        if not self.up or self.partitioned or kind in self._pending:
            return
        self._pending.add(kind)
        self.later(self._watch_delay(), lambda: self._deliver(kind))

    def leadership_changed(self) -> None:
        """Take in that the tracker has gained or lost the lease."""
        self.note("becomes leader" if self.tracker.leader else "is not leader any more")
        if self.tracker.leader:
            self.world.records.counters["leader changes"] += 1
        self.world.records.tell("leader", self)
        self.wake()

    def lease_claimed(self) -> None:
        """Let the others know when this lease runs out."""
        application = self.application
        lease = self.world.controller.applications[application].lease
        expires = lease.expires

        def lapse() -> None:
            if lease.holder is not None and lease.expires <= self.world.scheduler.now:
                lease.holder = None
                self.world.records.operation(
                    self.world.scheduler.now, application, "leadership lease runs out"
                )
                self.world.offer_lease(application)

        self.world.scheduler.at(expires, lapse, background=True)

    def wake(self) -> None:
        """Look soon whether there is something to do."""
        if self.up and self._turn is None and not self.operations.busy:
            self._turn = self.later(self.world.chance.uniform(0.001, 0.01), self._take_turn)

    def add_action(self, action: Action) -> None:
        """Take an action from the controller."""
        self.actions.append(action)
        self.notify("actions")

    def add_command(self, command: Command) -> None:
        """Take a juju-exec command; it waits here for its turn."""
        if not self.up:
            command.finish(1, "the agent is not running")
            return
        self.remote.commands.append(command)
        self.wake()

    def resolve(self, *, retry: bool) -> None:
        """Answer a hook error as an operator's `juju resolved`, or `--no-retry`."""
        self.note("resolved" if retry else "resolved --no-retry")
        self.remote.resolved = "retry" if retry else "no-retry"
        self.wake()

    def retry_later(self) -> None:
        """Retry the failed hook after 5 s, doubling to 5 min."""
        shortest, longest = RETRY_SECONDS
        delay = min(longest, shortest * 2.0**self._retries) * self.world.chance.uniform(0.9, 1.1)
        self._retries += 1
        self.remote.retry_due = False
        self.remote.resolved = ""
        self.world.scheduler.cancel(self._retry)
        self._retry = self.later(delay, self._retry_now)

    def hook_succeeded(self) -> None:
        """Forget the error a hook may have been in."""
        self._retries = 0
        self.remote.retry_due = False
        self.remote.resolved = ""
        self.world.scheduler.cancel(self._retry)
        record = self.world.controller.units.get(self.name)
        if record is not None:
            record.in_error = False

    def update_status_done(self) -> None:
        """Wait for the next update-status."""
        self.remote.update_status_due = False
        self._arm_update_status()

    def note(self, what: str) -> None:
        """Add a line about this unit to the history."""
        self.world.records.operation(self.world.scheduler.now, self.name, what)

    def refresh(self, kind: str) -> None:
        """Take over the controller's present state of one kind."""
        controller, remote = self.world.controller, self.remote
        application = controller.applications[self.application]
        record = controller.units.get(self.name)
        if kind == "config":
            remote.config_version = application.config_version
        elif kind == "leader-settings":
            remote.leader_settings_version = application.leader_settings_version
        elif kind == "charm" and record is not None:
            remote.charm_version = record.charm_version
        elif kind == "life" and record is not None:
            remote.dying = record.life != "alive"
        elif kind == "secrets":
            remote.secrets = controller.secrets_behind(self.name)
        elif kind == "actions":
            remote.actions = [action for action in self.actions if action.status == "pending"]
        elif kind.startswith("relation "):
            relation = controller.relations[int(kind.partition(" ")[2])]
            remote.relations[relation.identifier] = RelationSnapshot.of(relation, self.name)

    def _deliver(self, kind: str) -> None:
        self._pending.discard(kind)
        if not self.partitioned:
            self.refresh(kind)
            self.wake()

    def _claim_then_watch(self) -> None:
        # The first turn waits until the tracker knows whether this unit leads.
        self.tracker.start()
        self.later(self._watch_delay(), self._ready)

    def _ready(self) -> None:
        if self.partitioned:
            return
        for kind in ("config", "leader-settings", "charm", "life", "secrets", "actions"):
            self.refresh(kind)
        for relation in self.world.controller.relations_of(self.application):
            self.refresh(f"relation {relation.identifier}")
        if not self.remote.ready:
            self.remote.ready = True
            if self.local.kind == "run-hook" and self.local.step == "pending":
                # A hook that was under way when the agent died counts as failed.
                self.retry_later()
        self.wake()

    def _take_turn(self) -> None:
        self._turn = None
        if self.operations.busy or self.partitioned:
            return
        self._enter_scopes()
        operation = next_operation(
            self.name,
            self.local,
            self.remote,
            leads=self.tracker.leader,
            controller=self.world.controller,
            major=self.world.major,
            peer_broken=self.world.peer_broken,
            chance=self.world.chance,
        )
        if operation is not None:
            self.operations.begin(operation)

    def _enter_scopes(self) -> None:
        if not self.local.installed or self.local.kind != "continue":
            return
        controller = self.world.controller
        for relation in controller.relations_of(self.application):
            known = self.local.relations.setdefault(relation.identifier, LocalRelation())
            if not known.entered and not self.remote.dying:
                known.entered = True
                controller.enter_scope(relation, self.name)
                self.refresh(f"relation {relation.identifier}")
            if self.remote.dying and known.entered:
                controller.prepare_to_leave(relation, self.name)

    def _retry_now(self) -> None:
        self.remote.retry_due = True
        self.wake()

    def _arm_update_status(self) -> None:
        self.world.scheduler.cancel(self._status_timer)
        delay = self.world.update_status_seconds * self.world.chance.uniform(0.8, 1.2)
        self._status_timer = self.later(delay, self._update_status_now, background=True)

    def _update_status_now(self) -> None:
        self.remote.update_status_due = True
        self.wake()

    def _watch_delay(self) -> float:
        delay = self.world.planner.watch_delay(self.world.between(self.world.watch_seconds))
        return max(delay, self.watchers_held_until - self.world.scheduler.now)
