"""Runs one operation of an agent from machine lock to local state, with every place to die in.

prepare, run, commit to the controller, write local state: a crash between two of these leaves
what the earlier ones did, which is why a hook may run twice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from .charms import Charm, FunctionCharm
from .controller import INSTALLING, RefusedError
from .environment import Surroundings, hook_environment
from .execution import Execution
from .faults import HookPlan
from .hook_context import HookContext
from .records import HookRecord
from .relation_state import HookInfo, LocalRelation, RelationCache
from .resolver import Action, Command, Operation

if TYPE_CHECKING:
    from .agent import UnitAgent

Ended = Callable[[int, bool], None]


class OperationRunner:
    """At most one operation of one unit."""

    def __init__(self, agent: UnitAgent) -> None:
        self.agent = agent
        self.world = agent.world
        self.busy = False
        self.execution: Execution | None = None
        self._plan = HookPlan()
        self._lost: Callable[[], None] = nothing

    def begin(self, operation: Operation) -> None:
        """Do an operation; `busy` until it is over."""
        agent = self.agent
        if operation.kind == "accept-leadership":
            agent.local.leader = True
            agent.local.queue(HookInfo("leader-elected"))
            agent.note("accepts leadership")
            agent.wake()
        elif operation.kind == "resign-leadership":
            agent.local.leader = False
            agent.note("resigns leadership")
            agent.wake()
        elif operation.kind == "skip-hook":
            assert operation.hook is not None
            agent.note(f"skips {operation.hook.name}")
            self._commit_local(operation.hook)
        elif operation.kind == "upgrade":
            self._upgrade()
        else:
            self.busy = True
            lock = self.world.machine(agent.machine)
            lock.acquire(self, lambda: self._prepare_soon(operation))

    def abandon(self) -> None:
        """Kill what runs and let go of the machine: the agent has died."""
        if self.execution is not None:
            self.execution.kill()
            self._close(self.execution.record, "agent lost", None)
            self._lost()
        self.execution = None
        self.busy = False
        if self.agent.name in self.world.controller.units:
            self.world.machine(self.agent.machine).release(self)

    def _prepare_soon(self, operation: Operation) -> None:
        self.agent.later(self.world.chance.uniform(0.005, 0.05), lambda: self._prepare(operation))

    def _prepare(self, operation: Operation) -> None:
        agent = self.agent
        if agent.partitioned:
            self._release()
            return
        if operation.hook is not None:
            self._prepare_hook(operation.hook)
        elif operation.action is not None:
            self._prepare_action(operation.action)
        elif operation.command is not None:
            self._prepare_command(operation.command)

    def _prepare_hook(self, info: HookInfo) -> None:
        agent = self.agent
        if info.kind == "leader-elected" and not agent.tracker.check():
            agent.note("skips leader-elected: leadership is gone")
            agent.local.clear()
            self._release()
            return
        agent.local.kind, agent.local.step, agent.local.hook = "run-hook", "pending", info
        self._lost = nothing
        self._plan = self.world.planner.plan(agent.name, info.name)
        if self._plan.agent_kill == "before_exec":
            self._crash("agent-kill-before-exec")
            return
        context = self._context(info, info.name)
        if info.relation >= 0:
            cache = self._cache(info.relation)
            if info.kind == "relation-departed":
                cache.remove(info.remote_unit)
            elif info.remote_unit:
                cache.invalidate(info.remote_unit)
        path = f"hooks/{info.name}"
        record = HookRecord(
            agent.name,
            info.name,
            context.identifier,
            self.world.scheduler.now,
            relation_id=info.relation_name,
            remote_unit=info.remote_unit,
            remote_application=info.remote_application,
            departing_unit=info.departing_unit,
        )
        self._run(context, record, path, lambda code, killed: self._hook_ended(info, code, killed))

    def _prepare_action(self, action: Action) -> None:
        agent = self.agent
        action.status = "running"
        self._lost = partial(lose_action, action)
        agent.refresh("actions")
        self._plan = HookPlan()
        context = self._context(HookInfo(action.name), action.name)
        context.action_parameters = action.parameters
        record = HookRecord(
            agent.name, action.name, context.identifier, self.world.scheduler.now, kind="action"
        )

        def ended(code: int, killed: bool) -> None:
            failure = context.action_failure
            refusal = "" if killed else self._flush(context)
            action.code, action.results = code, context.action_results
            action.status = "failed" if code or failure is not None or refusal else "completed"
            action.message = failure or refusal or ("exit status " + str(code) if code else "")
            self._close(record, "failed" if action.status == "failed" else "ok", code)
            self._release()

        variables = {
            "JUJU_ACTION_NAME": action.name,
            "JUJU_ACTION_TAG": f"action-{action.identifier}",
            "JUJU_ACTION_UUID": action.identifier,
        }
        self._run(context, record, f"actions/{action.name}", ended, variables=variables)

    def _prepare_command(self, command: Command) -> None:
        agent = self.agent
        if command in agent.remote.commands:
            agent.remote.commands.remove(command)
        self._lost = partial(command.finish, 1, "the agent stopped while the command ran")
        self._plan = HookPlan()
        context = self._context(HookInfo("run-commands"), "run-commands", bits=128)
        record = HookRecord(
            agent.name, "run-commands", context.identifier, self.world.scheduler.now, kind="command"
        )

        def ended(code: int, killed: bool) -> None:
            # Changes are stored whatever the exit code: to Juju only a lost process is an error.
            refusal = "" if killed else self._flush(context)
            self._close(record, "failed" if code or refusal else "ok", code)
            command.finish(code or int(bool(refusal)), record.output or refusal)
            self._release()

        charm: Charm | None = None
        text: str | None = None
        if isinstance(command.command, str):
            text = command.command
        else:
            own = agent.charm
            swap = own if isinstance(own, FunctionCharm) else FunctionCharm(command.command)
            charm = FunctionCharm(command.command, swap.enter, swap.leave)
        self._run(context, record, None, ended, charm=charm, command=text)

    def _context(self, info: HookInfo, name: str, *, bits: int = 64) -> HookContext:
        agent = self.agent
        for identifier, known in agent.local.relations.items():
            self._cache(identifier).prune(known.members)
        token = f"{self.world.chance.getrandbits(bits):0{bits // 4}x}"
        return HookContext(
            f"{agent.name}-{name}-{token}",
            agent.name,
            info,
            self.world.controller,
            agent.tracker,
            agent.caches,
        )

    def _cache(self, relation: int) -> RelationCache:
        return self.agent.caches.setdefault(relation, RelationCache())

    def _run(
        self,
        context: HookContext,
        record: HookRecord,
        path: str | None,
        ended: Ended,
        *,
        charm: Charm | None = None,
        command: str | None = None,
        variables: dict[str, str] | None = None,
    ) -> None:
        agent, world = self.agent, self.world
        chosen: Charm = charm or agent.charm
        if command is not None:
            from .charms import DirectoryCharm

            chosen = DirectoryCharm(agent.charm_dir)
        real = not isinstance(chosen, FunctionCharm)
        surroundings = Surroundings(
            version=world.version,
            machine=agent.machine,
            kubernetes=world.kubernetes,
            charm_dir=str(agent.charm_dir),
            tools_dir=str(world.server.tools_dir(agent.name)) if real else "",
            socket=str(world.server.socket_path(agent.name)) if real else "",
            clock_offset=agent.clock_offset,
            epoch=world.epoch,
        )
        environment = hook_environment(
            context, surroundings, now=world.scheduler.now, dispatch_path=path
        )
        environment.update(variables or {})
        execution = Execution(
            world,
            context,
            record,
            environment,
            agent.charm_dir,
            plan=self._plan,
            clock_offset=agent.clock_offset,
            cut_off=lambda: agent.partitioned,
            ended=ended,
            command=command,
        )
        self.execution = execution
        world.records.hooks_run.append(record)
        world.records.counters[f"hooks {agent.name}"] += 1
        about = f" ({record.remote_unit or record.remote_application})" if path else ""
        agent.note(f"{record.kind} {record.hook}{about} starts")
        world.records.tell("hook-start", record)
        if path is not None and not chosen.handles(agent.charm_dir, path):
            agent.later(0.0, lambda: ended(0, False))
            return
        delay = world.between(world.hook_start_seconds)
        agent.later(delay, lambda: execution.begin(chosen))

    def _hook_ended(self, info: HookInfo, code: int, killed: bool) -> None:
        agent = self.agent
        if killed:
            self._finish_record("killed", code)
            agent.local.step = "queued"
            self._release()
        elif code != 0:
            self._finish_record("failed", code)
            self._hook_failed()
        else:
            agent.later(self.world.chance.uniform(0.005, 0.03), lambda: self._commit(info))

    def _commit(self, info: HookInfo) -> None:
        assert self.execution is not None
        if self._plan.agent_kill == "after_exec":
            self._crash("agent-kill-after-exec")
            return
        if self._plan.commit_fails:
            self.world.records.fault(
                self.world.scheduler.now, self.agent.name, f"commit-failure: {info.name}"
            )
            refusal = "the controller refused the transaction"
        else:
            refusal = self._flush(self.execution.context)
        if refusal:
            self._finish_record("commit failed", 0)
            self._hook_failed()
            return
        if self._plan.agent_kill == "after_commit":
            self._crash("agent-kill-after-commit")
            return
        self._finish_record("ok", 0)
        self._commit_local(info)

    def _flush(self, context: HookContext) -> str:
        """Commit a context's changes; the reason if that is refused."""
        agent = self.agent
        context.closed = True
        if agent.partitioned:
            return "connection is shut down"
        try:
            changed = context.flush()
        except RefusedError as refused:
            return str(refused)
        for identifier, different in changed.items():
            relation = self.world.controller.relations[identifier]
            if different and relation.is_peer and not self.world.self_app_bag_event:
                known = agent.local.relations.setdefault(identifier, LocalRelation())
                version = relation.applications[agent.application].version
                known.applications[agent.application] = version
        return ""

    def _hook_failed(self) -> None:
        agent = self.agent
        record = self.world.controller.units.get(agent.name)
        if record is not None:
            record.in_error = True
        agent.retry_later()
        planner = self.world.planner
        skip = planner.faults.operator_skip
        if planner.active and skip and planner.chance.random() < skip:
            # Soon enough to come before most automatic retries.
            wait = planner.chance.uniform(0.5, 10.0)
            agent.later(wait, lambda: self.operator_skips())
        self._release()

    def operator_skips(self) -> None:
        """Let an operator give up on the failed hook, if it still is in error."""
        if self.agent.local.step == "pending" and not self.busy:
            self.world.records.fault(
                self.world.scheduler.now, self.agent.name, "operator-skip: resolved --no-retry"
            )
            self.agent.resolve(retry=False)

    def _commit_local(self, info: HookInfo) -> None:
        agent, local = self.agent, self.agent.local
        local.clear()
        if info.relation >= 0:
            local.relations.setdefault(info.relation, LocalRelation()).commit(info)
        elif info.kind == "install":
            local.installed = True
        elif info.kind == "config-changed":
            local.config_version = info.version
            if not local.started:
                local.queue(HookInfo("start"))
        elif info.kind == "start":
            local.started = True
            self._charm_runs()
        elif info.kind == "leader-settings-changed":
            agent.remote.leader_settings_seen = info.version
        elif info.kind == "secret-changed":
            local.secrets[info.secret] = info.version
        elif info.kind == "stop":
            local.stopped = True
        elif info.kind == "update-status":
            agent.update_status_done()
        agent.hook_succeeded()
        self._release()
        if info.kind == "remove":
            local.removed = True
            self.world.unit_dead(agent.name)

    def _charm_runs(self) -> None:
        # A charm that has set no status by now is one that never does.
        record = self.world.controller.units[self.agent.name]
        if record.message == INSTALLING:
            self.world.controller.set_status(self.agent.name, "unknown", "")

    def _upgrade(self) -> None:
        agent = self.agent
        agent.charm = agent.next_charm
        agent.charm.install(agent.charm_dir)
        agent.local.charm_version = agent.remote.charm_version
        agent.local.config_version = 0
        agent.local.queue(HookInfo("upgrade-charm"))
        agent.note("unpacks a new charm")
        agent.wake()

    def _crash(self, kind: str) -> None:
        self.world.records.fault(self.world.scheduler.now, self.agent.name, f"{kind}: agent")
        self.agent.stop(self._plan.restart_after)

    def _finish_record(self, outcome: str, code: int) -> None:
        if self.execution is not None:
            self._close(self.execution.record, outcome, code)

    def _close(self, record: HookRecord, outcome: str, code: int | None) -> None:
        if not record.outcome:
            record.outcome, record.code, record.end = outcome, code, self.world.scheduler.now
            self.agent.note(f"{record.kind} {record.hook} ends: {outcome}")
            self.world.records.tell("hook-end", record)

    def _release(self) -> None:
        self.execution = None
        self.busy = False
        if self.agent.name in self.world.controller.units:
            self.world.machine(self.agent.machine).release(self)
        self.agent.wake()


def nothing() -> None:
    """Do nothing: a hook leaves nothing else behind when its agent dies."""


def lose_action(action: Action) -> None:
    """Let an action fail whose agent died; it is not run again."""
    action.status, action.message = "failed", "action terminated"
