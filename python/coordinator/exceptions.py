"""The errors of this package: one class per thing that a caller does differently."""

from __future__ import annotations

__all__ = [
    "AcquireTimeout",
    "Conflict",
    "CoordinatorError",
    "Corrupt",
    "ForkedError",
    "Invalid",
    "LockLost",
    "NotHeld",
    "Unavailable",
]


class CoordinatorError(Exception):
    """Any error of this package."""


class AcquireTimeout(CoordinatorError, TimeoutError):
    """The lock did not become free within the time that was given: try again, or wait longer."""


class LockLost(CoordinatorError):
    """The grant ended without a release: stop at once what it guarded."""


class Conflict(CoordinatorError):
    """Others use the same path in another way: make the members agree."""


class ForkedError(CoordinatorError, RuntimeError):
    """The process was forked after it connected: connect anew in the child."""


class NotHeld(CoordinatorError, RuntimeError):
    """A lock was released or kept that is not held: fix the program."""


class Unavailable(CoordinatorError, ConnectionError):
    """The backend did not answer, or refused: try again later."""


class Invalid(CoordinatorError, ValueError):
    """A name, an option or an argument is wrong: correct the input."""


class Corrupt(CoordinatorError):
    """Stored data cannot be read, or was written by a newer version: an operator must look."""
