"""Paths as kazoo takes them: relative ones too, and with slashes to spare."""

from __future__ import annotations

from coordinator.kazoo.exceptions import BadArgumentsError


def normal(path: str, trailing: bool = False) -> str:
    """Return the absolute path without empty parts.

    Args:
        path: as a program gave it.
        trailing: whether a slash at its end stays, for what is numbered below it.

    Raises:
        ValueError: it has a part that is ``.`` or ``..``.
        BadArgumentsError: it has a NUL.
    """
    if not isinstance(path, str):
        raise TypeError(f"a path is a string, not {path!r}")
    if "\0" in path:
        raise BadArgumentsError(f"path {path!r} has a NUL")
    parts = [part for part in path.split("/") if part]
    if "." in parts or ".." in parts:
        raise ValueError(f"path {path!r}: relative parts are not allowed")
    end = "/" if trailing and path.endswith("/") and parts else ""
    return f"/{'/'.join(parts)}{end}"
