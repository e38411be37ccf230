"""The sessions of this process, and the leases that it holds: one process of Salt is one member."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from threading import RLock

import coordinator
from coordinator.kazoo.paths import normal
from coordinator.saltext._settings import Settings
from coordinator.saltext._standing import behind, is_free, lasting

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Terms:
    """On which terms a path is used.

    Attributes:
        max_concurrency: how many may hold it.
        ephemeral: whether a lease ends with its process.
        max_hold: after how many seconds others may take it away.
    """

    max_concurrency: int = 1
    ephemeral: bool = False
    max_hold: float | None = None


@dataclass(frozen=True)
class Taken:
    """What a lock brought.

    Attributes:
        had_it: whether this member held it before.
        in_process: whether it did so in this process.
    """

    had_it: bool = False
    in_process: bool = False


@dataclass
class _Held:
    semaphore: coordinator.Semaphore
    settings: Settings
    grant: coordinator.Grant | None


# How often a party is looked at by whoever waits for it: seconds.
LOOK = 0.2

# How long a server that did not answer is not asked again: seconds.
PATIENCE = 10.0

_guard = RLock()
_clients: dict[Settings, coordinator.Client] = {}
_held: dict[tuple[str, str], _Held] = {}
_failed: dict[Settings, tuple[float, coordinator.Unavailable]] = {}


def _begin_anew() -> None:
    """In a forked child: its parent holds what it holds, and may have closed the guard."""
    global _guard
    _guard = RLock()
    for known in (_clients, _held, _failed):
        known.clear()


os.register_at_fork(after_in_child=_begin_anew)


def client(settings: Settings) -> coordinator.Client:
    """The session of this process with these settings. A forked child has none of its parent's."""
    with _guard:
        if settings not in _clients:
            _clients[settings] = _connect(settings)
        return _clients[settings]


def _connect(settings: Settings) -> coordinator.Client:
    """Each state of a run would wait as long for a server that is down: they share the answer."""
    at, failure = _failed.get(settings, (-PATIENCE, None))
    if failure is not None and time.monotonic() < at + PATIENCE:
        raise coordinator.Unavailable(str(failure))
    try:
        return settings.connect()
    except coordinator.Unavailable as error:
        _failed[settings] = (time.monotonic(), error)
        raise
    except coordinator.ForkedError as error:
        raise coordinator.ForkedError(
            "a state with `parallel: True` is a fork of its run, and cannot use ZooKeeper after "
            f"another state of the run has: leave `parallel` out ({error})"
        ) from None


def semaphore(settings: Settings, path: str, terms: Terms) -> coordinator.Semaphore:
    """The semaphore at a path, which is written as kazoo takes it."""
    return client(settings).semaphore(
        normal(path),
        int(terms.max_concurrency),
        ephemeral=bool(terms.ephemeral),
        max_hold=terms.max_hold,
    )


def settings_of(path: str, identifier: str) -> Settings | None:
    """With which settings this process took the lease that it holds of a path."""
    held = _held.get((normal(path), identifier))
    return held.settings if held else None


def take(settings: Settings, path: str, terms: Terms, timeout: float | None) -> Taken:
    """Wait for a lease; one that this process holds already is as good."""
    pool = semaphore(settings, path, terms)
    if _has_taken(pool, settings):
        return Taken(had_it=True, in_process=True)
    status = pool.status()
    before = None if terms.ephemeral else lasting(status, settings.identifier)
    waits = before is None and not is_free(status, int(terms.max_concurrency))
    others = behind(status, settings.identifier)
    if waits:
        log.info("%s waits for %s behind %s", settings.identifier, path, others)
    try:
        grant = pool.acquire(timeout=timeout)
    except coordinator.AcquireTimeout as error:
        raise coordinator.AcquireTimeout(f"{error}; behind {others}" if waits else error) from None
    assert grant is not None  # it blocks
    _held[pool.path, settings.identifier] = _Held(pool, settings, grant)
    return Taken(had_it=grant.token == before)


def take_by_force(settings: Settings, path: str, terms: Terms, reason: str) -> Taken:
    """Take a free lease, else one beyond their number."""
    pool = semaphore(settings, path, terms)
    if _has_taken(pool, settings):
        return Taken(had_it=True, in_process=True)
    before = None if terms.ephemeral else lasting(pool.status(), settings.identifier)
    try:
        grant = pool.acquire(blocking=False)
    except coordinator.Conflict:
        grant = None
    if grant is None:
        pool.force_acquire(reason)
    _held[pool.path, settings.identifier] = _Held(pool, settings, grant)
    return Taken(had_it=grant is not None and grant.token == before)


def give_back(settings: Settings, path: str, terms: Terms) -> bool:
    """Give back what this process holds, else the lasting lease of its identifier; whether any.

    Raises:
        coordinator.LockLost: it had ended before.
    """
    key = (normal(path), settings.identifier)
    held = _held.get(key)
    if held is None or held.settings != settings:
        return semaphore(settings, path, terms).release_own()
    del _held[key]
    if held.grant is None:
        return held.semaphore.release_own()
    try:
        held.grant.release()
    except coordinator.Unavailable:
        # It may be held still: another unlock finds it.
        _held[key] = held
        raise
    return True


def _has_taken(pool: coordinator.Semaphore, settings: Settings) -> bool:
    """Whether this process took a lease of this path, and has it still."""
    held = _held.get((pool.path, settings.identifier))
    if held is None or held.settings != settings:
        return False
    if held.grant is None:
        holders = held.semaphore.status()["holders"]
        return any(holder["identifier"] == held.settings.identifier for holder in holders)
    try:
        held.grant.check()
    except coordinator.CoordinatorError:
        return False
    return True


def members(settings: Settings, path: str, enough: int, timeout: float | None) -> list[str]:
    """The members of a party of either kind, once there are enough or the time is over."""
    path = normal(path)
    parties = (client(settings).shallow_party(path), client(settings).party(path))
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        found = [member for party in parties for member in party.members()]
        if len(found) >= enough or (end is not None and time.monotonic() >= end):
            return found
        # Members come and go by minutes, and reading leaves nothing behind.
        time.sleep(LOOK)
