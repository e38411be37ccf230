"""ZooKeeper's frames, as far as a proxy has to understand them.

A frame is a length of four bytes and so many bytes. The first of each direction opens the session;
then a request begins with its number (xid) and operation code, a reply with the number of its
request. Replies come in the order of the requests; what has a negative number is beside that order.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

OPERATIONS = {
    1: "create", 2: "delete", 3: "exists", 4: "get", 5: "set", 6: "get_acl", 7: "set_acl",
    8: "get_children", 9: "sync", 11: "ping", 12: "get_children2", 13: "check", 14: "multi",
    15: "create2", 16: "reconfig", 17: "check_watches", 18: "remove_watches",
    19: "create_container", 20: "delete_container", 21: "create_ttl", 22: "multi_read",
    100: "auth", 101: "set_watches", 102: "sasl", 103: "get_ephemerals",
    104: "get_all_children_number", 105: "set_watches2", 106: "add_watch", 107: "who_am_i",
    -10: "create_session", -11: "close",
}  # fmt: skip
WITHOUT_PATH = {"ping", "close", "auth", "sasl", "set_watches", "set_watches2", "who_am_i"}
# Requests that a client library makes by itself, at any time.
HOUSEKEEPING = {"ping", "auth", "sasl", "set_watches", "set_watches2", "connect"}
MULTI = ("multi", "multi_read")
WATCH_EVENT = -1
CLOSE = -11


@dataclass(frozen=True)
class Request:
    """A request that passed, or was kept from passing.

    Attributes:
        connection: The how manieth connection through the proxy, from 0.
        xid: Its number in the connection.
        operation: One of `OPERATIONS`, or `connect`.
        path: The node, as the server sees it (with the chroot); of a multi, that of its first part.
    """

    connection: int
    xid: int
    operation: str
    path: str


Matcher = Callable[[Request], bool]


def request(*operations: str, path: str = "") -> Matcher:
    """Matches requests of these operations whose path contains `path`.

    Without operations, all that a recipe asks: not what a client library asks by itself.
    """
    known = {*OPERATIONS.values(), "connect"}
    assert known.issuperset(operations), f"unknown: {set(operations) - known}"

    def matches(candidate: Request) -> bool:
        named = candidate.operation in operations
        wanted = named if operations else candidate.operation not in HOUSEKEEPING | {"close"}
        return wanted and path in candidate.path

    return matches


def read_frame(connection: socket.socket) -> bytes:
    """The next frame without its length; empty at the end of the connection."""
    header = _read_exactly(connection, 4)
    return _read_exactly(connection, struct.unpack(">i", header)[0]) if header else b""


def write_frame(connection: socket.socket, frame: bytes) -> None:
    """Send a frame with its length."""
    connection.sendall(struct.pack(">i", len(frame)) + frame)


def close_session(connection: socket.socket, opening: bytes) -> None:
    """Take over the session that a server opened with this frame, and close it."""
    # Protocol version, timeout, session, password with its length.
    timeout, session, length = struct.unpack_from(">4x iqi", opening)
    password = opening[20 : 20 + length]
    request = struct.pack(">iqiqi", 0, 0, timeout, session, length) + password + b"\0"
    write_frame(connection, request)
    read_frame(connection)
    write_frame(connection, struct.pack(">ii", 1, CLOSE))
    assert read_frame(connection), "somebody else took the session over before it was closed"
    # The end of the connection.
    read_frame(connection)


def parse_request(connection: int, frame: bytes) -> Request:
    """What a frame from a client to a server asks; not for the first one of a connection."""
    xid, code = struct.unpack_from(">ii", frame)
    operation = OPERATIONS.get(code, str(code))
    # The header of a multi's first part is nine bytes long.
    offset = 8 + 9 * (operation in MULTI)
    path = "" if operation in WITHOUT_PATH else _text(frame, offset)
    return Request(connection, xid, operation, path)


def reply_number(frame: bytes) -> int:
    """The number of the request that a frame from a server to a client answers."""
    return int(struct.unpack_from(">i", frame)[0])


def _text(frame: bytes, offset: int) -> str:
    if len(frame) < offset + 4:
        return ""
    (length,) = struct.unpack_from(">i", frame, offset)
    return frame[offset + 4 : offset + 4 + max(length, 0)].decode(errors="replace")


def _read_exactly(connection: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = connection.recv(length)
        if not part:
            return b""
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
