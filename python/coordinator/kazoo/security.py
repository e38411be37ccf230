"""Access control lists, by kazoo's names."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from coordinator.kazoo.exceptions import InvalidACLError


class Permissions:
    """What may be done with a node, as bits."""

    READ = 1
    WRITE = 2
    CREATE = 4
    DELETE = 8
    ADMIN = 16
    ALL = 31


_NAMES = ("READ", "WRITE", "CREATE", "DELETE", "ADMIN")


class Id(NamedTuple):
    """Who, by a scheme."""

    scheme: str
    id: str


class ACL(NamedTuple):
    """What somebody may do."""

    perms: int
    id: Id

    @property
    def acl_list(self) -> list[str]:
        """The names of the permissions."""
        if self.perms & Permissions.ALL == Permissions.ALL:
            return ["ALL"]
        return [name for name in _NAMES if self.perms & getattr(Permissions, name)]

    def __repr__(self) -> str:
        return f"ACL(perms={self.perms!r}, acl_list={self.acl_list}, id={self.id!r})"


ANYONE_ID_UNSAFE = Id("world", "anyone")
AUTH_IDS = Id("auth", "")
OPEN_ACL_UNSAFE = [ACL(Permissions.ALL, ANYONE_ID_UNSAFE)]
CREATOR_ALL_ACL = [ACL(Permissions.ALL, AUTH_IDS)]
READ_ACL_UNSAFE = [ACL(Permissions.READ, ANYONE_ID_UNSAFE)]


def make_digest_acl_credential(username: str, password: str) -> str:
    """Return the identifier of a user in the scheme ``digest``: the name and a hash."""
    hashed = hashlib.sha1(f"{username}:{password}".encode(), usedforsecurity=False).digest()
    return f"{username}:{base64.b64encode(hashed).decode()}"


def make_acl(
    scheme: str,
    credential: str,
    read: bool = False,
    write: bool = False,
    create: bool = False,
    delete: bool = False,
    admin: bool = False,
    all: bool = False,  # noqa: A002 (kazoo's name)
) -> ACL:
    """Say what somebody may do."""
    given = (read, write, create, delete, admin)
    bits = (getattr(Permissions, name) for name, yes in zip(_NAMES, given, strict=True) if yes)
    return ACL(Permissions.ALL if all else sum(bits), Id(scheme, credential))


def make_digest_acl(
    username: str,
    password: str,
    read: bool = False,
    write: bool = False,
    create: bool = False,
    delete: bool = False,
    admin: bool = False,
    all: bool = False,  # noqa: A002 (kazoo's name)
) -> ACL:
    """Say what a user of the scheme ``digest`` may do."""
    credential = make_digest_acl_credential(username, password)
    return make_acl("digest", credential, read, write, create, delete, admin, all)


def written(acl: Iterable[ACL]) -> list[str]:
    """Write a list as the core reads it: ``scheme:id:permissions``."""
    letters = dict(zip("rwcda", _NAMES, strict=True))
    entries = []
    for entry in acl:
        kept = "".join(a for a, name in letters.items() if entry.perms & getattr(Permissions, name))
        if not kept:
            raise InvalidACLError(f"{entry} allows nothing")
        entries.append(f"{entry.id.scheme}:{entry.id.id}:{kept}")
    return entries
