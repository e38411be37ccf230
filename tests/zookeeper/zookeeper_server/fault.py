"""Faults that wait for a request in a proxy."""

from __future__ import annotations

import enum
import threading

from .wire import Matcher, Request


class Point(enum.Enum):
    """Where on its way a request meets a fault."""

    REQUEST = "before the server sees the request"
    REPLY = "after the server has answered, before the client sees the reply"


class Fault:
    """A fault in wait for one request; `struck` is set once it has met it.

    A fault that holds goes on holding what comes after, as a slow network would, until `release`.
    """

    def __init__(self, point: Point, matches: Matcher, skip: int, *, holds: bool) -> None:
        self.point = point
        self.holds = holds
        self.struck = threading.Event()
        self.met: Request | None = None
        self._matches = matches
        self._skip = skip
        self._released = threading.Event()

    def release(self) -> None:
        """Let go on what was held."""
        self._released.set()

    def wait(self, bound: float = 10.0) -> Request:
        """The request that it met; fails if it met none within `bound` seconds."""
        assert self.struck.wait(bound), f"no request met the fault {self.point.value}"
        assert self.met is not None
        return self.met

    def claim(self, candidate: Request) -> bool:
        """Whether this is the request; at most one is. Not for tests."""
        if self.met is not None or not self._matches(candidate):
            return False
        if self._skip:
            self._skip -= 1
            return False
        self.met = candidate
        return True

    def strike(self, closed: threading.Event) -> bool:
        """Say so, hold if it holds, and tell whether the connection is to be cut. Not for tests."""
        self.struck.set()
        while self.holds and not self._released.wait(0.01) and not closed.is_set():
            pass
        return not self.holds
