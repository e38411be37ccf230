"""What a client has from its start to its stop: a session, its events, and what it holds."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from coordinator import _core
from coordinator.exceptions import Unavailable
from coordinator.kazoo.exceptions import ConnectionClosedError, ConnectionLoss, refusal
from coordinator.kazoo.handlers.threading import AsyncResult, SequentialThreadingHandler
from coordinator.kazoo.protocol.states import Callback, EventType, KeeperState, WatchedEvent

Watcher = Callable[[WatchedEvent], object]
_STATES = {"connected": "CONNECTED", "suspended": "SUSPENDED", "lost": "LOST"}
# How long a stop waits for listeners that do not return.
_PATIENCE = 10.0


@dataclass(frozen=True)
class Ask:
    """A call of the store's nodes.

    Attributes:
        request: As the core reads it.
        convert: Makes of the answer what the caller is given.
        watches: What a watch of it is about: data or children; empty if it can leave none.
        rejected: Makes of a code and a message what the caller is given, or raises.
    """

    request: tuple[Any, ...]
    convert: Callable[[Any], Any]
    watches: str = ""
    rejected: Callable[[int, Any], Any] | None = None

    def result(self, code: int, value: Any) -> Any:
        """Return what the caller is given, or raise."""
        if code == 0:
            return self.convert(value)
        if self.rejected is not None:
            return self.rejected(code, value)
        raise refusal(code, value)


_Key = tuple[str, str, Watcher]


class Session:
    """One session of a client, or several: when one is lost, the next is opened.

    Args:
        core: The client of the core.
        handler: Calls watches and callbacks.
        tell: Told each state, in a thread that does nothing else.
    """

    def __init__(
        self,
        core: _core.Client,
        handler: SequentialThreadingHandler,
        tell: Callable[[str], None],
    ) -> None:
        self.core = core
        self._handler = handler
        self._tell = tell
        self._nodes = _core.nodes(core)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._watchers: dict[int, _Key] = {}
        self._watched: set[_Key] = set()
        self._results: dict[int, tuple[Ask, AsyncResult, int | None]] = {}
        self._held: dict[int, object] = {}
        self._threads: list[threading.Thread] = []

    def begin(self) -> None:
        """Begin to tell: only now, when whoever is told can already use the session."""
        self._threads = [
            self._handler.spawn(self._tell_states, _core.states(self.core)),
            self._handler.spawn(self._tell_news),
        ]

    def call(self, ask: Ask, watcher: Watcher | None = None) -> Any:
        """Carry out a call, and return what it gives."""
        watch = self._watch(ask, watcher)
        try:
            code, value = self._nodes.call(ask.request, watch)
            result = ask.result(code, value)
        except Unavailable as error:
            self._forget(watch)
            raise ConnectionLoss(str(error)) from error
        except BaseException:
            self._forget(watch)
            raise
        return result

    def submit(self, ask: Ask, watcher: Watcher | None = None) -> AsyncResult:
        """Begin a call: calls of a session are carried out in the order of this."""
        result, number, watch = AsyncResult(self._handler), next(self._numbers), None
        try:
            watch = self._watch(ask, watcher)
            with self._lock:
                self._results[number] = (ask, result, watch)
            self._nodes.submit(number, ask.request, watch)
        except Unavailable as error:
            self._end(number, ConnectionLoss(str(error)))
        except BaseException as error:
            self._end(number, ConnectionLoss(str(error)))
            raise
        return result

    def keep(self, thing: object) -> None:
        """Keep what is held, though the program keeps nothing of it: until the session ends."""
        self._held[id(thing)] = thing

    def let_go(self, thing: object) -> None:
        """Keep it no longer."""
        self._held.pop(id(thing), None)

    def close(self) -> None:
        """End the session, and return when listeners and watches have been told."""
        self.core.close()
        self._nodes.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_PATIENCE)
        self._held.clear()

    def _tell_states(self, states: _core.States) -> None:
        for state in iter(states.next, None):
            self._tell(_STATES[state])

    def _tell_news(self) -> None:
        for news in iter(self._nodes.next, None):
            if news[0] == "reply":
                self._reply(news[1], *news[2])
            else:
                self._fire(news[1], news[2], news[3], KeeperState.EXPIRED_SESSION)
        with self._lock:
            watches, results = list(self._watchers), list(self._results)
        for number in watches:
            self._fire(number, None, None, KeeperState.CLOSED)
        for number in results:
            self._end(number, ConnectionClosedError("the client was stopped"))

    def _reply(self, number: int, code: int, value: Any) -> None:
        with self._lock:
            ask, result, watch = self._results.pop(number)
        try:
            result.set(ask.result(code, value))
        except Exception as error:
            self._forget(watch)
            result.set_exception(error)

    def _end(self, number: int, error: Exception) -> None:
        with self._lock:
            ended = self._results.pop(number, None)
        if ended is not None:
            self._forget(ended[2])
            ended[1].set_exception(error)

    def _fire(self, number: int, change: str | None, path: str | None, otherwise: str) -> None:
        key = self._forget(number)
        if key is None:
            return
        state = otherwise if change is None else KeeperState.CONNECTED
        event = WatchedEvent(change or EventType.NONE, state, path)
        self._handler.dispatch_callback(Callback("watch", key[2], (event,)))

    def _watch(self, ask: Ask, watcher: Watcher | None) -> int | None:
        """Note a watch, unless the same one is there: it will be called once for both."""
        if watcher is None:
            return None
        key = (ask.watches, ask.request[1], watcher)
        with self._lock:
            if key in self._watched:
                return None
            self._watched.add(key)
            number = next(self._numbers)
            self._watchers[number] = key
        return number

    def _forget(self, number: int | None) -> _Key | None:
        with self._lock:
            key = None if number is None else self._watchers.pop(number, None)
            if key is not None:
                self._watched.discard(key)
            return key
