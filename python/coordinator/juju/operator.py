"""What an operator can see and do, for the charm's actions."""

from __future__ import annotations

import os
from typing import Any

from coordinator import _core
from coordinator.juju import framework

__all__ = ["release_lock", "show_locks"]


def release_lock(
    unit: str,
    lock: str,
    reason: str,
    relation_name: str = "coordinator",
    relation_key: str = "coordinator",
) -> str:
    """End the grant of ``lock`` to ``unit`` by an operator's word, and say what was done.

    For a holder that will never release: its machine is gone, or its hook fails for good. Whoever
    calls this vouches that the unit does no guarded work any more. Runs on the leader, also while
    the leader's hooks fail. The reason, the time and the void token are kept in the ledger.

    The next unit in line goes on. If ``unit`` comes back and still wants the lock, it asks anew.

    Raises:
        Invalid: no reason was given.
        NotHeld: ``unit`` has no grant of ``lock``.
        Unavailable: this unit is not the leader, or a hook tool failed.

    """
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
    return f"{lock} is released from {unit}; token {void} is void"


def show_locks(
    relation_name: str = "coordinator", relation_key: str = "coordinator"
) -> dict[str, Any]:
    """Return who leads, who holds, who waits and for whom, and what was forced or set aside.

    Keys: ``leader``; ``grants``, each with ``lock``, ``unit``, ``token``, ``since`` and
    ``waits_for`` (None for a holder); ``queue``; ``quarantined``, the reason by unit; ``forced``.
    """
    return _core.show_locks(
        dict(os.environ),
        key=relation_key,
        relation=relation_name,
        tools=framework.simulation.get("tools"),
    )
