"""The run of states that a state is part of: what it says of a lock that is not held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coordinator.kazoo.paths import normal
from coordinator.saltext import _sessions
from coordinator.saltext._sessions import Terms
from coordinator.saltext._settings import CONNECTION, Settings
from coordinator.saltext._standing import names

LOCK, UNLOCK = "zk_concurrency.lock", "zk_concurrency.unlock"

UNGUARDED = (
    "{unguarded} {changed} WITHOUT lock {name}: Salt 3008 and later do not tell {label} of a "
    "change that comes by a watch, so its prereq never fires. Put the prereq on the state that is "
    "watched (the file), or use zk_concurrency.run"
)


class Run:
    """The run of states that a state is part of.

    Args:
        lowstate: all of its states.
        running: what those that ran have returned.
    """

    def __init__(self, lowstate: Sequence[Mapping[str, Any]], running: Mapping[str, Any]) -> None:
        self._states = list(lowstate or [])
        self._running = running or {}

    def connection_of_lock(self, name: str) -> tuple[Any, ...] | None:
        """How the lock state for this path connects."""
        for lock in self._of(name, LOCK):
            return (lock.get("zk_hosts"), *(lock.get(key) for key in CONNECTION))
        return None

    def identifier_of_lock(self, name: str) -> str | None:
        """As whom the lock state for this path takes it."""
        return next((lock.get("identifier") for lock in self._of(name, LOCK)), None)

    def would_hold(self, name: str) -> bool | None:
        """Whether a test run would hold this path by now; None if no state of it touches it."""
        latest = self._latest(name)
        return None if latest is None else _function(latest) == LOCK

    def judge_missing(self, settings: Settings, name: str, *, test: bool) -> tuple[bool, str]:
        """What it means that there is no lease to give back: whether that is well, and why."""
        latest = self._latest(name)
        if latest is not None and _function(latest) == UNLOCK:
            return False, f"Nothing to release: {latest.get('__id__')} has released {name} before"
        for lock in self._of(name, LOCK):
            returned = self._returned(lock)
            label = lock.get("__id__")
            if returned is None:
                return False, f"{label} has not run yet: the state that unlocks comes after it"
            if returned["result"] is False:
                return True, f"Nothing to release: {label} did not acquire {name}"
            if returned.get("changes"):
                return False, self._gone(settings, name, lock)
            unguarded = self._changed_without(lock, test)
            if unguarded:
                changed = "would change" if test else "changed"
                return False, UNGUARDED.format(
                    unguarded=unguarded, changed=changed, label=label, name=name
                )
            return True, f"Nothing to release: {label} found nothing to do"
        return False, self._not_held(settings, name)

    def _gone(self, settings: Settings, name: str, lock: Mapping[str, Any]) -> str:
        if lock.get("identifier") not in (None, settings.identifier):
            return (
                f"{settings.identifier} holds no lease of {name}: {lock.get('__id__')} took it as "
                f"{lock['identifier']}; use the same identifier"
            )
        return (
            f"{settings.identifier} holds no lease of {name} any more: it was taken away, "
            "and others may have run beside this job; zk_concurrency.status shows the reason"
        )

    def _not_held(self, settings: Settings, name: str) -> str:
        status = _sessions.semaphore(settings, name, Terms()).status()
        holders = [holder["identifier"] for holder in status["holders"]]
        comment = (
            f"Unable to find lease for path {name}: {settings.identifier} holds none on "
            f"{settings.hosts}; held by {names(holders)}"
        )
        for state in self._states:
            took = _function(state) == LOCK and (self._returned(state) or {}).get("changes")
            if took and not self._of(str(state.get("name")), UNLOCK):
                comment += (
                    f". {state.get('__id__')} of this run took {state.get('name')}: "
                    "is one misspelt?"
                )
        return comment

    def _changed_without(self, lock: Mapping[str, Any], test: bool) -> str | None:
        """A state that was to change under this lock only, and did, or would do, without."""
        for requisite in lock.get("prereq") or []:
            for module, wanted in requisite.items() if isinstance(requisite, Mapping) else []:
                for state in self._states:
                    is_meant = wanted in (state.get("__id__"), state.get("name"))
                    if not is_meant or state.get("state") != module:
                        continue
                    returned = self._returned(state) or {}
                    # A service that would restart foresees no changes, but that it would do so.
                    if returned.get("changes") or (test and returned.get("result", True) is None):
                        return f"{module}: {wanted}"
        return None

    def _of(self, name: str, *functions: str) -> list[Mapping[str, Any]]:
        path = normal(name)
        return [
            state
            for state in self._states
            if _function(state) in functions and normal(str(state.get("name"))) == path
        ]

    def _latest(self, name: str) -> Mapping[str, Any] | None:
        """The state that was the last to take this path, or to give it back."""
        ran = [
            (returned.get("__run_num__", 0), number, state)
            for number, state in enumerate(self._of(name, LOCK, UNLOCK))
            if (returned := self._returned(state)) is not None
            and returned["result"] is not False
            and returned.get("changes")
        ]
        return max(ran, default=(0, 0, None), key=lambda one: one[:2])[2]

    def _returned(self, state: Mapping[str, Any]) -> Mapping[str, Any] | None:
        parts = [str(state.get(key)) for key in ("state", "__id__", "name", "fun")]
        return self._running.get("_|-".join(parts))


def _function(state: Mapping[str, Any]) -> str:
    return f"{state.get('state')}.{state.get('fun')}"
