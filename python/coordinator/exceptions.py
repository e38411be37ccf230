"""The errors of this package: one class per thing that a caller does differently."""

from __future__ import annotations

__all__ = ["CoordinatorError", "Corrupt", "Invalid", "NotHeld", "Unavailable"]


class CoordinatorError(Exception):
    """Any error of this package."""


class NotHeld(CoordinatorError, RuntimeError):
    """A lock was released or kept that is not held: fix the program."""


class Unavailable(CoordinatorError, ConnectionError):
    """The backend did not answer, or refused: try again later."""


class Invalid(CoordinatorError, ValueError):
    """A name, an option or an argument is wrong: correct the input."""


class Corrupt(CoordinatorError):
    """Stored data cannot be read, or was written by a newer version: an operator must look."""
