"""What a call and Salt's configuration say of ZooKeeper, as the older module reads it, and TLS."""

from __future__ import annotations

from typing import Any

import pytest
from kazoo.security import make_digest_acl

import coordinator
from coordinator.saltext import _nested
from coordinator.saltext._settings import Settings, resolve


def resolved(configured: dict[str, Any] | None = None, **given: Any) -> Settings:
    def option(key: str) -> Any:
        flat = configured or {}
        below = {name: value for name, value in flat.items() if name.startswith(f"{key}:")}
        return flat.get(key) or below

    return resolve(option, "minion", **given)


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        ("zookeeper:2181", "zookeeper://zookeeper:2181"),
        ("zk1:1,zk2:2/fleet", "zookeeper://zk1:1,zk2:2/fleet"),
        (["zk1:1", "zk2:2"], "zookeeper://zk1:1,zk2:2"),
        ("zookeeper://zk1:1/fleet", "zookeeper://zk1:1/fleet"),
        ("embedded:/var/lib/coordinator", "embedded:/var/lib/coordinator"),
        (None, "zookeeper://127.0.0.1:2181"),
    ],
)
def test_hosts_may_be_a_list_or_a_url(hosts: Any, url: str) -> None:
    assert resolved(zk_hosts=hosts).url == url
    assert resolved({"zookeeper:hosts": hosts}).url == url
    assert resolved({"zookeeper:prod:hosts": hosts}, profile="prod").url == url


def test_an_argument_comes_before_the_profile_and_a_profile_is_alone() -> None:
    configured = {
        "zookeeper:hosts": "any:1",
        "zookeeper:username": "other",
        "zookeeper:prod:hosts": "prod:1",
        "zookeeper:prod:username": "salt",
        "zookeeper:prod:password": "secret",
        "zookeeper:prod:session_timeout": 5,
        "zookeeper:prod:tls": {"ca": "/ca.pem"},
    }
    settings = resolved(configured, profile="prod", password="file:/password")
    assert settings.url == "zookeeper://prod:1"
    assert settings.auth == "digest:salt:file:/password"
    assert (settings.session_timeout, settings.tls) == (5.0, ("/ca.pem", None, None))
    assert "salt" not in repr(settings), "nor any password"
    assert resolved(configured).auth is None, "a name without a password is nobody"
    assert resolved(configured, profile="prod", scheme="sasl").auth == "sasl:salt:secret"


def test_what_is_configured_for_zookeeper_is_not_meant_for_another_store() -> None:
    configured = {
        "zookeeper:hosts": "any:1",
        "zookeeper:username": "salt",
        "zookeeper:password": "secret",
        "zookeeper:session_timeout": 5,
        "zookeeper:tls": {"ca": "/ca.pem"},
    }
    settings = resolved(configured, zk_hosts="embedded:/var/lib/coordinator")
    assert settings == Settings("embedded:/var/lib/coordinator", "minion")
    assert resolved(configured, zk_hosts="zk1:1").session_timeout == 5.0


def test_acls_are_those_of_the_older_module() -> None:
    entry = {"username": "salt", "password": "secret", "read": True, "create": True}
    theirs = make_digest_acl(**entry)
    wanted = f"digest:{theirs.id.id}:rc"
    assert resolved(default_acl=entry).default_acl == (wanted,)
    assert resolved(default_acl=[entry, "world:anyone:r"]).default_acl == (wanted, "world:anyone:r")
    assert resolved(default_acl={**entry, "all": True}).default_acl[0].endswith(":rwcda")  # type: ignore[index]


@pytest.mark.parametrize(
    "given", [{"default_acl": {"username": "x"}}, {"default_acl": [7]}], ids=str
)
def test_what_cannot_be_meant_so_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(coordinator.Invalid):
        resolved(**given)
    with pytest.raises(coordinator.Invalid):
        resolved({"zookeeper:tls": "/ca.pem"})
    with pytest.raises(coordinator.Invalid, match="below zookeeper:prd"):
        resolved({"zookeeper:hosts": "zk1:1", "zookeeper:prod:hosts": "zk2:1"}, profile="prd")


def test_states_are_written_as_in_an_sls_file() -> None:
    high = _nested.high_data(
        {"it": {"service.running": [{"watch": []}], "pkg": ["installed"]}, "other": "test.nop"},
        "dev",
    )
    common = {"__sls__": "zk_concurrency", "__env__": "dev"}
    first, second, third = ({"order": 10000 + number} for number in range(3))
    assert high == {
        "it": {
            "service": [{"watch": []}, "running", first],
            "pkg": ["installed", second],
            **common,
        },
        "other": {"test": ["nop", third], **common},
    }
    with pytest.raises(coordinator.Invalid, match="as in an SLS file"):
        _nested.high_data(["it"], "base")  # type: ignore[arg-type]
    with pytest.raises(coordinator.Invalid, match="states and command"):
        _nested.Work({}, print, states={"it": "test.nop"}, sls=None, command="true", saltenv="base")
