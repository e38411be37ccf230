"""The model: what a test deploys, steers, runs and asks."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from .application import Application, Unit
from .chaos import Chaos
from .charms import Charm, HookFunction
from .controller import ApplicationRecord, RelationRecord, SecretRecord
from .faults import Faults, Scripted
from .records import HookRecord, Listener, ToolCall, WorkInterval
from .resolver import Command
from .tool_server import ToolServer
from .world import Seconds, World

# How often a live run looks whether a real program has called.
LOOK_SECONDS = 0.005


class NotSettledError(AssertionError):
    """The model still had work to do when its time was up."""


class Model:
    """A simulated Juju model on a virtual clock; one seed gives one history.

    Durations are virtual seconds, fixed or as a range to draw from. `tool_executable` is the
    compiled hook tool that charm directories need. Units' directories are made under `directory`,
    by default the temporary directory. `exec_function` is what real programs that call `juju-exec`
    run on units whose charm is a function.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        version: str = "3.6.0",
        faults: Faults | None = None,
        kubernetes: bool = False,
        self_app_bag_event: bool = False,
        peer_broken: bool = False,
        tool_seconds: Seconds = (0.0005, 0.002),
        real_tool_seconds: float = 0.0,
        hook_start_seconds: Seconds = (0.05, 0.5),
        watch_seconds: Seconds = (0.01, 3.0),
        update_status_seconds: float = 300.0,
        keep_tool_calls: bool = True,
        exec_function: HookFunction | None = None,
        tool_executable: str | Path | None = None,
        directory: str | Path | None = None,
    ) -> None:
        self.seed = seed
        self.version = version
        self.faults = faults or Faults.none()
        self.root = Path(tempfile.mkdtemp(prefix="simulated-juju-", dir=directory))
        self.world = World(
            seed=seed,
            version=version,
            root=self.root,
            faults=self.faults,
            kubernetes=kubernetes,
            peer_broken=peer_broken,
            self_app_bag_event=self_app_bag_event,
            tool_seconds=tool_seconds,
            real_tool_seconds=real_tool_seconds,
            hook_start_seconds=hook_start_seconds,
            watch_seconds=watch_seconds,
            update_status_seconds=update_status_seconds,
            keep_tool_calls=keep_tool_calls,
            exec_function=exec_function,
            server=lambda world: ToolServer(world, tool_executable),
        )
        self.chaos = Chaos(self)
        self.applications: dict[str, Application] = {}
        self._actions = 0
        self._remove_files = weakref.finalize(self, shutil.rmtree, self.root, True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every hook that still runs and remove the units' directories."""
        for agent in list(self.world.agents.values()):
            agent.gone = True
            agent.stop(None)
        if self.world.has_server:
            self.world.server.close()
        self._remove_files()

    def deploy(
        self,
        name: str,
        charm: Charm,
        *,
        units: int = 1,
        peers: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Application:
        """Deploy an application. `peers` maps endpoint to interface, as in metadata.yaml."""
        if name in self.applications:
            raise ValueError(f"application {name!r} is deployed already; choose another name")
        controller = self.world.controller
        controller.applications[name] = ApplicationRecord(
            name, dict(peers or {}), dict(config or {})
        )
        for endpoint in sorted(peers or {}):
            identifier = len(controller.relations)
            controller.relations[identifier] = RelationRecord(identifier, {name: endpoint})
        application = Application(self, name, charm)
        self.applications[name] = application
        for _ in range(units):
            application.add_unit()
        self.chaos.watch_application(name)
        return application

    def relate(self, first: tuple[str, str], second: tuple[str, str]) -> str:
        """Relate two (application, endpoint) pairs; returns the relation's name at the first."""
        controller = self.world.controller
        identifier = len(controller.relations)
        relation = RelationRecord(identifier, dict((first, second)))
        controller.relations[identifier] = relation
        for agent in self.world.agents.values():
            if agent.application in relation.endpoints:
                agent.notify(f"relation {identifier}")
        return relation.name_for(first[0])

    def add_secret(self, *applications: str, **content: str) -> SecretRecord:
        """Add a secret that these applications may read; its `uri` is what to pass on."""
        secrets = self.world.controller.secrets
        # As short as Juju's own, and as little to be guessed.
        secret = SecretRecord(f"{len(secrets) + 1:020x}", [content], set(applications))
        secrets[secret.identifier] = secret
        return secret

    def update_secret(self, secret: SecretRecord, **content: str) -> None:
        """Give a secret another content; units that have read it run secret-changed."""
        self.world.controller.update_secret(secret, content)

    def unit(self, name: str) -> Unit:
        """One unit by its name."""
        if name not in self.world.agents:
            raise KeyError(f"no unit {name!r}; there are {sorted(self.world.agents)}")
        return Unit(self, name)

    def units(self) -> list[Unit]:
        """All units that have not been removed."""
        return [Unit(self, name) for name in self.world.agents]

    def leader(self, application: str) -> str | None:
        """Return the unit that holds an application's lease now."""
        return self.world.controller.leader_of(application)

    @property
    def now(self) -> float:
        """Virtual seconds since the model began."""
        return self.world.scheduler.now

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Every hook tool call so far."""
        return self.world.records.tool_calls

    @property
    def hooks_run(self) -> list[HookRecord]:
        """Every hook, action and command so far."""
        return self.world.records.hooks_run

    @property
    def work(self) -> list[WorkInterval]:
        """Every piece of guarded work so far."""
        return self.world.records.work

    @property
    def counters(self) -> Counter[str]:
        """Hooks per unit, faults by kind, tool calls, leader changes, controller writes, events."""
        counted = Counter(self.world.records.counters)
        counted["controller writes"] = self.world.controller.writes
        counted["events"] = self.world.scheduler.events_run
        counted["hooks"] = len(self.hooks_run)
        return counted

    def most_at_once(self, name: str | None = None, application: str | None = None) -> int:
        """How many units did guarded work at one instant, at the most."""
        return self.world.records.most_at_once(name, application)

    def working(self, name: str | None = None) -> list[WorkInterval]:
        """Return the guarded work that is going on now."""
        return [item for item in self.world.records.open_work if name is None or item.name == name]

    def listen(self, event: str, listener: Listener) -> None:
        """Call `listener(record)` at each event; an exception it raises ends the run.

        Events: hook-start, hook-end, tool, work-start, work-end, leader, fault; and exec, with the
        name of a unit, when a real program calls `juju-exec` for it.
        """
        self.world.records.listen(event, listener)

    def history(self) -> list[str]:
        """Every operation so far as text."""
        return self.world.records.history()

    def digest(self) -> str:
        """Return a fingerprint of the history."""
        return self.world.records.digest()

    def run(self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0) -> None:
        """Let virtual time pass."""
        limit = self.now + seconds + minutes * 60 + hours * 3600
        self._run(limit, lambda: False)
        self.world.scheduler.now = max(self.now, limit)

    def run_until(self, predicate: Callable[[], bool], limit_seconds: float = 24 * 3600.0) -> bool:
        """Run until `predicate` holds; false if it does not within the limit."""
        return self._run(self.now + limit_seconds, predicate)

    def run_live(
        self,
        predicate: Callable[[], bool],
        real_seconds: float = 60.0,
        *,
        speed: float | None = None,
    ) -> bool:
        """Run until `predicate` holds, beside real programs that call `juju-exec` when they like.

        Virtual time passes `speed` times as fast as real time. By default it passes only while
        something is due that is no timer, so that no timer comes before a program that takes real
        time for what it does. False if `predicate` does not hold in time.
        """
        began, start = time.monotonic(), self.now
        scheduler = self.world.scheduler
        while time.monotonic() - began < real_seconds:
            if self.world.problems:
                raise self.world.problems.pop(0)
            if self.world.has_server:
                self.world.server.poll()
            if predicate():
                return True
            if speed is not None:
                scheduler.limit = start + (time.monotonic() - began) * speed
                while scheduler.step() and not self.world.problems:
                    pass
                self.world.scheduler.now = max(self.now, scheduler.limit)
                time.sleep(LOOK_SECONDS)
            elif scheduler.foreground:
                scheduler.limit = float("inf")
                scheduler.step()
            else:
                time.sleep(LOOK_SECONDS)
        return False

    def settle(self, limit_seconds: float = 24 * 3600.0) -> None:
        """Run until nothing but update-status is due and every application has a leader."""
        if not self._run(self.now + limit_seconds, self.settled):
            raise NotSettledError(f"not settled after {limit_seconds} s\n{self.describe()}")

    def settled(self) -> bool:
        """Whether nothing but timers is due and every application with a unit has a leader."""
        if self.world.scheduler.foreground:
            return False
        for agent in self.world.agents.values():
            if agent.operations.busy or (agent.up and agent.local.kind == "run-hook"):
                return False
            leader = self.world.agents.get(self.leader(agent.application) or "")
            working = leader is not None and leader.up and not leader.partitioned
            if agent.up and not agent.partitioned and not working:
                return False
        return True

    def heal(self) -> None:
        """Stop all faults, end partitions and start every agent that is down."""
        self.world.planner.active = False
        self.world.planner.script.clear()
        self.chaos.stop()
        for agent in list(self.world.agents.values()):
            agent.tracker.stalled = False
            agent.reconnect()
            if not agent.up:
                self.world.scheduler.after(1.0, agent.start)
            agent.tracker.attempt()
        self.world.records.operation(self.now, "model", "healed")

    def inject(self, fault: Scripted) -> None:
        """Let one fault happen at the first hook that matches it."""
        self.world.planner.script.append(fault)

    def hand_leadership(self, application: str, *units: str) -> None:
        """Let the lease pass to each of `units` in turn by keeping the others from renewing it.

        Each passing takes up to 60 s, since the holder's lease has to run out first.
        """
        self.chaos.hand_leadership(application, *units)

    def juju_exec(self, unit: str, command: str | HookFunction) -> Command:
        """Run a shell command, or a function, in a unit's context as `juju-exec -u` does."""
        request = Command(command)
        self.unit(unit).agent.add_command(request)
        return request

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a virtual time."""
        self.world.scheduler.at(time, action)

    def describe(self, lines: int = 40) -> str:
        """Return what a failing test should print: how to replay it, and what happened last."""
        records = self.world.records
        parts = [f"seed {self.seed}, Juju {self.version}, {self.faults}"]
        parts.append(f"faults fired: {len(records.faults_fired)}")
        parts += [f"  {fault}" for fault in records.faults_fired[-lines:]]
        parts.append(f"last {lines} operations:")
        parts += [f"  {operation}" for operation in records.operations[-lines:]]
        return "\n".join(parts)

    def _run(self, limit: float, done: Callable[[], bool]) -> bool:
        scheduler = self.world.scheduler
        scheduler.limit = limit
        while True:
            if self.world.problems:
                raise self.world.problems.pop(0)
            if self.world.has_server:
                self.world.server.poll()
            if done():
                return True
            if not scheduler.step():
                if self.world.problems:
                    continue
                return done()
