"""Three servers that are one store."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from .options import Options
from .ports import LOOPBACK, Ports
from .server import START_BOUND, NotReady, ZooKeeperServer

if TYPE_CHECKING:
    from typing import Self


class Ensemble:
    """An ensemble on loopback; used like a single server."""

    def __init__(self, options: Options | None = None, size: int = 3) -> None:
        self._ports = Ports()
        peers = {
            member: f"{LOOPBACK}:{self._ports.claim()}:{self._ports.claim()}"
            for member in range(1, size + 1)
        }
        self.servers = [ZooKeeperServer(options, member=n, peers=peers) for n in peers]

    @property
    def hosts(self) -> str:
        """`host:port` of each, with commas between."""
        return ",".join(server.hosts for server in self.servers)

    @property
    def url(self) -> str:
        """As coordinator wants it."""
        return f"zookeeper://{self.hosts}"

    def leader(self, bound: float = START_BOUND) -> ZooKeeperServer:
        """The server that leads, once there is one.

        Raises:
            NotReady: None leads within `bound` seconds.
        """
        deadline = time.monotonic() + bound
        while True:
            for server in self.servers:
                if server.mode() == "leader":
                    return server
            if time.monotonic() > deadline:
                logs = "\n".join(server.log_tail(10) for server in self.servers)
                raise NotReady(f"none of {self.hosts} leads:\n{logs}")
            time.sleep(0.05)

    def followers(self) -> list[ZooKeeperServer]:
        """Those that serve and do not lead."""
        return [server for server in self.servers if server.mode() == "follower"]

    def close(self) -> None:
        """End all of them and remove what they left."""
        for server in self.servers:
            server.close()
        self._ports.close()

    def __enter__(self) -> Self:
        try:
            for server in self.servers:
                server.start()
            for server in self.servers:
                server.wait_until_serving()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
