"""The servers of the tests: they serve, they fail when told to, and they leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kazoo.client import KazooState
from kazoo.exceptions import NoAuthError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import make_acl

from waiting import until
from zookeeper_server import (
    Certificates,
    Ensemble,
    Installation,
    NotInstalled,
    Options,
    SaslUser,
    SharedServer,
    ZooKeeperServer,
)
from zookeeper_server.fixtures import Chroot, MakeKazoo, started_kazoo


def test_every_test_has_a_fresh_chroot(zookeeper: Chroot, kazoo: MakeKazoo) -> None:
    client = kazoo()
    assert client.get_children("/") == []
    client.create("/mine")
    assert zookeeper.path.strip("/") in kazoo(zookeeper.hosts.split("/")[0]).get_children("/")


def test_data_outlive_a_killed_server(own_server: ZooKeeperServer, kazoo: MakeKazoo) -> None:
    client = kazoo(own_server.hosts)
    client.create("/kept", b"value")
    own_server.restart()
    assert client.retry(client.get, "/kept")[0] == b"value"


def test_a_frozen_server_answers_nothing_until_it_thaws(
    own_server: ZooKeeperServer, kazoo: MakeKazoo
) -> None:
    client = kazoo(own_server.hosts, timeout=30)
    own_server.freeze()
    answer = client.exists_async("/")
    with pytest.raises(KazooTimeoutError):
        answer.get(timeout=0.5)
    own_server.thaw()
    assert answer.get(timeout=10) is not None


def test_an_ensemble_goes_on_without_its_leader() -> None:
    with Ensemble() as ensemble, started_kazoo(ensemble.hosts) as client:
        client.create("/kept", b"value")
        old = ensemble.leader()
        old.kill()
        assert ensemble.leader() is not old
        assert client.retry(client.get, "/kept")[0] == b"value"
        old.start()
        old.wait_until_serving()
        assert len(ensemble.followers()) == 2


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def test_tls_with_client_certificates(certificates: Certificates) -> None:
    options = Options(certificates=certificates, client_certificate="need")
    with ZooKeeperServer(options) as server:
        identity = {
            "certfile": str(certificates.client.certificate),
            "keyfile": str(certificates.client.key),
        }
        tls = {"use_ssl": True, "ca": str(certificates.authority)}
        with started_kazoo(server.secure_hosts, **tls, **identity) as client:
            assert client.exists("/")
        stranger = ssl.create_default_context(cafile=str(certificates.authority))
        stranger.load_cert_chain(certificates.stranger.certificate, certificates.stranger.key)
        host, port = server.secure_hosts.split(":")
        with (
            socket.create_connection((host, int(port))) as connection,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            stranger.wrap_socket(connection, server_hostname=host)


def test_sasl_digest() -> None:
    fleet = SaslUser("fleet", "a-planted-secret")
    with ZooKeeperServer(Options(sasl_users=[fleet])) as server:
        sasl = {"mechanism": "DIGEST-MD5", "username": "fleet", "password": fleet.password}
        with (
            started_kazoo(server.hosts, sasl_options=sasl) as member,
            started_kazoo(server.hosts) as stranger,
        ):
            member.create("/mine", acl=[make_acl("sasl", "fleet", all=True)])
            assert member.get("/mine")[0] == b""
            with pytest.raises(NoAuthError):
                stranger.get("/mine")


STARTS_AND_WAITS = """
import sys
from zookeeper_server import ZooKeeperServer
server = ZooKeeperServer()
server.start()
print(server.pid, server.directory, flush=True)
sys.stdin.read()
"""


def test_a_server_ends_with_the_process_that_started_it_also_when_that_is_killed() -> None:
    here = str(Path(__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_AND_WAITS],
        env={**os.environ, "PYTHONPATH": here},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        pid, directory = starter.stdout.readline().split()
        ended = os.pidfd_open(int(pid))
        assert Path(directory).is_dir()
        starter.send_signal(signal.SIGKILL)
    try:
        until(lambda: not Path(directory).exists())
        with pytest.raises(ProcessLookupError):
            signal.pidfd_send_signal(ended, signal.SIGKILL)
    finally:
        os.close(ended)


def test_a_shared_server_lives_as_long_as_anyone_shares_it(tmp_path: Path) -> None:
    first, second = SharedServer(tmp_path), SharedServer(tmp_path)
    with second:
        with first:
            assert first.port == second.port
        with started_kazoo(second.hosts) as client:
            assert client.state == KazooState.CONNECTED
        old = second.port
    # Its last user has gone: whoever comes now gets a server that serves.
    with SharedServer(tmp_path) as third, started_kazoo(third.hosts) as client:
        assert third.port != old or client.get_children("/") == ["zookeeper"]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NotInstalled, match=r"apt-get install .*libzookeeper-java"):
        Installation.find()


def test_a_killed_server_is_gone(own_server: ZooKeeperServer) -> None:
    began = time.monotonic()
    own_server.kill()
    assert own_server.mode() == ""
    assert time.monotonic() - began < 10
