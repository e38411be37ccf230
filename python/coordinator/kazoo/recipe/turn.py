"""What locks and semaphores have in common: asking, waiting, cancelling, giving back."""

from __future__ import annotations

import threading
import time

from coordinator import _core
from coordinator.exceptions import CoordinatorError, LockLost, NotHeld
from coordinator.kazoo.errors import translated
from coordinator.kazoo.exceptions import CancelledError, KazooException
from coordinator.kazoo.recipe.handle import Handle, text
from coordinator.kazoo.retry import KazooRetry, RetryFailedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from coordinator.kazoo.client import KazooClient

# How long a thread that waits for another one to give the object back goes without a look whether
# that one has lost it.
_LOOK = 1.0


class Turn:
    """One place in a queue, shared by the threads that share the object.

    Attributes:
        client: The client that it was made with.
        path: The path that it was made with.
        data: The identifier, as the node holds it.
        cancelled: Whether :meth:`cancel` was called, and not heeded yet.
        wake_event: Set when a thread that waits has been woken: cancelled, or its session was lost.
    """

    def __init__(self, client: KazooClient, path: str, identifier: object) -> None:
        self.client = client
        self.path = path
        self.data = text(identifier).encode("utf-8")
        self.wake_event = client.handler.event_object()
        self.cancelled = False
        self._identifier = text(identifier)
        self._entrance = client.handler.lock_object()
        self._changed = threading.Condition()
        self._switch: _core.Switch | None = None
        self._grant: _core.Grant | None = None

    @property
    def grant(self) -> _core.Grant | None:
        """The grant that is held: its token, its ``lost`` event, ``check()``. kazoo has none."""
        return self._grant

    @property
    def is_acquired(self) -> bool:
        """Whether it is held now: false as soon as the session is lost, and in a forked child."""
        grant = self._grant
        if grant is None:
            return False
        try:
            grant.check()
        except CoordinatorError:
            return False
        return True

    def cancel(self) -> None:
        """End the waiting of the thread that acquires: CancelledError is raised there."""
        self.cancelled = True
        self.wake_event.set()
        switch = self._switch
        if switch is not None:
            switch.throw()
        with self._changed:
            self._changed.notify_all()

    def release(self) -> bool:
        """Give it back; whether it was held until now."""
        grant = self._grant
        if grant is None:
            return False
        held = True
        try:
            self.client.retry(self._give_back, grant)
        except NotHeld:
            held = False
        except LockLost as error:
            self.client.logger.warning("%s", error)
            held = False
        with self._changed:
            # Another thread may have acquired it meanwhile.
            if self._grant is grant:
                self._grant = None
            self._changed.notify_all()
        self._let_go(grant)
        return held

    def _give_back(self, grant: _core.Grant) -> None:
        with translated(self.client):
            grant.release()

    def _acquire(
        self, lock: Handle[_core.Lock], blocking: bool, timeout: float | None, again: bool
    ) -> bool:
        """Ask; `again` is the answer where this object holds it, and nothing else may wait."""
        end = None if timeout is None else time.monotonic() + timeout
        if not self._entrance.acquire(blocking, -1 if timeout is None else timeout):
            return False
        try:
            self._switch = _core.Switch()
            if self.is_acquired and again:
                return True
            return self._is_free(blocking, end) and self._ask(lock, blocking, end)
        except KazooException:
            self.cancelled = False
            raise
        finally:
            self._switch = None
            self._entrance.release()

    def _is_free(self, blocking: bool, end: float | None) -> bool:
        """Wait until no thread holds it through this object."""
        with self._changed:
            while self.is_acquired:
                self._heed_cancel()
                rest = _rest(end)
                if not blocking or rest == 0:
                    return False
                self._changed.wait(_LOOK if rest is None else min(_LOOK, rest))
        return True

    def _ask(self, lock: Handle[_core.Lock], blocking: bool, end: float | None) -> bool:
        retry = KazooRetry(
            max_tries=-1,
            max_delay=1.0,
            sleep_func=self.client.handler.sleep_func,
            deadline=_rest(end),
            interrupt=lambda: self.cancelled,
        )
        self.client.add_listener(self._hear)
        try:
            grant = retry(self._attempt, lock, blocking, end)
        except RetryFailedError:
            self._heed_cancel()
            return False
        finally:
            self.client.remove_listener(self._hear)
        if grant is None:
            return False
        lost, self._grant = self._grant, grant
        self._keep(grant)
        self._let_go(lost)
        return True

    def _attempt(
        self, lock: Handle[_core.Lock], blocking: bool, end: float | None
    ) -> _core.Grant | None:
        self._heed_cancel()
        switch = self._switch or _core.Switch()
        with translated(self.client):
            rest = _rest(end) if blocking else None
            grant, thrown = _core.acquire_unless(lock(), switch, rest, blocking)
        if thrown:
            raise CancelledError(f"{self.path}: cancelled")
        return grant

    def _heed_cancel(self) -> None:
        if self.cancelled:
            raise CancelledError(f"{self.path}: cancelled")

    def _hear(self, state: str) -> None:
        if state == "LOST":
            self.wake_event.set()

    def _keep(self, grant: _core.Grant) -> None:
        # kazoo holds until release, also if the program keeps nothing of it.
        self.client._open().keep(grant)

    def _let_go(self, grant: _core.Grant | None) -> None:
        if self.client.started:
            self.client._open().let_go(grant)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def _rest(end: float | None) -> float | None:
    return None if end is None else max(0.0, end - time.monotonic())
