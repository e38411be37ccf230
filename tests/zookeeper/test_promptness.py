"""Requests that are submitted together reach the server together: nothing holds the later ones."""

from __future__ import annotations

import socket
from pathlib import Path

from grants import acquire
from waiting import until
from zookeeper_server import Proxy
from zookeeper_server.fixtures import Chroot, MakeOurs


def delays(port: int) -> list[bool]:
    """Whether the kernel holds small packets back, of each connection of this process to a port."""
    found = []
    for entry in Path("/dev/fd").iterdir():
        try:
            if not str(entry.readlink()).startswith("socket:"):
                continue
            connection = socket.socket(fileno=int(entry.name))
        except OSError:
            continue  # gone meanwhile, as the descriptor of this listing is
        try:
            if connection.getpeername()[1:2] == (port,):
                option = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                found.append(not option)
        except OSError:
            pass  # not connected
        finally:
            connection.detach()  # it is not ours to close
    return found


def test_no_connection_of_a_session_delays(zookeeper: Chroot, proxy: Proxy, ours: MakeOurs) -> None:
    client = ours(zookeeper.through(proxy).hosts)
    assert delays(proxy.port) == [False]
    proxy.cut_all()
    acquire(client.lock("/after"))
    until(lambda: delays(proxy.port) == [False])
