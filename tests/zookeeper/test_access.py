"""Who we are to real servers: passwords, certificates, and nodes that only we may touch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.exceptions import NoAuthError
from kazoo.security import ACL, Id

import coordinator
from coordinator.kazoo import KazooClient
from coordinator.kazoo.security import CREATOR_ALL_ACL
from grants import acquire
from zookeeper_server import Certificates, Options, SaslUser, ZooKeeperServer
from zookeeper_server.fixtures import Chroot, MakeKazoo, MakeOurs, started_kazoo

SECRET = "a-planted-secret"
FLEET = SaslUser("fleet", SECRET)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[ZooKeeperServer]:
    options = Options(certificates=certificates, client_certificate="need", sasl_users=[FLEET])
    with ZooKeeperServer(options) as server:
        yield server


@pytest.mark.parametrize("given", ["argument", "file", "environment"])
def test_nodes_of_a_member_with_a_password_are_those_of_kazoo_with_it(
    zookeeper: Chroot,
    kazoo: MakeKazoo,
    ours: MakeOurs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
) -> None:
    (tmp_path / "password").write_text(f"{SECRET}\n")
    monkeypatch.setenv("FLEET_PASSWORD", SECRET)
    password = {
        "argument": SECRET,
        "file": f"file:{tmp_path}/password",
        "environment": "env:FLEET_PASSWORD",
    }[given]
    theirs = kazoo(auth_data=[("digest", f"fleet:{SECRET}")], default_acl=[ACL(31, Id("auth", ""))])
    mine = ours(auth=f"digest:fleet:{password}")
    assert theirs.Lock("/of-kazoo").acquire(timeout=5)
    grant = acquire(mine.lock("/of-ours"))
    acls = [
        theirs.get_acls(f"{path}/{child}")[0]
        for path in ("/of-kazoo", "/of-ours")
        for child in theirs.get_children(path)
    ]
    assert acls[0] == acls[1]
    assert acls[0][0].id.scheme == "digest"
    with pytest.raises(NoAuthError):
        kazoo().get_children("/of-ours")
    with pytest.raises(coordinator.CoordinatorError, match="/of-ours") as refused:
        ours().lock("/of-ours").acquire(timeout=5)
    shown = f"{mine!r} {mine.address} {grant!r} {refused.value!r} {refused.value}"
    assert SECRET not in shown
    grant.release()


def test_sasl(server: ZooKeeperServer) -> None:
    client = coordinator.connect(server.url, auth=f"sasl:fleet:{SECRET}")
    with client, started_kazoo(server.hosts) as stranger:
        grant = acquire(client.lock("/sasl"))
        with pytest.raises(NoAuthError):
            stranger.get_children("/sasl")
        grant.release()


def test_a_wrong_password_is_refused_and_not_shown(server: ZooKeeperServer) -> None:
    with pytest.raises(coordinator.Invalid) as refused:
        coordinator.connect(server.url, auth=f"sasl:fleet:{SECRET}-but-wrong")
    assert SECRET not in f"{refused.value!r} {refused.value}"


def test_certificates(server: ZooKeeperServer, certificates: Certificates) -> None:
    identity = certificates.client
    tls = coordinator.Tls(certificates.authority, identity.certificate, identity.key)
    with coordinator.connect(f"zookeeper://{server.secure_hosts}", tls=tls) as client:
        with client.lock("/tls", timeout=5) as grant:
            grant.check()
        assert client.lock("/tls").contenders() == []


def test_sasl_and_certificates_by_kazoos_names(
    server: ZooKeeperServer, certificates: Certificates
) -> None:
    identity = certificates.client
    sasl = {"mechanism": "DIGEST-MD5", "username": "fleet", "password": SECRET}
    by_certificate = KazooClient(
        server.secure_hosts,
        use_ssl=True,
        ca=str(certificates.authority),
        certfile=str(identity.certificate),
        keyfile=str(identity.key),
        default_acl=CREATOR_ALL_ACL,
    )
    by_password = KazooClient(server.hosts, sasl_options=sasl, default_acl=CREATOR_ALL_ACL)
    for number, client in enumerate((by_certificate, by_password)):
        client.start()
        client.create(f"/named-{number}")
        with started_kazoo(server.hosts) as stranger, pytest.raises(NoAuthError):
            stranger.get(f"/named-{number}")
        assert client.get(f"/named-{number}")[0] == b""
        client.stop()
    wrong = KazooClient(server.hosts, sasl_options={**sasl, "password": f"{SECRET}-but-wrong"})
    with pytest.raises(coordinator.Invalid) as refused:
        wrong.start()
    assert SECRET not in f"{refused.value!r} {wrong!r}"


def test_servers_of_another_authority_are_not_trusted(
    server: ZooKeeperServer, certificates: Certificates
) -> None:
    client = certificates.client
    tls = coordinator.Tls(certificates.other_authority, client.certificate, client.key)
    url = f"zookeeper://{server.secure_hosts}"
    with pytest.raises(coordinator.Unavailable, match=r"within 2s.*TLS") as refused:
        coordinator.connect(url, tls=tls, connect_timeout=2)
    assert server.secure_hosts in str(refused.value)
