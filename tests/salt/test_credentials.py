"""Who a minion is to real servers: passwords, SASL, certificates; and what no output ever shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kazoo.exceptions import NoAuthError

from recipes import single
from salt_minion import Minion, States, states
from zookeeper_server import Certificates, Options, SaslUser, ZooKeeperServer
from zookeeper_server.fixtures import started_kazoo

SECRET = "a-planted-secret"
FLEET = SaslUser("fleet", f"{SECRET}-of-sasl")
SALT, OTHER, READER = f"{SECRET}-of-salt", f"{SECRET}-of-other", f"{SECRET}-of-reader"
TAKEN = ("digest", "sasl", "mutual", "one_way")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[ZooKeeperServer]:
    options = Options(certificates=certificates, client_certificate="need", sasl_users=[FLEET])
    with ZooKeeperServer(options) as server:
        yield server


@pytest.fixture(scope="module")
def asks_for_none(certificates: Certificates) -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer(Options(certificates=certificates)) as server:
        yield server


@pytest.fixture
def profiles(
    server: ZooKeeperServer, asks_for_none: ZooKeeperServer, certificates: Certificates
) -> dict[str, Any]:
    client = certificates.client
    with_ca = {"ca": str(certificates.authority)}
    with_key = {"certificate": str(client.certificate), "key": str(client.key)}
    of_other = {"ca": str(certificates.other_authority)}
    reader = {"username": "reader", "password": READER, "read": True}
    secure = server.secure_hosts
    return {
        "digest": {"hosts": server.hosts, "username": "salt", "default_acl": reader},
        "sasl": {"hosts": server.hosts, "scheme": "sasl", "username": "fleet"},
        "mutual": {"hosts": secure, "tls": {**with_ca, **with_key}, "default_acl": "auth::cdrwa"},
        "one_way": {"hosts": asks_for_none.secure_hosts, "tls": with_ca},
        "no_certificate": {"hosts": secure, "tls": with_ca},
        "no_such_authority": {"hosts": secure, "tls": {**of_other, **with_key}},
        "other_user": {"hosts": server.hosts, "username": "other"},
        "wrong_password": {
            "hosts": server.hosts,
            "scheme": "sasl",
            "username": "fleet",
            "password": f"{FLEET.password}-but-wrong",
        },
    }


def applied(minion: Minion, text: str) -> States:
    """As `Minion.apply`, but Salt says all that it can, and none of it is secret."""
    (minion.states / "it.sls").write_text(text)
    done = minion.run("state.apply", "it")
    assert "[DEBUG   ]" in done.stderr, "or this would show nothing"
    assert SECRET not in done.stdout + done.stderr
    for file in minion.directory.joinpath("root").rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    return states(json.loads(done.stdout)["local"])


def test_real_servers_know_a_minion_and_nothing_shows_how(
    make_minion: Callable[..., Minion],
    release: str,
    profiles: dict[str, Any],
    server: ZooKeeperServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "password").write_text(f"{SALT}\n")
    (tmp_path / "other").write_text(f"{OTHER}\n")
    monkeypatch.setenv("SASL_PASSWORD", FLEET.password)
    profiles["digest"]["password"] = f"file:{tmp_path}/password"
    profiles["sasl"]["password"] = "env:SASL_PASSWORD"
    # Both releases use the same servers.
    for name in ("digest", "sasl", "mutual", "other_user"):
        profiles[name]["hosts"] += f"/{release}"
    with started_kazoo(server.hosts) as anyone:
        anyone.create(f"/{release}")
    logs = {"log_level": "debug", "log_level_logfile": "debug"}
    minion = make_minion(release, options={"zookeeper": profiles, **logs})

    # Not the password itself: Salt keeps states in its cache as they are.
    password = f"file:{tmp_path}/other"
    other = {"name": "/digest", "profile": "other_user", "password": password}
    refused_by_tls = ("no_certificate", "no_such_authority")
    ran = applied(
        minion,
        # First, and beside each other: it takes ten seconds until they give up.
        "".join(
            single("lock", name, name="/it", profile=name, parallel=True) for name in refused_by_tls
        )
        + "".join(single("lock", name, name=f"/{name}", profile=name) for name in TAKEN)
        + single("lock", "lock_by_other", **other)
        + single("unlock", "unlock_by_other", **other)
        + single("run", "run_by_other", command="'true'", **other)
        + single("lock", "wrong_password", name="/it", profile="wrong_password"),
    )
    assert {name for name, result in ran.results.items() if result is True} == set(TAKEN), ran
    for name in refused_by_tls:
        assert "TLS" in ran[name].comment
        assert server.secure_hosts in ran[name].comment
    for name in ("lock_by_other", "unlock_by_other", "run_by_other"):
        assert "access control list does not allow it on /digest" in ran[name].comment, ran[name]
    assert "refuse who we are" in ran["wrong_password"].comment

    hosts = f"{server.hosts}/{release}"
    of_salt, of_reader = ([("digest", f"{user}")] for user in (f"salt:{SALT}", f"reader:{READER}"))
    with (
        started_kazoo(hosts, auth_data=of_salt) as salt,
        started_kazoo(hosts, auth_data=of_reader) as reader,
    ):
        (lease,) = reader.get_children("/digest")
        for path in ("/digest", f"/digest/{lease}"):
            entries = [(acl.id.scheme, acl.id.id, acl.perms) for acl in salt.get_acls(path)[0]]
            assert [(scheme, who.partition(":")[0], may) for scheme, who, may in entries] == [
                ("digest", "salt", 31),
                ("digest", "reader", 1),
            ]
        with pytest.raises(NoAuthError):
            reader.set("/digest", b"")
        for path in ("/sasl", "/mutual"):
            with pytest.raises(NoAuthError):
                salt.get_children(path)

    released = applied(
        minion, "".join(single("unlock", name, name=f"/{name}", profile=name) for name in TAKEN)
    )
    assert set(released.results.values()) == {True}, released
