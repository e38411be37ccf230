"""What a test run says of a lock: what taking it, or giving it back, would do now."""

from __future__ import annotations

from typing import Any

from coordinator.saltext import _sessions, _turns
from coordinator.saltext._around import Run
from coordinator.saltext._sessions import Terms
from coordinator.saltext._settings import Settings
from coordinator.saltext._standing import behind, is_free, lasting


def of_taking(
    settings: Settings,
    name: str,
    terms: Terms,
    run: Run,
    *,
    timeout: float | None = None,
    force: bool = False,
    reason: str | None = None,
) -> dict[str, Any]:
    """The result, comment and changes of a lock that would be taken, waited for or refused."""
    status = _sessions.semaphore(settings, name, terms).status()
    number = int(terms.max_concurrency)
    has_it = not terms.ephemeral and lasting(status, settings.identifier) is not None
    if has_it or run.would_hold(name):
        comment = f"{settings.identifier} would hold a lease of {name} already, and keep it"
        return _foreseen(comment, _turns.taken(settings, name, had_it=True))
    changes = _turns.taken(settings, name)
    is_agreed = status["max_leases"] in (None, number)
    if is_agreed and is_free(status, number):
        held = len(status["holders"])
        comment = f"Lock {name} would be acquired at once: {held} of {number} leases are held"
        return _foreseen(comment, changes)
    others = behind(status, settings.identifier)
    if force and reason:
        return _foreseen(f"Lock {name} would be acquired by force, beside {others}", changes)
    if force:
        return _refused(f"Lock {name} could not be acquired by force: it needs a reason")
    if not is_agreed:
        return _refused(
            f"Lock {name} could not be acquired: max_concurrency is {status['max_leases']} for its "
            f"members, and {number} here"
        )
    if timeout is not None and float(timeout) <= 0:
        return _refused(f"Lock {name} could not be acquired within 0 s: behind {others}")
    return _foreseen(f"Would wait for lock {name} behind {others}", changes)


def of_giving_back(settings: Settings, name: str, terms: Terms, run: Run) -> dict[str, Any]:
    """The result, comment and changes of a lock that would be given back, or is not held."""
    status = _sessions.semaphore(settings, name, terms).status()
    would_hold = run.would_hold(name)
    if would_hold is None:
        would_hold = lasting(status, settings.identifier) is not None
    if not would_hold:
        result, comment = run.judge_missing(settings, name, test=True)
        return {"result": result, "comment": comment}
    return _foreseen(f"Lock {name} would be released", _turns.released(settings, name))


def _foreseen(comment: str, changes: dict[str, Any]) -> dict[str, Any]:
    return {"result": None, "comment": comment, "changes": changes}


def _refused(comment: str) -> dict[str, Any]:
    return {"result": False, "comment": comment, "changes": {}}
