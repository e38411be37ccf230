"""Which operation a unit's agent does next: Juju's order, looked up between every two operations.

relation-created, leadership, secrets, actions, commands, a hook that failed or was queued, install,
charm upgrade, config-changed, relations, and update-status if there is nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .charms import HookFunction
from .controller import Controller
from .relation_state import HookInfo, LocalRelation, RelationSnapshot, next_relation_hook


@dataclass
class Action:
    """An action asked of a unit; `status` is pending, running, completed or failed."""

    name: str
    parameters: dict[str, Any]
    identifier: str
    status: str = "pending"
    results: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    code: int | None = None


@dataclass
class Command:
    """A juju-exec command; `code` is None until it has run."""

    command: str | HookFunction
    code: int | None = None
    output: str = ""
    finished: Callable[[Command], None] | None = None

    def finish(self, code: int, output: str) -> None:
        """Note the outcome and tell whoever waits for it."""
        self.code, self.output = code, output
        if self.finished is not None:
            self.finished(self)


@dataclass
class LocalState:
    """What an agent keeps on disk. `step` says how far the hook in `hook` has come."""

    installed: bool = False
    started: bool = False
    stopped: bool = False
    removed: bool = False
    leader: bool = False
    kind: str = "continue"
    step: str = ""
    hook: HookInfo | None = None
    config_version: int = 0
    charm_version: int = 1
    secrets: dict[str, int] = field(default_factory=dict)
    relations: dict[int, LocalRelation] = field(default_factory=dict)

    def queue(self, hook: HookInfo) -> None:
        """Run this hook before anything of lower rank."""
        self.kind, self.step, self.hook = "run-hook", "queued", hook

    def clear(self) -> None:
        """Note that the hook is done."""
        self.kind, self.step, self.hook = "continue", "", None


@dataclass
class RemoteState:
    """What the watchers have told an agent since it started."""

    ready: bool = False
    config_version: int = 0
    charm_version: int = 1
    leader_settings_version: int = 0
    leader_settings_seen: int = 0
    dying: bool = False
    secrets: dict[str, int] = field(default_factory=dict)
    relations: dict[int, RelationSnapshot] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    resolved: str = ""
    retry_due: bool = False
    update_status_due: bool = False


@dataclass(frozen=True)
class Operation:
    """One thing for the agent to do."""

    kind: str
    hook: HookInfo | None = None
    action: Action | None = None
    command: Command | None = None


def next_operation(
    unit: str,
    local: LocalState,
    remote: RemoteState,
    *,
    leads: bool,
    controller: Controller,
    major: int,
    peer_broken: bool,
    chance: random.Random,
) -> Operation | None:
    """Return what to do next, or None if the agent is up to date."""
    if not remote.ready or local.removed:
        return None
    idle = local.kind == "continue"
    if local.installed and idle:
        created = next_created(unit, local, controller)
        if created is not None and not remote.dying:
            return Operation("hook", created)
        if leads and not local.leader and not remote.dying:
            return Operation("accept-leadership")
    if local.leader and (not leads or remote.dying):
        return Operation("resign-leadership")
    version = remote.leader_settings_version
    news = major < 4 and version != remote.leader_settings_seen
    if local.installed and idle and news and not local.leader and not remote.dying:
        return Operation("hook", HookInfo("leader-settings-changed", version=version))
    if local.started and idle and not remote.dying:
        for secret, revision in sorted(remote.secrets.items()):
            if local.secrets.get(secret, 0) < revision:
                hook = HookInfo("secret-changed", secret=secret, version=revision)
                return Operation("hook", hook)
    if local.installed and remote.actions and (idle or local.step == "pending"):
        return Operation("action", action=remote.actions[0])
    if local.installed and remote.commands:
        return Operation("command", command=remote.commands[0])
    if local.kind == "run-hook":
        return next_unfinished(local, remote)
    if not local.installed:
        return Operation("hook", HookInfo("install"))
    return next_hook(
        unit, local, remote, controller=controller, peer_broken=peer_broken, chance=chance
    )


def next_unfinished(local: LocalState, remote: RemoteState) -> Operation | None:
    """Return what to do about a hook that was queued, or that failed and waits for its retry."""
    if local.step == "queued":
        return Operation("hook", local.hook)
    if remote.resolved == "no-retry":
        return Operation("skip-hook", local.hook)
    if remote.resolved == "retry" or remote.retry_due:
        return Operation("hook", local.hook)
    return None


def next_created(unit: str, local: LocalState, controller: Controller) -> HookInfo | None:
    """Return the relation-created hook of a relation the unit has just entered."""
    application = unit.partition("/")[0]
    for relation in controller.relations_of(application):
        known = local.relations.get(relation.identifier)
        if known is not None and not known.created:
            remote_application = relation.remote_application(application)
            return HookInfo(
                "relation-created",
                relation.identifier,
                relation.endpoints[application],
                remote_application=remote_application,
            )
    return None


def next_hook(
    unit: str,
    local: LocalState,
    remote: RemoteState,
    *,
    controller: Controller,
    peer_broken: bool,
    chance: random.Random,
) -> Operation | None:
    """Return the hook of lowest rank that is due on a unit in good order."""
    if not remote.dying:
        if remote.charm_version != local.charm_version:
            return Operation("upgrade")
        if remote.config_version != local.config_version:
            return Operation("hook", HookInfo("config-changed", version=remote.config_version))
    relations = list(remote.relations)
    # Juju walks a map here: which relation comes first is chance.
    if len(relations) > 1:
        chance.shuffle(relations)
    for identifier in relations:
        known = local.relations.get(identifier)
        if known is None or not known.created:
            continue
        relation = controller.relations[identifier]
        hook = next_relation_hook(
            relation,
            relation.endpoints[unit.partition("/")[0]],
            known,
            remote.relations[identifier],
            unit=unit,
            dying=remote.dying,
            peer_broken=peer_broken,
        )
        if hook is not None:
            return Operation("hook", hook)
    if remote.dying:
        if not local.stopped:
            return Operation("hook", HookInfo("stop"))
        return Operation("hook", HookInfo("remove"))
    if remote.update_status_due and local.started:
        return Operation("hook", HookInfo("update-status"))
    return None
