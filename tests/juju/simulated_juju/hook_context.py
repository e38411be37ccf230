"""What one hook sees and has changed so far.

Databag and state writes stay here until the hook has succeeded and are then committed together;
leader settings and statuses go out at once.
"""

from __future__ import annotations

from typing import Any

from .controller import (
    MAXIMUM_SETTINGS_BYTES,
    Controller,
    RefusedError,
    RelationRecord,
    settings_size,
)
from .leadership import LeadershipTracker
from .relation_state import HookInfo, RelationCache


class HookContext:
    """The settings, caches and answers of one hook, action or command."""

    def __init__(
        self,
        identifier: str,
        unit: str,
        info: HookInfo,
        controller: Controller,
        tracker: LeadershipTracker,
        caches: dict[int, RelationCache],
    ) -> None:
        self.identifier = identifier
        self.unit = unit
        self.application = unit.partition("/")[0]
        self.info = info
        self.controller = controller
        self.caches = caches
        self.closed = False
        self.deposed = False
        self.controller_reads = 0
        self.action_parameters: dict[str, Any] | None = None
        self.action_results: dict[str, Any] = {}
        self.action_failure: str | None = None
        self._tracker = tracker
        self._own: dict[int, dict[str, str]] = {}
        self._own_loaded: dict[int, set[str]] = {}
        self._application: dict[int, dict[str, str]] = {}
        self._application_loaded: dict[int, set[str]] = {}
        self._application_dirty: set[int] = set()
        self._state: dict[str, str] | None = None
        self._config: dict[str, Any] | None = None
        self._leader_settings: dict[str, str] | None = None

    def is_leader(self) -> bool:
        """Whether this unit leads; once false it stays false for the rest of the hook."""
        if not self.deposed and not self._tracker.check():
            self.deposed = True
        return not self.deposed

    def own_settings(self, relation: RelationRecord) -> dict[str, str]:
        """Return the own databag with the changes of this hook."""
        identifier = relation.identifier
        if identifier not in self._own:
            self.controller_reads += 1
            bag = relation.units.get(self.unit)
            self._own[identifier] = dict(bag.settings) if bag is not None else {}
            self._own_loaded[identifier] = set(self._own[identifier])
        return self._own[identifier]

    def application_settings(self, relation: RelationRecord) -> dict[str, str]:
        """Return the own application's databag with the changes of this hook."""
        identifier = relation.identifier
        if identifier not in self._application:
            self.controller_reads += 1
            bag = relation.applications.get(self.application)
            self._application[identifier] = dict(bag.settings) if bag is not None else {}
            self._application_loaded[identifier] = set(self._application[identifier])
        return self._application[identifier]

    def change_application(self, relation: RelationRecord, changes: dict[str, str]) -> None:
        """Buffer changes of the own application's databag."""
        apply(self.application_settings(relation), changes)
        self._application_loaded[relation.identifier] |= set(changes)
        self._application_dirty.add(relation.identifier)

    def change_unit(self, relation: RelationRecord, changes: dict[str, str]) -> None:
        """Buffer changes of this unit's databag."""
        apply(self.own_settings(relation), changes)
        self._own_loaded[relation.identifier] |= set(changes)

    def config(self) -> dict[str, Any]:
        """Return the application's options as they were when this hook first asked."""
        if self._config is None:
            self.controller_reads += 1
            self._config = dict(self.controller.applications[self.application].config)
        return self._config

    def leader_settings(self) -> dict[str, str]:
        """Leader settings as they were when this hook first asked, or after its own write."""
        if self._leader_settings is None:
            self.controller_reads += 1
            record = self.controller.applications[self.application]
            self._leader_settings = dict(record.leader_settings)
        return self._leader_settings

    def write_leader_settings(self, changes: dict[str, str]) -> None:
        """Write leader settings at once; a failing hook does not take them back."""
        if not self.is_leader():
            raise RefusedError(
                "cannot write leadership settings: cannot write settings: not the leader"
            )
        self.controller.write_leader_settings(self.unit, changes)
        self._leader_settings = None

    def state(self) -> dict[str, str]:
        """Return the unit's stored state with the changes of this hook."""
        if self._state is None:
            self.controller_reads += 1
            self._state = dict(self.controller.units[self.unit].state)
        return self._state

    def members(self, relation: RelationRecord) -> list[str]:
        """Return the remote units for which this unit has run -joined and not -departed."""
        cache = self.caches.get(relation.identifier)
        return cache.names() if cache is not None else []

    def peer_settings(self, relation: RelationRecord, unit: str) -> dict[str, str] | None:
        """Another unit's databag as this agent remembers it."""
        return self.caches.setdefault(relation.identifier, RelationCache()).settings(relation, unit)

    def remote_application_settings(
        self, relation: RelationRecord, application: str
    ) -> dict[str, str]:
        """Return an application's databag, read once per hook."""
        cache = self.caches.setdefault(relation.identifier, RelationCache())
        return cache.application_settings(relation, application)

    def flush(self) -> dict[int, bool]:
        """Commit all buffered changes in one transaction, or none of them.

        The application's databag goes out as this hook knows it, every key it had read: what
        another leader wrote meanwhile is overwritten. Returns, by relation, whether the
        application's databag changed.
        """
        controller = self.controller
        if self.unit not in controller.units or controller.units[self.unit].life == "dead":
            raise RefusedError(f'unit "{self.unit}" not found')
        for settings in (*self._own.values(), *self._application.values()):
            if settings_size(settings) > MAXIMUM_SETTINGS_BYTES:
                raise RefusedError("settings exceed the maximum size of a databag (16 MiB)")
        if self._application_dirty and controller.leader_of(self.application) != self.unit:
            raise RefusedError(f'unit "{self.unit}" is not leader of "{self.application}"')
        written = False
        changed: dict[int, bool] = {}
        for identifier, settings in self._own.items():
            final = final_settings(settings, self._own_loaded[identifier])
            relation = controller.relations[identifier]
            written = controller.write_unit_bag(relation, self.unit, final) or written
        for identifier in sorted(self._application_dirty):
            final = final_settings(
                self._application[identifier], self._application_loaded[identifier]
            )
            relation = controller.relations[identifier]
            changed[identifier] = controller.write_application_bag(relation, self.unit, final)
            written = written or changed[identifier]
        if self._state is not None and self._state != controller.units[self.unit].state:
            controller.units[self.unit].state = dict(self._state)
            written = True
        controller.writes += int(written)
        return changed


def apply(settings: dict[str, str], changes: dict[str, str]) -> None:
    """Change settings in place; an empty value deletes its key."""
    for key, value in changes.items():
        if value == "":
            settings.pop(key, None)
        else:
            settings[key] = value


def final_settings(settings: dict[str, str], known: set[str]) -> dict[str, str]:
    """Return the whole map to send; known keys that are gone are empty, which deletes them."""
    return {**dict.fromkeys(sorted(known - settings.keys()), ""), **settings}
