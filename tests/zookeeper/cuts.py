"""An operation, cut off at each of its requests in turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zookeeper_server import Fault, Point, Proxy

# Called by an operation where counting its requests is to begin.
Arm = Callable[[], None]


def cut_at_each_request(proxy: Proxy, point: Point, operation: Callable[[str, Arm], None]) -> int:
    """Call `operation(path, arm)`, each time on a fresh path, until it no longer meets its cut.

    Returns how many requests were cut.
    """
    for number in range(100):
        fault: list[Fault] = []

        def arm(skip: int = number, fault: list[Fault] = fault) -> None:
            proxy.forget()
            fault.append(proxy.cut(point, skip=skip))

        operation(f"/path-{number}", arm)
        if not fault[0].struck.is_set():
            proxy.forget()
            return number
    pytest.fail("an operation of more than a hundred requests")
