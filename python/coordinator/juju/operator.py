"""What an operator can see and do, for the charm's actions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from coordinator import Scope, _core, connect
from coordinator.exceptions import Invalid, Unavailable
from coordinator.juju import framework
from coordinator.juju.backend import Backend

__all__ = ["release_lock", "show_locks"]


def release_lock(
    unit: str,
    lock: str,
    reason: str,
    relation_name: str = "coordinator",
    relation_key: str = "coordinator",
    backend: Backend | None = None,
) -> str:
    """End the grant of ``lock`` to ``unit`` by an operator's word, and say what was done.

    For a holder that will never release: its machine is gone, or its hook fails for good. Whoever
    calls this vouches that the unit does no guarded work any more. The reason, the time and the
    void token are kept. Runs on the leader, also while the leader's hooks fail; in a scope, which
    ``backend`` leads to, on any unit, and for members of other models too, which are called like
    ``prod-3f2a91c0:kafka/3``.

    The next in line goes on. If ``unit`` comes back and still wants the lock, it asks anew.

    Raises:
        Invalid: no reason was given, or ``backend`` leads to another scope.
        NotHeld: ``unit`` has no grant of ``lock``.
        Unavailable: this unit is not the leader, a hook tool failed, or the store does not answer.

    """
    place = _on_the_relation(relation_name, relation_key)
    if place["scope"] is None:
        tokens = _core.release_lock(
            dict(os.environ),
            unit,
            lock,
            reason,
            framework.now_text(),
            key=relation_key,
            relation=relation_name,
            rules="custom",
            tools=framework.simulation.get("tools"),
        )
        void = ", ".join(map(str, tokens))
    else:
        own = _own(place)
        member = unit if ":" in unit else own + unit
        with _scope(place, backend) as scope:
            holders = scope.status()["holders"]
            scope.force_release(member, lock, reason)
        held = [held for held in holders if (held["member"], held["lock"]) == (member, lock)]
        void = ", ".join(str(held["token"]) for held in held)
    return f"{lock} is released from {unit}; token {void} is void"


def show_locks(
    relation_name: str = "coordinator",
    relation_key: str = "coordinator",
    backend: Backend | None = None,
) -> dict[str, Any]:
    """Return who leads, who holds, who waits and for whom, and what was forced or set aside.

    Keys: ``leader``; ``grants``, each with ``lock``, ``unit``, ``token``, ``since`` and
    ``waits_for`` (None for a holder); ``queue``; ``quarantined``, the reason by unit; ``forced``;
    ``scope``, in which the application coordinates if not over its peer relation. Then there is no
    leader, and units of other models have their model before them.

    Raises:
        Invalid: ``backend`` leads to another scope.
        Unavailable: a hook tool failed, or the store does not answer.

    """
    place = _on_the_relation(relation_name, relation_key)
    if place["scope"] is None:
        return {name: place[name] for name in place if name not in ("address", "model")}
    with _scope(place, backend) as scope:
        status, history = scope.status(), scope.history()
    own = _own(place)

    def as_row(row: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"lock": row["lock"], "unit": row["member"].removeprefix(own), **more}

    return {
        "leader": None,
        "grants": [
            as_row(row, token=row["token"], since=row["asked"], waits_for=None)
            for row in status["holders"]
        ],
        "queue": [as_row(row, since=row["asked"]) for row in status["queue"]],
        "quarantined": {},
        "forced": [
            as_row(row, token=row["token"], when=row["ended"], reason=row["reason"])
            for row in history
            if row["why"] == "forced"
        ],
        "scope": status["scope"],
    }


def _on_the_relation(name: str, key: str) -> dict[str, Any]:
    return _core.show_locks(
        dict(os.environ), key=key, relation=name, tools=framework.simulation.get("tools")
    )


def _own(place: dict[str, Any]) -> str:
    """Return what is before the names of this model's units in a scope."""
    return f"{place['model']}:" if place["model"] else ""


@contextmanager
def _scope(place: dict[str, Any], backend: Backend | None) -> Iterator[Scope]:
    where = f"the application coordinates in scope {place['scope']!r} of {place['address']}"
    if backend is None:
        raise Invalid(f"{where}, and this unit has no settings for that")
    if backend.missing:
        raise Unavailable(f"{where}: {backend.missing}")
    if backend.scope != place["scope"]:
        raise Invalid(f"{where}, and the settings of this unit lead to scope {backend.scope!r}")
    with connect(
        backend.url,
        identifier="operator",
        session_timeout=backend.session_timeout,
        connect_timeout=backend.connect_timeout,
        auth=backend.auth,
        default_acl=list(backend.default_acl) or None,
        tls=backend.tls,
    ) as client:
        yield client.scope(place["scope"])
