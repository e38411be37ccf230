"""The controller's state: applications, units, relations, databags, settings and leases.

Every change goes through a method here, which counts controller writes and tells the watchers;
a write that changes nothing makes no event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAXIMUM_SETTINGS_BYTES = 16 * 1024 * 1024
LEASE_SECONDS = 60.0
INSTALLING = "installing agent"


class RefusedError(Exception):
    """The controller refuses a change; the message is what a hook tool would print."""


@dataclass(slots=True)
class Lease:
    """Who leads an application, and until when."""

    holder: str | None = None
    expires: float = 0.0
    changes: int = 0


@dataclass
class ApplicationRecord:
    """An application as the controller knows it."""

    name: str
    peers: dict[str, str]
    config: dict[str, Any]
    config_version: int = 1
    leader_settings: dict[str, str] = field(default_factory=dict)
    leader_settings_version: int = 1
    lease: Lease = field(default_factory=Lease)
    next_unit: int = 0
    status: str = ""


@dataclass
class UnitRecord:
    """A unit as the controller knows it; `life` is alive, dying or dead."""

    name: str
    application: str
    machine: str
    number: int
    life: str = "alive"
    status: str = "waiting"
    message: str = INSTALLING
    since: float = 0.0
    in_error: bool = False
    state: dict[str, str] = field(default_factory=dict)
    charm_version: int = 1

    @property
    def address(self) -> str:
        """The unit's only address."""
        return f"10.0.{self.number // 250}.{self.number % 250 + 1}"


@dataclass
class SecretRecord:
    """A secret: its contents one after the other, who may read them, and which one a unit reads."""

    identifier: str
    revisions: list[dict[str, str]]
    granted: set[str] = field(default_factory=set)
    tracked: dict[str, int] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """What stands in databags and options in place of the secret."""
        return f"secret:{self.identifier}"


@dataclass
class Bag:
    """One databag and the version that watchers compare."""

    settings: dict[str, str] = field(default_factory=dict)
    version: int = 0


@dataclass
class RelationRecord:
    """A relation between applications; one application for a peer relation."""

    identifier: int
    endpoints: dict[str, str]
    units: dict[str, Bag] = field(default_factory=dict)
    applications: dict[str, Bag] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    departing: set[str] = field(default_factory=set)

    @property
    def is_peer(self) -> bool:
        """Whether the relation joins an application's units with each other."""
        return len(self.endpoints) == 1

    def name_for(self, application: str) -> str:
        """Return the relation's name as seen by `application`, such as `coordinator:0`."""
        return f"{self.endpoints[application]}:{self.identifier}"

    def remote_application(self, application: str) -> str:
        """Return the application at the other end; the same one for a peer relation."""
        for other in self.endpoints:
            if other != application:
                return other
        return application

    def visible_to(self, unit: str) -> dict[str, int]:
        """Return the units in scope that `unit` watches, with the version of each one's databag."""
        application = unit.partition("/")[0]
        remote = self.remote_application(application)
        return {
            other: self.units[other].version
            for other in self.members
            if other != unit and other not in self.departing and other.partition("/")[0] == remote
        }


Notify = Callable[[str, str], None]


class Controller:
    """All that is stored centrally. `notify(unit, kind)` is told what each unit's agent watches."""

    def __init__(self, notify: Notify, clock: Callable[[], float], self_app_bag_event: bool):
        self.applications: dict[str, ApplicationRecord] = {}
        self.units: dict[str, UnitRecord] = {}
        self.relations: dict[int, RelationRecord] = {}
        self.secrets: dict[str, SecretRecord] = {}
        self.writes = 0
        self._notify = notify
        self._clock = clock
        self._self_app_bag_event = self_app_bag_event

    def units_of(self, application: str) -> list[UnitRecord]:
        """Return the units of an application, dead ones too, by number."""
        return [unit for unit in self.units.values() if unit.application == application]

    def relations_of(self, application: str) -> list[RelationRecord]:
        """Return the relations in which an application takes part."""
        return [item for item in self.relations.values() if application in item.endpoints]

    def relation_named(self, unit: str, name: str) -> RelationRecord | None:
        """Return the relation a unit calls `name` (`coordinator:0`, or just the number)."""
        number = name.rpartition(":")[2]
        if not number.isdecimal():
            return None
        relation = self.relations.get(int(number))
        if relation is None or unit.partition("/")[0] not in relation.endpoints:
            return None
        prefix = name.rpartition(":")[0]
        if prefix and relation.endpoints[unit.partition("/")[0]] != prefix:
            return None
        return relation

    def leader_of(self, application: str) -> str | None:
        """Who holds the lease now; nobody once it has run out."""
        lease = self.applications[application].lease
        return lease.holder if lease.holder and lease.expires > self._clock() else None

    def claim(self, unit: str) -> bool:
        """Claim or extend the leadership lease for its full length."""
        lease = self.applications[unit.partition("/")[0]].lease
        if self.leader_of(unit.partition("/")[0]) not in (None, unit):
            return False
        if lease.holder != unit:
            lease.changes += 1
        lease.holder = unit
        lease.expires = self._clock() + LEASE_SECONDS
        return True

    def enter_scope(self, relation: RelationRecord, unit: str) -> None:
        """Make a unit visible to the other end, with the addresses Juju itself publishes."""
        address = self.units[unit].address
        bag = relation.units.setdefault(unit, Bag())
        bag.settings.update(
            {
                "egress-subnets": f"{address}/32",
                "ingress-address": address,
                "private-address": address,
            }
        )
        bag.version += 1
        relation.members.add(unit)
        self.writes += 1
        self._tell_others(relation, unit)

    def prepare_to_leave(self, relation: RelationRecord, unit: str) -> None:
        """Let others see a unit as departed while its settings stay readable."""
        if unit in relation.members and unit not in relation.departing:
            relation.departing.add(unit)
            self.writes += 1
            self._tell_others(relation, unit)

    def leave_scope(self, relation: RelationRecord, unit: str) -> None:
        """Take a unit out of a relation; its settings stay readable for the relation's life."""
        if unit in relation.members:
            relation.members.discard(unit)
            self.writes += 1
            self._tell_others(relation, unit)

    def write_unit_bag(
        self, relation: RelationRecord, unit: str, changes: Mapping[str, str]
    ) -> bool:
        """Set and delete keys (empty value) of a unit's databag; true if anything changed."""
        bag = relation.units.setdefault(unit, Bag())
        if not merge(bag.settings, changes):
            return False
        bag.version += 1
        self._tell_others(relation, unit)
        return True

    def write_application_bag(
        self, relation: RelationRecord, unit: str, changes: Mapping[str, str]
    ) -> bool:
        """Set and delete keys of an application's databag on behalf of its leader."""
        application = unit.partition("/")[0]
        bag = relation.applications.setdefault(application, Bag())
        if not merge(bag.settings, changes):
            return False
        bag.version += 1
        for other in self.units.values():
            if other.application not in relation.endpoints or other.life == "dead":
                continue
            if other.application == application and not relation.is_peer:
                continue
            if other.name == unit and not self._self_app_bag_event:
                continue
            self._notify(other.name, f"relation {relation.identifier}")
        return True

    def write_leader_settings(self, unit: str, changes: Mapping[str, str]) -> None:
        """Merge leader settings at once; only the holder of the lease may."""
        application = self.applications[unit.partition("/")[0]]
        if self.leader_of(application.name) != unit:
            raise RefusedError(
                "cannot write leadership settings: cannot write settings: not the leader"
            )
        self.writes += 1
        if merge(application.leader_settings, changes):
            application.leader_settings_version += 1
            for other in self.units_of(application.name):
                self._notify(other.name, "leader-settings")

    def set_config(self, application: str, changes: Mapping[str, Any]) -> None:
        """Change an application's options."""
        record = self.applications[application]
        if any(record.config.get(key) != value for key, value in changes.items()):
            record.config.update(changes)
            record.config_version += 1
            for unit in self.units_of(application):
                self._notify(unit.name, "config")

    def update_secret(self, secret: SecretRecord, content: Mapping[str, str]) -> None:
        """Add a revision, of which the units hear that have read an earlier one."""
        secret.revisions.append(dict(content))
        self.writes += 1
        for unit in secret.tracked:
            self._notify(unit, "secrets")

    def secrets_behind(self, unit: str) -> dict[str, int]:
        """Return the secrets that a unit has read and that have changed since, each's revision."""
        newest = {name: len(secret.revisions) for name, secret in self.secrets.items()}
        read = {name: secret.tracked.get(unit) for name, secret in self.secrets.items()}
        return {name: newest[name] for name, own in read.items() if own and own < newest[name]}

    def set_status(self, unit: str, status: str, message: str) -> None:
        """Set a unit's workload status at once."""
        record = self.units[unit]
        record.status, record.message, record.since = status, message, self._clock()
        self.writes += 1

    def _tell_others(self, relation: RelationRecord, unit: str) -> None:
        application = unit.partition("/")[0]
        for other in self.units.values():
            if (
                other.name != unit
                and other.life != "dead"
                and other.application in relation.endpoints
                and relation.remote_application(other.application) == application
            ):
                self._notify(other.name, f"relation {relation.identifier}")


def merge(settings: dict[str, str], changes: Mapping[str, str]) -> bool:
    """Apply changes, an empty value deleting its key; true if anything is different."""
    changed = False
    for key, value in changes.items():
        if value == "":
            changed = settings.pop(key, None) is not None or changed
        elif settings.get(key) != value:
            settings[key] = value
            changed = True
    return changed


def settings_size(settings: Mapping[str, str]) -> int:
    """How many bytes a databag counts against its limit."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in settings.items())
