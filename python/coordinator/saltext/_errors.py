"""Errors that a caller can do something about, as Salt shows them: in one line, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import coordinator

ERRORS = (coordinator.CoordinatorError, TypeError, ValueError)


@contextmanager
def told() -> Iterator[None]:
    """Turn them into the error of Salt's that execution modules raise."""
    from salt.exceptions import CommandExecutionError

    try:
        yield
    except ERRORS as error:
        raise CommandExecutionError(f"zk_concurrency: {error}") from error
