"""The calls of nodes, by kazoo's names: each one waits, its ``_async`` twin does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from coordinator.kazoo.exceptions import NoNodeError, NotProvidedError
from coordinator.kazoo.handlers.threading import AsyncResult
from coordinator.kazoo.paths import normal
from coordinator.kazoo.protocol.states import ZnodeStat
from coordinator.kazoo.security import ACL
from coordinator.kazoo.session import Ask, Session, Watcher


class NodeCalls:
    """Nodes of the store, in the one session of the client and its recipes.

    Nothing is tried again: ``ConnectionLoss`` says that a call happened, or did not. ``retry`` of
    the client calls again.
    """

    def _open(self) -> Session:
        raise NotImplementedError

    def create(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        include_data: bool = False,
    ) -> Any:
        """Make a node; its path, and its stat if ``include_data``.

        Raises:
            NodeExistsError: it exists.
            NoNodeError: its parent does not, and ``makepath`` is false.
            NotProvidedError: ``acl`` is another one than the client's.
        """
        return self._open().call(
            self._creation(path, value, acl, ephemeral, sequence, makepath, include_data)
        )

    def create_async(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        include_data: bool = False,
    ) -> AsyncResult:
        """Begin :meth:`create`."""
        return self._open().submit(
            self._creation(path, value, acl, ephemeral, sequence, makepath, include_data)
        )

    def ensure_path(self, path: str, acl: Sequence[ACL] | None = None) -> Any:
        """Make a node and its parents where they are missing; True if it existed."""
        return self._open().call(self._ensuring(path, acl))

    def ensure_path_async(self, path: str, acl: Sequence[ACL] | None = None) -> AsyncResult:
        """Begin :meth:`ensure_path`."""
        return self._open().submit(self._ensuring(path, acl))

    def exists(self, path: str, watch: Watcher | None = None) -> ZnodeStat | None:
        """Return what is known of a node; None if there is none."""
        found: ZnodeStat | None = self._open().call(_exists(path), _watcher(watch))
        return found

    def exists_async(self, path: str, watch: Watcher | None = None) -> AsyncResult:
        """Begin :meth:`exists`."""
        return self._open().submit(_exists(path), _watcher(watch))

    def get(self, path: str, watch: Watcher | None = None) -> tuple[bytes, ZnodeStat]:
        """Return what a node holds, and what is known of it."""
        got: tuple[bytes, ZnodeStat] = self._open().call(_get(path), _watcher(watch))
        return got

    def get_async(self, path: str, watch: Watcher | None = None) -> AsyncResult:
        """Begin :meth:`get`."""
        return self._open().submit(_get(path), _watcher(watch))

    def get_children(
        self, path: str, watch: Watcher | None = None, include_data: bool = False
    ) -> Any:
        """Return the names of the children, and the stat of the node if ``include_data``."""
        return self._open().call(_children(path, include_data), _watcher(watch))

    def get_children_async(
        self, path: str, watch: Watcher | None = None, include_data: bool = False
    ) -> AsyncResult:
        """Begin :meth:`get_children`."""
        return self._open().submit(_children(path, include_data), _watcher(watch))

    def set(self, path: str, value: bytes | None, version: int = -1) -> ZnodeStat:
        """Replace what a node holds; with a version, only that version."""
        stat: ZnodeStat = self._open().call(_set(path, value, version))
        return stat

    def set_async(self, path: str, value: bytes | None, version: int = -1) -> AsyncResult:
        """Begin :meth:`set`."""
        return self._open().submit(_set(path, value, version))

    def delete(self, path: str, version: int = -1, recursive: bool = False) -> Any:
        """Remove a node; with a version, only that version; with its children if ``recursive``."""
        _typed(recursive, bool, "recursive")
        if recursive:
            return self._delete_all(path)
        return self._open().call(_delete(path, version))

    def delete_async(self, path: str, version: int = -1) -> AsyncResult:
        """Begin :meth:`delete` of one node."""
        return self._open().submit(_delete(path, version))

    def sync(self, path: str) -> str:
        """Wait until this client sees all that was committed before."""
        path = normal(path)
        self._open().call(Ask(("sync", path), _nothing))
        return path

    def sync_async(self, path: str) -> AsyncResult:
        """Begin :meth:`sync`."""
        path = normal(path)
        return self._open().submit(Ask(("sync", path), lambda _: path))

    def _delete_all(self, path: str) -> bool | None:
        try:
            children = self.get_children(path)
        except NoNodeError:
            return True
        for child in children:
            self._delete_all(f"{path}/{child}")
        with contextlib.suppress(NoNodeError):  # somebody else was quicker
            self.delete(path)
        return None

    def _check_acl(self, acl: Sequence[ACL] | None) -> None:
        if acl is None or acl == []:
            return
        if isinstance(acl, ACL) or not isinstance(acl, tuple | list):
            raise TypeError("acl is a list or tuple of ACL")
        if list(acl) != self._acl():
            raise NotProvidedError(
                "acl: all nodes of a client are made with the one list that it was given as "
                "default_acl; use another client for another list"
            )

    def _acl(self) -> list[ACL]:
        raise NotImplementedError

    def _ensuring(self, path: str, acl: Sequence[ACL] | None) -> Ask:
        self._check_acl(acl)
        path = normal(path)
        # The core tells the stat of a node that existed, and the path of one that it made.
        made = lambda value: value[0] if isinstance(value[0], str) else True  # noqa: E731
        return Ask(("exists", path), lambda _: True) if path == "/" else Ask(("ensure", path), made)

    def _creation(
        self,
        path: str,
        value: bytes | None,
        acl: Sequence[ACL] | None,
        ephemeral: bool,
        sequence: bool,
        makepath: bool,
        include_data: bool,
    ) -> Ask:
        self._check_acl(acl)
        _typed(makepath, bool, "makepath")
        _typed(include_data, bool, "include_data")
        request = creating(path, value, ephemeral, sequence)
        if include_data:
            return Ask((*request, makepath), lambda made: (made[0], ZnodeStat(*made[1])))
        return Ask((*request, makepath), lambda made: made[0])


def creating(path: str, value: bytes | None, ephemeral: bool, sequence: bool) -> tuple[Any, ...]:
    """Check the arguments of a creation; the request, without what concerns its parents."""
    _typed(ephemeral, bool, "ephemeral")
    _typed(sequence, bool, "sequence")
    return ("create", normal(path, trailing=sequence), _data(value), ephemeral, sequence)


def setting(path: str, value: bytes | None, version: int) -> tuple[Any, ...]:
    """Check the arguments of a replacement; the request."""
    _typed(version, int, "version")
    return ("set", normal(path), _data(value), version)


def versioned(name: str, path: str, version: int) -> tuple[Any, ...]:
    """Check the arguments of a deletion or a check; the request."""
    _typed(version, int, "version")
    return (name, normal(path), version)


def known(stat: tuple[Any, ...] | None) -> ZnodeStat | None:
    """Name the parts of a stat."""
    return None if stat is None else ZnodeStat(*stat)


def _exists(path: str) -> Ask:
    return Ask(("exists", normal(path)), known, "data")


def _get(path: str) -> Ask:
    return Ask(("get", normal(path)), lambda got: (got[0], ZnodeStat(*got[1])), "data")


def _children(path: str, include_data: bool) -> Ask:
    _typed(include_data, bool, "include_data")
    convert: Callable[[Any], Any] = _same
    if include_data:
        convert = lambda answers: (answers[0], known(answers[1]))  # noqa: E731
    return Ask(("children", normal(path), include_data), convert, "children")


def _set(path: str, value: bytes | None, version: int) -> Ask:
    return Ask(setting(path, value, version), lambda stat: ZnodeStat(*stat))


def _delete(path: str, version: int) -> Ask:
    return Ask(versioned("delete", path, version), lambda _: True)


def _same(value: Any) -> Any:
    return value


def _nothing(_: Any) -> None:
    return None


def _data(value: bytes | None) -> bytes:
    if value is not None and not isinstance(value, bytes):
        raise TypeError(f"the value of a node is bytes, not {type(value).__name__}")
    return value or b""


def _watcher(watch: Watcher | None) -> Watcher | None:
    if watch is not None and not callable(watch):
        raise TypeError(f"a watch is a function, not {watch!r}")
    return watch


def _typed(value: object, kind: type, name: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {kind.__name__}, not {value!r}")
