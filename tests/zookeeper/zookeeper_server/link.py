"""One connection through the proxy: a thread for each direction."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .fault import Fault, Point
from .wire import (
    WATCH_EVENT,
    Request,
    close_session,
    parse_request,
    read_frame,
    reply_number,
    write_frame,
)

if TYPE_CHECKING:
    from .proxy import Proxy


class Link:
    """Passes frames both ways until one side ends or a fault cuts it."""

    def __init__(
        self, proxy: Proxy, number: int, client: socket.socket, server: socket.socket
    ) -> None:
        self.closed = threading.Event()
        self._proxy = proxy
        self._number = number
        self._client = client
        self._server = server
        self._opening = b""
        # By request number: what is to happen to its reply.
        self._at_reply: dict[int, list[Fault]] = {}
        for side in (client, server):
            # A frame is written at once: nothing is won by waiting for more.
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        """Begin to pass frames."""
        threading.Thread(target=self._run, name=f"proxy {self._number}", daemon=True).start()

    def close(self) -> None:
        """Break both connections."""
        self.closed.set()
        for side in (self._client, self._server):
            # A thread that reads is woken by this, not by close.
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def expire(self) -> None:
        """End the session on the server, as if its timeout had passed."""
        if self._opening:
            with socket.create_connection(self._server.getpeername(), timeout=10) as connection:
                close_session(connection, self._opening)

    def _run(self) -> None:
        replies = threading.Thread(target=self._until_closed, args=(self._replies,), daemon=True)
        replies.start()
        self._until_closed(self._requests)
        replies.join()
        self._client.close()
        self._server.close()

    def _until_closed(self, run: Callable[[], None]) -> None:
        try:
            run()
        except OSError:
            pass
        finally:
            self.close()

    def _requests(self) -> None:
        first = read_frame(self._client)
        opening = Request(self._number, 0, "connect", "")
        if not first or not self._pass_request(opening, first):
            return
        while frame := read_frame(self._client):
            if not self._pass_request(parse_request(self._number, frame), frame):
                return

    def _pass_request(self, candidate: Request, frame: bytes) -> bool:
        """Send one request on; False if nothing may follow it."""
        met = self._proxy.arrived(candidate)
        for fault in met:
            if fault.point is Point.REQUEST and fault.strike(self.closed):
                return False
        self._wait_for(self._proxy.to_server)
        at_reply = [fault for fault in met if fault.point is Point.REPLY]
        if at_reply:
            self._at_reply[candidate.xid] = at_reply
        write_frame(self._server, frame)
        if any(not fault.holds for fault in at_reply):
            # The reply will cut the connection; until then this direction is silent.
            self.closed.wait()
            return False
        return True

    def _replies(self) -> None:
        # The reply that opens the session has no number, but counts as that of request 0.
        frame, number = read_frame(self._server), 0
        self._opening = frame
        while frame:
            if not self._pass_reply(number, frame):
                return
            frame = read_frame(self._server)
            number = reply_number(frame) if frame else 0

    def _pass_reply(self, number: int, frame: bytes) -> bool:
        """Send one reply on; False if the connection is to be cut instead."""
        for fault in self._at_reply.pop(number, ()):
            if fault.strike(self.closed):
                return False
        if number == WATCH_EVENT:
            self._wait_for(self._proxy.watch_events)
        self._wait_for(self._proxy.to_client)
        write_frame(self._client, frame)
        return True

    def _wait_for(self, gate: threading.Event) -> None:
        while not gate.wait(0.01) and not self.closed.is_set():
            pass
