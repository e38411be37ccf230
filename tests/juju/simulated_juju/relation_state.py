"""What one unit's agent knows of its relations, and which relation hook it runs next.

Three views that differ on purpose: the controller's truth, the snapshot the watchers have
delivered so far, and the versions for which hooks have run. Settings of peers are remembered
across hooks, so a hook may read an older databag than the controller holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .controller import RelationRecord


@dataclass(frozen=True, slots=True)
class HookInfo:
    """Which hook to run, and for relation hooks about whom."""

    kind: str
    relation: int = -1
    endpoint: str = ""
    remote_unit: str = ""
    remote_application: str = ""
    departing_unit: str = ""
    version: int = 0
    secret: str = ""

    @property
    def name(self) -> str:
        """The name of the hook's file."""
        return f"{self.endpoint}-{self.kind}" if self.endpoint else self.kind

    @property
    def relation_name(self) -> str:
        """The relation's name as hook tools write it; empty outside relation hooks."""
        return f"{self.endpoint}:{self.relation}" if self.endpoint else ""


@dataclass
class LocalRelation:
    """For whom hooks have run, and at which version: kept across agent restarts."""

    members: dict[str, int] = field(default_factory=dict)
    applications: dict[str, int] = field(default_factory=dict)
    changed_pending: str = ""
    created: bool = False
    entered: bool = False
    broken: bool = False

    def commit(self, info: HookInfo) -> None:
        """Note that the hook has run and its changes are stored."""
        if info.kind == "relation-created":
            self.created = True
        elif info.kind == "relation-joined":
            self.members[info.remote_unit] = info.version
            self.changed_pending = info.remote_unit
        elif info.kind == "relation-changed":
            if info.remote_unit:
                self.members[info.remote_unit] = info.version
                if self.changed_pending == info.remote_unit:
                    self.changed_pending = ""
            else:
                self.applications[info.remote_application] = info.version
        elif info.kind == "relation-departed":
            self.members.pop(info.remote_unit, None)
            if self.changed_pending == info.remote_unit:
                self.changed_pending = ""
        elif info.kind == "relation-broken":
            self.broken = True


@dataclass
class RelationSnapshot:
    """What the watchers have told the agent about a relation."""

    members: dict[str, int] = field(default_factory=dict)
    applications: dict[str, int] = field(default_factory=dict)
    departing: frozenset[str] = frozenset()

    @classmethod
    def of(cls, relation: RelationRecord, unit: str) -> RelationSnapshot:
        """Return the controller's present state as this unit's watchers would report it."""
        application = relation.remote_application(unit.partition("/")[0])
        bag = relation.applications.get(application)
        versions = {application: bag.version} if bag is not None else {}
        return cls(relation.visible_to(unit), versions, frozenset(relation.departing))


class RelationCache:
    """Settings an agent has read, for as long as the agent lives.

    A member's settings are read once and kept until a hook for that very member; those of
    applications and of units that are no members are dropped before each hook.
    """

    def __init__(self) -> None:
        self.members: dict[str, dict[str, str] | None] = {}
        self.others: dict[str, dict[str, str]] = {}

    def prune(self, members: Iterable[str]) -> None:
        """Keep what is known of present members and forget all else."""
        self.members = {name: self.members.get(name) for name in members}
        self.others = {}

    def invalidate(self, member: str) -> None:
        """Read this member's settings anew when they are next asked for."""
        self.members[member] = None
        self.others.pop(member, None)

    def remove(self, member: str) -> None:
        """Forget a member that has departed."""
        self.members.pop(member, None)

    def names(self) -> list[str]:
        """Return the members a hook sees, sorted as strings."""
        return sorted(self.members)

    def settings(self, relation: RelationRecord, unit: str) -> dict[str, str] | None:
        """Return a peer's settings, from memory if read before; None if it never had any."""
        known = self.members.get(unit) if unit in self.members else self.others.get(unit)
        if known is not None:
            return known
        bag = relation.units.get(unit)
        if bag is None:
            return None
        read = dict(bag.settings)
        if unit in self.members:
            self.members[unit] = read
        else:
            self.others[unit] = read
        return read

    def application_settings(self, relation: RelationRecord, application: str) -> dict[str, str]:
        """Return an application's settings, read from the controller once per hook."""
        key = f"application {application}"
        if key not in self.others:
            bag = relation.applications.get(application)
            self.others[key] = dict(bag.settings) if bag is not None else {}
        return self.others[key]


def next_relation_hook(
    relation: RelationRecord,
    endpoint: str,
    local: LocalRelation,
    remote: RelationSnapshot,
    *,
    unit: str,
    dying: bool,
    peer_broken: bool,
) -> HookInfo | None:
    """Return the next hook of one relation, or None when the agent is up to date with it."""
    application = relation.remote_application(unit.partition("/")[0])

    def hook(kind: str, other: str = "", version: int = 0, departing: str = "") -> HookInfo:
        of = other.partition("/")[0] if other else application
        return HookInfo(kind, relation.identifier, endpoint, other, of, departing, version)

    seen = {} if dying else remote.members
    pending = local.changed_pending
    if pending and pending in seen:
        return hook("relation-changed", pending, seen[pending])
    for other in sorted(local.members):
        if other not in seen:
            departing = unit if dying else (other if other in remote.departing else "")
            return hook("relation-departed", other, departing=departing)
    if dying:
        if not local.broken and (peer_broken or not relation.is_peer):
            return hook("relation-broken")
        return None
    for name, version in sorted(remote.applications.items()):
        if local.applications.get(name, 0) < version:
            return hook("relation-changed", version=version)
    for other in sorted(seen):
        if other not in local.members:
            return hook("relation-joined", other, seen[other])
    for other in sorted(seen):
        if local.members[other] != seen[other]:
            return hook("relation-changed", other, seen[other])
    return None
