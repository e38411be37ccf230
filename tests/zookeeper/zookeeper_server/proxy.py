"""A proxy between clients and a server, that fails exactly where a test says.

    with Proxy(server.address) as proxy:
        client = connect(proxy.hosts)
        fault = proxy.cut(Point.REPLY, request("create", path="/lock"))
        ...                      # the node is made, the client never hears of it
        assert fault.struck.is_set()

It understands frames, so what it does depends on no timing.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from .fault import Fault, Point
from .link import Link
from .ports import LOOPBACK
from .wire import Matcher, Request, request

if TYPE_CHECKING:
    from typing import Self


class Proxy:
    """Listens on a port of its own and passes on to `upstream`."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.upstream = upstream
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self._lock = threading.RLock()
        self._faults: list[Fault] = []
        self._requests: list[Request] = []
        self._links: list[Link] = []
        self._numbers = itertools.count()
        self._refuses = False
        # Set while frames pass; a stalled direction keeps its connections and passes nothing.
        self.to_server = threading.Event()
        self.to_client = threading.Event()
        self.watch_events = threading.Event()
        self.thaw()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def hosts(self) -> str:
        """`host:port` for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """As coordinator wants it."""
        return f"zookeeper://{self.hosts}"

    # -- what a test does ------------------------------------------------------------------------

    def cut(self, point: Point, matches: Matcher | None = None, skip: int = 0) -> Fault:
        """Break the connection of the first request that matches, after `skip` others that do.

        With Point.REQUEST the server never sees it. With Point.REPLY it is committed, and nothing
        that was sent after it reaches the server.
        """
        return self._add(Fault(point, matches or request(), skip, holds=False))

    def hold(self, point: Point, matches: Matcher | None = None, skip: int = 0) -> Fault:
        """Stop the direction of that connection at that request, until `Fault.release`."""
        return self._add(Fault(point, matches or request(), skip, holds=True))

    def hold_watch_events(self) -> None:
        """Stop what goes to clients at the next watch event, until `thaw`.

        What comes after it waits too: ZooKeeper promises that no reply overtakes a watch event.
        """
        self.watch_events.clear()

    def freeze(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Pass nothing in these directions, and break nothing, until `thaw`."""
        if to_server:
            self.to_server.clear()
        if to_client:
            self.to_client.clear()

    def thaw(self) -> None:
        """Pass on everything that waited, in order."""
        for gate in (self.to_server, self.to_client, self.watch_events):
            gate.set()

    def cut_all(self, *, refuse: bool = False) -> None:
        """Break every connection; with `refuse`, also new ones, until `accept`."""
        with self._lock:
            self._refuses = refuse
            links, self._links = self._links, []
        for link in links:
            link.close()

    def expire_sessions(self) -> None:
        """End the sessions of every connection on the server, as if their timeout had passed."""
        # Nothing new passes meanwhile: a client that came back before its session was closed would
        # take it over again, and keep it.
        with self._lock:
            for link in self._links:
                if not link.closed.is_set():
                    link.expire()

    def accept(self) -> None:
        """Take connections again."""
        self._refuses = False

    @property
    def requests(self) -> list[Request]:
        """What came from clients until now, in order, without what libraries ask by themselves."""
        with self._lock:
            return [each for each in self._requests if request()(each)]

    def forget(self) -> None:
        """Empty `requests`, and drop the faults that have met nothing."""
        with self._lock:
            self._requests.clear()
            self._faults.clear()

    def close(self) -> None:
        """Break everything and stop listening."""
        # Closing alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all(refuse=True)
        self.thaw()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept_all, name="proxy", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- what a link asks ------------------------------------------------------------------------

    def arrived(self, candidate: Request) -> list[Fault]:
        """Note a request; the faults that it meets."""
        with self._lock:
            self._requests.append(candidate)
            met = [fault for fault in self._faults if fault.claim(candidate)]
            self._faults = [fault for fault in self._faults if fault not in met]
            return met

    def _add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def _accept_all(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                client.close()
                continue
            self._link(client)

    def _link(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.upstream, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        link = Link(self, next(self._numbers), client, server)
        with self._lock:
            # `cut_all` may have come meanwhile: what it says holds for this one too.
            if self._refuses:
                link.close()
                return
            self._links = [other for other in self._links if not other.closed.is_set()]
            self._links.append(link)
        link.start()
