"""Grants that have to come."""

from __future__ import annotations

import coordinator
from waiting import BOUND


def acquire(lock: coordinator.Lock, timeout: float = BOUND) -> coordinator.Grant:
    """The grant, which has to come within `timeout` seconds."""
    grant = lock.acquire(timeout=timeout)
    assert grant is not None
    return grant
