"""Callbacks and results for threads, by kazoo's names."""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from coordinator.kazoo.protocol.states import Callback

log = logging.getLogger(__name__)


class KazooTimeoutError(Exception):
    """A result, or a connection, was not there in time."""


class AsyncResult:
    """What an operation will have returned or raised."""

    def __init__(self, handler: SequentialThreadingHandler) -> None:
        self._handler = handler
        self._condition = threading.Condition()
        self._callbacks: list[Callable[[AsyncResult], object]] = []
        self._ready = False
        self._exception: BaseException | None = None
        self.value: Any = None

    def ready(self) -> bool:
        """Whether it is over."""
        return self._ready

    def successful(self) -> bool:
        """Whether it is over and did not fail."""
        return self._ready and self._exception is None

    @property
    def exception(self) -> BaseException | None:
        """What it failed with; None if it did not, or is not over."""
        return self._exception

    def set(self, value: Any = None) -> None:
        """Say that it is over, and with what."""
        self._end(value, None)

    def set_exception(self, exception: BaseException) -> None:
        """Say that it failed, and how."""
        self._end(None, exception)

    def _end(self, value: Any, exception: BaseException | None) -> None:
        with self._condition:
            self.value, self._exception, self._ready = value, exception, True
            callbacks, self._callbacks = self._callbacks, []
            self._condition.notify_all()
        for callback in callbacks:
            self._handler.dispatch_completion(functools.partial(callback, self))

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return what it returned, or raise what it raised.

        Raises:
            KazooTimeoutError: it is not over.
        """
        if not self._ready and not (block and self.wait(timeout)):
            raise KazooTimeoutError("no result yet")
        if self._exception is not None:
            raise self._exception
        return self.value

    def get_nowait(self) -> Any:
        """Return what it returned, or raise what it raised, without waiting."""
        return self.get(block=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is over; whether it is."""
        with self._condition:
            return self._condition.wait_for(self.ready, timeout)

    def rawlink(self, callback: Callable[[AsyncResult], object]) -> None:
        """Have this called with this result once it is over."""
        with self._condition:
            if not self._ready:
                if callback not in self._callbacks:
                    self._callbacks.append(callback)
                return
        self._handler.dispatch_completion(functools.partial(callback, self))

    def unlink(self, callback: Callable[[AsyncResult], object]) -> None:
        """Take back a :meth:`rawlink`."""
        with self._condition:
            if callback in self._callbacks:
                self._callbacks.remove(callback)


_Calls = queue.Queue[Callable[[], object] | None]


class SequentialThreadingHandler:
    """Calls watches in one thread and callbacks of results in another, each in order.

    A callback may wait for the store. Others of its kind wait for it.
    """

    name = "sequential_threading_handler"
    timeout_exception = KazooTimeoutError
    sleep_func = staticmethod(time.sleep)

    def __init__(self) -> None:
        self.callback_queue: _Calls = queue.Queue()
        self.completion_queue: _Calls = queue.Queue()
        self._lock = threading.Lock()
        self._running = False

    @property
    def running(self) -> bool:
        """Whether its threads are there."""
        return self._running

    def start(self) -> None:
        """Start the threads; does nothing if they are there."""
        with self._lock:
            if self._running:
                return
            self._running = True
            for calls in (self.callback_queue, self.completion_queue):
                self.spawn(_work, calls)

    def stop(self) -> None:
        """End the threads, behind all calls that wait already."""
        with self._lock:
            if not self._running:
                return
            self._running = False
            self.callback_queue.put(None)
            self.completion_queue.put(None)
            self.callback_queue = queue.Queue()
            self.completion_queue = queue.Queue()

    def event_object(self) -> threading.Event:
        """Make an event."""
        return threading.Event()

    def lock_object(self) -> threading.Lock:
        """Make a lock."""
        return threading.Lock()

    def rlock_object(self) -> threading.RLock:
        """Make a lock that its thread may take again."""
        return threading.RLock()

    def async_result(self) -> AsyncResult:
        """Make a result."""
        return AsyncResult(self)

    def spawn(self, func: Callable[..., object], *args: Any, **kwargs: Any) -> threading.Thread:
        """Call it in a thread of its own."""
        thread = threading.Thread(target=func, args=args, kwargs=kwargs, daemon=True)
        thread.start()
        return thread

    def dispatch_callback(self, callback: Callback) -> None:
        """Have a watch called."""
        self.callback_queue.put(functools.partial(callback.func, *callback.args))

    def dispatch_completion(self, call: Callable[[], object]) -> None:
        """Have a callback of a result called: here and now, if the threads are not there."""
        with self._lock:
            if self._running:
                self.completion_queue.put(call)
                return
        call()


def _work(calls: _Calls) -> None:
    for call in iter(calls.get, None):
        try:
            call()
        except Exception:
            log.exception("a callback failed")
