"""Coordinators that were written for charmhelpers."""

from __future__ import annotations

import sys
from typing import Any

from coordinator.exceptions import Invalid
from coordinator.juju.base import Engine, Serial

__all__ = ["adapt"]

_adapted: dict[type, type] = {}


def adapt(kind: Any) -> type:
    """Return the class to instantiate for the coordinator class ``kind``.

    One of this package comes back as it is. ``charmhelpers.coordinator.Serial`` becomes
    :class:`Serial`. Another subclass of charmhelpers' ``BaseCoordinator`` keeps its policy and
    whatever else it overrides, while locks are requested, granted and released by this package.

    Raises:
        Invalid: ``kind`` is no coordinator class.

    """
    if isinstance(kind, type) and issubclass(kind, Engine):
        return kind
    theirs = sys.modules.get("charmhelpers.coordinator")
    if theirs is None or not isinstance(kind, type) or not issubclass(kind, theirs.BaseCoordinator):
        raise Invalid(
            f"{kind!r} is no coordinator class: "
            "derive it from coordinator.juju.BaseCoordinator, Serial or SimpleCoordinator"
        )
    if kind is theirs.Serial:
        return Serial
    if kind not in _adapted:
        # In the order of method resolution the engine comes behind all classes of the charm, and
        # before charmhelpers' own base, which it replaces also for calls through super().
        engine = type("AdaptedEngine", (_Adapted, theirs.BaseCoordinator), {"__module__": __name__})
        _adapted[kind] = type(kind)(kind.__name__, (kind, engine), {"__module__": __name__})
    return _adapted[kind]


class _Adapted(Engine):
    """The engine, with the hooks into charmhelpers' life cycle that its subclasses may override."""

    def finish(self) -> None:
        self._release_granted()
        self._save_state()

    def _release_granted(self) -> None:
        self._close()

    def _save_state(self) -> None:
        self._publish()
