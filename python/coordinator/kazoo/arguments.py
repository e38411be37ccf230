"""The arguments of kazoo's client, read."""

from __future__ import annotations

from typing import Any

from coordinator.kazoo.exceptions import NotProvidedError
from coordinator.kazoo.paths import normal


def refuse(what: str, given: object, instead: str) -> None:
    """Raise unless an argument that is not provided was left out."""
    if given:
        raise NotProvidedError(f"{what} is not provided: {instead}")


def servers(hosts: str | list[str]) -> tuple[list[tuple[str, int]], str]:
    """Return the servers, and the chroot: empty without one."""
    text = hosts if isinstance(hosts, str) else ",".join(hosts).replace(",/", "/")
    servers, _, chroot = text.partition("/")
    found = []
    for server in servers.split(","):
        host, colon, port = server.strip().rpartition(":")
        if not colon or port.endswith("]"):
            host, port = server.strip(), "2181"
        if not host.strip("[]"):
            raise ValueError("bad hostname")
        found.append((host.strip("[]"), int(port)))
    path = normal(chroot)
    return found, "" if path == "/" else path


def sasl(options: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return the credential of SASL, if there is one."""
    if not options:
        return []
    mechanism = options.get("mechanism")
    if mechanism != "DIGEST-MD5":
        raise NotProvidedError(f"SASL by {mechanism} is not provided: use DIGEST-MD5")
    return [("sasl", f"{options['username']}:{options['password']}")]
