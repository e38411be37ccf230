"""A lock taken, work done under it, and the lock given back: and what changed by that."""

from __future__ import annotations

from typing import Any

import coordinator
from coordinator.saltext import _sessions
from coordinator.saltext._nested import Work
from coordinator.saltext._sessions import Taken, Terms
from coordinator.saltext._settings import Settings


def taken(settings: Settings, name: str, *, had_it: bool = False) -> dict[str, Any]:
    """What changes with a lease that is taken, or kept."""
    new = f"held by {settings.identifier}"
    return {name: {"old": new if had_it else None, "new": new}}


def released(settings: Settings, name: str) -> dict[str, Any]:
    """What changes with a lease that is given back."""
    return {name: {"old": f"held by {settings.identifier}", "new": None}}


def in_turn(
    settings: Settings, name: str, terms: Terms, timeout: float | None, work: Work
) -> dict[str, Any]:
    """Take a lease, do the work, and give the lease back whatever becomes of it."""
    took = _sessions.take(settings, name, terms, timeout)
    end, trouble = "", ""
    try:
        outcome = work.run()
    finally:
        # What another state of this process took is that one's to give back.
        if not took.in_process:
            end, trouble = _give_back(settings, name, terms)
    changes = {} if took.in_process else _passed(settings, name, took, end)
    return {
        "result": outcome.result is not False and not trouble,
        "changes": {**changes, **outcome.changes},
        "comment": f"under lock {name}: {outcome.comment}{trouble}",
    }


def _passed(settings: Settings, name: str, took: Taken, end: str) -> dict[str, Any]:
    held = f"held by {settings.identifier}"
    return {name: {"old": held if took.had_it else None, "new": f"{held}{end}"}}


def _give_back(settings: Settings, name: str, terms: Terms) -> tuple[str, str]:
    """How the lease ended, for the changes; and why it did not last, for the comment."""
    others = "the lock was lost meanwhile, and others may have run beside it"
    try:
        if _sessions.give_back(settings, name, terms):
            return ", and released", ""
        return ", and lost", f"; {others}"
    except coordinator.LockLost as error:
        return ", and lost", f"; {others}: {error}"
    except coordinator.CoordinatorError as error:
        return "", f"; the lock may be held still: {error}"
