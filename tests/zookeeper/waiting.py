"""Waiting for a condition: with a bound that only a broken test meets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing import Self

BOUND = 30.0
T = TypeVar("T")


def until(condition: Callable[[], object], bound: float = BOUND) -> None:
    """Return as soon as `condition()` is true; fail if it is not within `bound` seconds."""
    deadline = time.monotonic() + bound
    while not condition():
        assert time.monotonic() < deadline, f"not within {bound} s"
        time.sleep(0.005)


class Stopwatch:
    """Measures a `with` block, and how late this machine was meanwhile: others use it too.

    Attributes:
        elapsed: Seconds.
        delay: How much later than asked for a thread that slept was woken, at worst, twice: two
            threads have to be woken one after the other until an answer is there. Half a second
            at the least: other processes, that nobody measures, have to be woken too.
    """

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.delay = 0.5
        self._ended = threading.Event()
        self._sleeper = threading.Thread(target=self._sleep, daemon=True)

    def _sleep(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            time.sleep(0.002)
            self.delay = max(self.delay, 2 * (time.monotonic() - began - 0.002))

    def __enter__(self) -> Self:
        self._sleeper.start()
        self._began = time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        self.elapsed = time.monotonic() - self._began
        self._ended.set()
        self._sleeper.join()


def in_thread(function: Callable[[], T]) -> Future[T]:
    """Call it in a thread of its own; one that hangs keeps nobody from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=repr(function), daemon=True).start()
    return future


def hangs(future: Future[Any], bound: float = 0.5) -> bool:
    """Whether it has not ended after `bound` seconds."""
    return not wait([future], bound).done
