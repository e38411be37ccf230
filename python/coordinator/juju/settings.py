"""Where a charm wants to coordinate: by its layer's options, its configuration, or a relation.

``backend`` puts the three together. What an operator can get wrong at run time is no error of the
charm: the :class:`Backend` says what is missing, and the unit is blocked until that is mended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from coordinator import Tls
from coordinator.exceptions import CoordinatorError, Invalid, Unavailable
from coordinator.juju import framework
from coordinator.juju.backend import Backend

__all__ = ["DEFAULTS", "PREFIX", "backend", "chosen", "directory", "in_charm", "own_scope"]

DEFAULTS: dict[str, Any] = {
    "backend": "peer",
    "scope": "",
    "hosts": "",
    "directory": "",
    "auth": "",
    "default_acl": [],
    "tls_ca": "",
    "tls_certificate": "",
    "tls_key": "",
    "session_timeout": 0,
    "relation": "",
}
"""The options, which a layer may set and the charm's configuration may override."""
PREFIX = "coordinator-"
"""An option of the charm's configuration that begins so overrides the one that is called like the
rest, with dashes in place of underscores; an empty one does not."""
BACKENDS = ("peer", "zookeeper", "embedded")
# Where a ZooKeeper charm names hosts alone: the ports that it serves its clients at.
PORT, ENCRYPTED_PORT = "2181", "2182"
# A day: beyond that it is a slip, and no server grants it.
LONGEST = 86_400.0
# What the charm asks a ZooKeeper charm to tell by secrets, and not in its databag.
REQUESTED_SECRETS = ["username", "password", "tls", "tls-ca", "uris"]


def chosen(options: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options, overridden by what the charm's configuration sets."""
    merged = {**DEFAULTS, **{name: options[name] for name in DEFAULTS if name in options}}
    for name in DEFAULTS:
        value = config.get(PREFIX + name.replace("_", "-"))
        if value not in (None, ""):
            merged[name] = value
    if isinstance(merged["default_acl"], str):
        merged["default_acl"] = merged["default_acl"].split()
    return merged


def directory() -> Path:
    """Return where a unit keeps its settings: beside its charm, which an upgrade replaces."""
    return Path(os.environ.get("JUJU_CHARM_DIR") or os.curdir).resolve().parent / "coordinator"


def own_scope() -> str:
    """Return the scope of an application that names none: nobody else's."""
    model, uuid = os.environ.get("JUJU_MODEL_NAME"), os.environ.get("JUJU_MODEL_UUID", "")
    return f"{model}-{uuid[:8]}:{os.environ['JUJU_UNIT_NAME'].partition('/')[0]}"


def in_charm(options: Mapping[str, Any], config: Mapping[str, Any]) -> Backend | None:
    """Return what a charm with these options and this configuration has chosen for this unit."""
    return backend(chosen(options, config), directory(), own_scope())


def backend(options: Mapping[str, Any], directory: Path, scope: str) -> Backend | None:
    """Return the backend that ``options``, which were :func:`chosen`, stand for.

    Secrets are written to ``directory``, for the unit's agent, which reads them there too; nobody
    but root can. ``scope`` is the one to use where none is named: the application's own.

    None is the peer relation, and no settings to come back to it from elsewhere.
    """
    wanted = str(options["backend"])
    named = str(options["scope"]) or scope
    if wanted not in BACKENDS:
        problem = f"backend is {wanted!r}: set it to one of {', '.join(BACKENDS)}"
        return Backend("", named, missing=problem)
    is_wanted = wanted != "peer"
    if not is_wanted and not any(options[name] for name in ("hosts", "directory", "relation")):
        return None
    try:
        made = (
            _embedded(options, named)
            if _is_embedded(options)
            else _zookeeper(options, directory, named)
        )
    except CoordinatorError as error:
        made = Backend("", named, missing=str(error))
    return replace(made, is_wanted=is_wanted)


def _is_embedded(options: Mapping[str, Any]) -> bool:
    if options["backend"] == "peer":
        return bool(options["directory"])
    return bool(options["backend"] == "embedded")


def _embedded(options: Mapping[str, Any], scope: str) -> Backend:
    directory = str(options["directory"])
    if not directory.startswith("/"):
        raise Invalid("the embedded backend wants a directory: set it to an absolute path")
    return Backend(f"embedded:{directory}", scope)


def _zookeeper(options: Mapping[str, Any], directory: Path, scope: str) -> Backend:
    endpoint = str(options["relation"])
    is_wanted = options["backend"] != "peer"
    path = directory / "related.json"
    related = _known(endpoint, path, is_wanted=is_wanted) if endpoint else Related()
    hosts = "".join(str(options["hosts"]).split()) or related.hosts
    if not hosts:
        if endpoint:
            raise Unavailable(
                f"the relation {endpoint!r} has no ZooKeeper to offer yet: "
                "relate a ZooKeeper charm, or set hosts"
            )
        raise Invalid("the zookeeper backend wants hosts, as in zk1:2181,zk2:2181/fleet")
    if "://" in hosts:
        raise Invalid("hosts has a scheme: write the servers alone, as in zk1:2181,zk2:2181/fleet")
    auth = str(options["auth"])
    if auth.startswith("secret:"):
        auth = _as_user(_secret(auth, "auth"))
    if not auth and related.username:
        auth = f"sasl:{related.username}:{related.password}"
    return Backend(
        f"zookeeper://{hosts}",
        scope,
        auth=_by_reference(auth, directory),
        default_acl=tuple(map(str, options["default_acl"])),
        tls=_tls(options, related, directory),
        session_timeout=_seconds(options["session_timeout"]),
    )


def _seconds(value: Any) -> float | None:
    """Return the session timeout; None where it is left to the default."""
    try:
        seconds = float(value or 0)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds <= LONGEST:
        raise Invalid(
            f"session_timeout is {value!r}: write a number of seconds, or 0 for the default"
        )
    return seconds or None


def _as_user(content: Mapping[str, str]) -> str:
    for name in ("username", "password"):
        if not content.get(name):
            raise Invalid(f"the secret in auth has no {name}: give it username and password")
    return f"sasl:{content['username']}:{content['password']}"


def _by_reference(auth: str, directory: Path) -> str | None:
    """Return ``auth`` with its password in a file of its own, if it is not in one already."""
    if not auth:
        return None
    scheme, _, rest = auth.partition(":")
    user, _, password = rest.partition(":")
    if auth.startswith(("file:", "env:", "gssapi:")) or password.startswith(("file:", "env:")):
        return auth
    if scheme not in ("sasl", "digest") or not user or not password:
        raise Invalid(
            "auth is none: write sasl:USER:file:/path, or the identifier of a Juju secret "
            "with username and password"
        )
    return f"{scheme}:{user}:file:{framework.keep_private(directory / 'password', password)}"


def _tls(options: Mapping[str, Any], related: Related, directory: Path) -> Tls | None:
    texts = {
        "ca": str(options["tls_ca"]) or related.ca,
        "certificate": str(options["tls_certificate"]),
        "key": str(options["tls_key"]),
    }
    paths = {
        name: _as_file(text, directory / f"{name}.pem") for name, text in texts.items() if text
    }
    if not paths and not related.is_encrypted:
        return None
    if "ca" not in paths:
        raise Invalid(
            "tls_ca is missing: give the certificates that the servers are checked against"
        )
    if ("certificate" in paths) is not ("key" in paths):
        raise Invalid("tls_certificate and tls_key belong together: set both, or neither")
    return Tls(paths["ca"], paths.get("certificate"), paths.get("key"))


def _as_file(text: str, path: Path) -> str:
    """Return the file that is named, or one with the text that was given in its place."""
    return framework.keep_private(path, text) if "-----BEGIN" in text else text


@dataclass
class Related:
    """What a ZooKeeper charm tells over a relation."""

    hosts: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    is_encrypted: bool = False
    ca: str = ""


def _known(endpoint: str, path: Path, *, is_wanted: bool) -> Related:
    """Return what was read last, unless this hook may be about something newer.

    Where the peer relation is wanted, only a way back from the store is of use: that is looked for
    in hooks about the relation alone, and costs the others no hook tool.
    """
    hook = framework.hook_name()
    about: tuple[str, ...] = (f"{endpoint}-", "secret-")
    if is_wanted:
        about += ("config-changed", "upgrade-charm", "leader-elected")
    elif not path.exists() and not hook.startswith(about):
        return Related()
    if path.exists() and not hook.startswith(about):
        kept = json.loads(path.read_text())
        known = {each.name for each in fields(Related)}
        return Related(**{name: value for name, value in kept.items() if name in known})
    related = _related(endpoint)
    framework.keep_private(path, json.dumps(asdict(related)))
    return related


def _related(endpoint: str) -> Related:
    """Read the first relation of an endpoint with the interface ``zookeeper``.

    Charms of its older kind publish an address and a port for each unit; those of the newer kind
    what they have made for this application, the secrets among it as secrets.
    """
    relations = framework.hook_tool(["relation-ids", "--format=json", endpoint]) or []
    if not relations:
        return Related()
    # The oldest: one that is added later, for a move, say, changes nothing by itself.
    relation = min(relations, key=lambda name: int(name.rpartition(":")[2]))
    units = framework.hook_tool(["relation-list", "--format=json", "-r", relation]) or []
    if not units:
        return Related()
    application = units[0].partition("/")[0]
    bag = framework.hook_tool(
        ["relation-get", "--format=json", "-r", relation, "--app", "-", application]
    )
    if bag and bag.get("endpoints"):
        return _newer(bag, endpoint)
    hosts = []
    for unit in units:
        bag = (
            framework.hook_tool(["relation-get", "--format=json", "-r", relation, "-", unit]) or {}
        )
        address = bag.get("host") or bag.get("private-address") or bag.get("ingress-address")
        if address and bag.get("port"):
            hosts.append(f"{address}:{bag['port']}")
    return Related(",".join(sorted(hosts)))


def _newer(bag: Mapping[str, str], endpoint: str) -> Related:
    where = f"the relation {endpoint!r}"
    user = _secret(bag["secret-user"], where) if bag.get("secret-user") else bag
    tls = _secret(bag["secret-tls"], where) if bag.get("secret-tls") else bag
    is_encrypted = tls.get("tls") == "enabled"
    port = ENCRYPTED_PORT if is_encrypted else PORT
    hosts = [
        host if ":" in host else f"{host}:{port}"
        for host in sorted(filter(None, (part.strip() for part in bag["endpoints"].split(","))))
    ]
    chroot = "/" + (bag.get("database") or bag.get("chroot") or "").strip("/")
    return Related(
        ",".join(hosts) + (chroot if chroot != "/" else ""),
        user.get("username", ""),
        user.get("password", ""),
        is_encrypted,
        tls.get("tls-ca", "") if is_encrypted else "",
    )


def ask_related(endpoint: str, path: str) -> None:
    """As leader, ask the ZooKeeper charm at ``endpoint`` for a part of its tree at ``path``."""
    for relation in framework.hook_tool(["relation-ids", "--format=json", endpoint]) or []:
        framework.hook_tool(
            [
                "relation-set",
                "-r",
                relation,
                "--app",
                f"database={path}",
                f"requested-secrets={json.dumps(REQUESTED_SECRETS)}",
            ]
        )


def _secret(identifier: str, where: str) -> dict[str, str]:
    """Return the newest content of the secret that stands in ``where``."""
    # Without this the unit is shown what it has read first, also after the password was changed.
    arguments = ["secret-get", identifier, "--refresh", "--format=json"]
    try:
        content = framework.hook_tool(arguments)
    except Unavailable as error:
        raise Unavailable(
            f"the secret in {where} cannot be read: grant it to this application ({error})"
        ) from error
    if not isinstance(content, dict):
        raise Unavailable(f"the secret in {where} has no content")
    return {str(name): str(value) for name, value in content.items()}
