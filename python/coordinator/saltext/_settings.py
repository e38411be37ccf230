"""Where ZooKeeper is, and as whom: from a call's arguments, else from Salt's configuration."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import coordinator

DEFAULT_HOSTS = "127.0.0.1:2181"
# A host may be called zookeeper: that alone does not make a URL.
STORES = ("zookeeper://", "embedded:/")
PERMISSIONS = {"read": "r", "write": "w", "create": "c", "delete": "d", "admin": "a"}
# What a call may say, and what a configuration may say besides.
CONNECTION = ("profile", "scheme", "username", "password", "default_acl")


@dataclass(frozen=True)
class Settings:
    """How to connect; equal ones share a session."""

    url: str
    identifier: str
    auth: str | None = field(default=None, repr=False)
    default_acl: tuple[str, ...] | None = None
    tls: tuple[str, str | None, str | None] | None = None
    session_timeout: float | None = None

    @property
    def hosts(self) -> str:
        """The store, for messages."""
        return self.url.removeprefix("zookeeper://")

    def connect(self) -> coordinator.Client:
        """Open a session."""
        return coordinator.connect(
            self.url,
            identifier=self.identifier,
            session_timeout=self.session_timeout,
            auth=self.auth,
            default_acl=self.default_acl,
            tls=None if self.tls is None else coordinator.Tls(*self.tls),
        )


def resolve(
    configured: Callable[[str], Any],
    identifier: str,
    *,
    zk_hosts: str | list[str] | None = None,
    profile: str | None = None,
    **given: Any,
) -> Settings:
    """What a call says, else the configuration below ``zookeeper:`` or ``zookeeper:<profile>:``.

    Raises:
        coordinator.Invalid: it cannot be meant so.
    """
    prefix = f"zookeeper:{profile}" if profile else "zookeeper"
    if profile and not zk_hosts and not configured(prefix):
        # Not the default: there, others would coordinate without us.
        raise coordinator.Invalid(f"profile {profile}: nothing is configured below {prefix}")
    hosts = zk_hosts or configured(f"{prefix}:hosts") or DEFAULT_HOSTS
    url = hosts if isinstance(hosts, str) else ",".join(hosts)
    if not url.startswith(STORES):
        url = f"zookeeper://{url}"
    # What is configured for ZooKeeper is not meant for another store that a call names.
    is_meant = not zk_hosts or url.startswith("zookeeper://")

    def of(key: str, value: Any = None) -> Any:
        return value or (is_meant and configured(f"{prefix}:{key}")) or None

    timeout = of("session_timeout")
    return Settings(
        url=url,
        identifier=str(identifier),
        auth=_auth(*(of(key, given.get(key)) for key in ("scheme", "username", "password"))),
        default_acl=_acl(of("default_acl", given.get("default_acl"))),
        tls=_tls(of("tls")),
        session_timeout=None if timeout is None else float(timeout),
    )


def _auth(scheme: str | None, username: str | None, password: str | None) -> str | None:
    if not username or not password:
        return None
    return f"{scheme or 'digest'}:{username}:{password}"


def _tls(tls: Any) -> tuple[str, str | None, str | None] | None:
    if not tls:
        return None
    if not isinstance(tls, Mapping) or not tls.get("ca"):
        raise coordinator.Invalid(
            "zookeeper:tls needs the file of its ca, and may have a certificate and key"
        )
    return (tls["ca"], tls.get("certificate"), tls.get("key"))


def _acl(acl: Any) -> tuple[str, ...] | None:
    if not acl:
        return None
    entries = [acl] if isinstance(acl, str | Mapping) else acl
    return tuple(_entry(entry) for entry in entries)


def _entry(entry: Any) -> str:
    """As ZooKeeper writes it; Salt's modules have a mapping of user, password and rights."""
    if isinstance(entry, str):
        return entry
    try:
        user, password = str(entry["username"]), str(entry["password"])
    except (KeyError, TypeError):
        raise coordinator.Invalid(
            "an entry of default_acl is scheme:id:permissions, or has a username and a password"
        ) from None
    # The digest is ZooKeeper's, for names that it knows by their password.
    digest = hashlib.sha1(f"{user}:{password}".encode(), usedforsecurity=False).digest()
    letters = "".join(
        letter for right, letter in PERMISSIONS.items() if entry.get("all") or entry.get(right)
    )
    return f"digest:{user}:{base64.b64encode(digest).decode()}:{letters}"
