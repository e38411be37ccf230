"""Free ports on loopback, of which no other test can be given the same one."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below the range from which the kernel takes the ports of outgoing connections: there, a port can
# be taken between the moment it was found to be free and the moment the server binds it.
FIRST, LAST = 15_000, 29_999


class Ports:
    """Loopback ports that are this object's until it is closed, in all processes that use it."""

    def __init__(self) -> None:
        self._claims: list[int] = []

    def claim(self) -> int:
        """A port that nobody listens on and nobody else has claimed."""
        while True:
            port = random.randint(FIRST, LAST)
            descriptor = os.open(_claim_file(port), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _probe(port)
            except OSError:
                os.close(descriptor)
                continue
            self._claims.append(descriptor)
            return port

    def close(self) -> None:
        """Give the ports back."""
        while self._claims:
            os.close(self._claims.pop())


def _claim_file(port: int) -> Path:
    directory = Path(tempfile.gettempdir()) / f"zookeeper-test-ports-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / str(port)


def _probe(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
