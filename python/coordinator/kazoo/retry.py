"""Trying again what a broken connection failed, by kazoo's names."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from coordinator.kazoo.exceptions import (
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    OperationTimeoutError,
    SessionExpiredError,
)

_T = TypeVar("_T")


class ForceRetryError(Exception):
    """Raised by what wants to be tried again."""


class RetryFailedError(KazooException):
    """It failed as often, or for as long, as was allowed."""


class InterruptedError(RetryFailedError):  # noqa: A001 (kazoo's name)
    """The interrupt function ended it."""


class KazooRetry:
    """Calls a function again while it fails with an exception that may pass.

    Args:
        max_tries: How often it is called at most; -1 or None for no bound.
        delay: Seconds before the second call.
        backoff: By what the delay grows from call to call.
        max_jitter: By what part of itself a delay varies at most, by chance.
        max_delay: The longest delay, in seconds.
        ignore_expire: Whether the end of the session is one of the exceptions that may pass.
        sleep_func: Waits for so many seconds.
        deadline: After so many seconds there is no other call.
        interrupt: Asked every tenth of a second during a delay; ends it by returning true.
    """

    RETRY_EXCEPTIONS: tuple[type[Exception], ...] = (
        ConnectionLoss,
        OperationTimeoutError,
        ForceRetryError,
    )
    EXPIRED_EXCEPTIONS: tuple[type[Exception], ...] = (SessionExpiredError,)

    def __init__(
        self,
        max_tries: int | None = 1,
        delay: float = 0.1,
        backoff: float = 2,
        max_jitter: float = 0.4,
        max_delay: float = 60.0,
        ignore_expire: bool = True,
        sleep_func: Callable[[float], object] = time.sleep,
        deadline: float | None = None,
        interrupt: Callable[[], object] | None = None,
    ) -> None:
        self.max_tries = max_tries
        self.delay = delay
        self.backoff = backoff
        self.max_jitter = min(max(max_jitter, 0.0), 1.0)
        self.max_delay = float(max_delay)
        self.sleep_func = sleep_func
        self.deadline = deadline
        self.interrupt = interrupt
        self.retry_exceptions = self.RETRY_EXCEPTIONS
        if ignore_expire:
            self.retry_exceptions += self.EXPIRED_EXCEPTIONS

    def reset(self) -> None:
        """Do nothing: each call counts for itself."""

    def copy(self) -> KazooRetry:
        """Return another one like this."""
        other = KazooRetry(
            self.max_tries,
            self.delay,
            self.backoff,
            self.max_jitter,
            self.max_delay,
            sleep_func=self.sleep_func,
            deadline=self.deadline,
            interrupt=self.interrupt,
        )
        other.retry_exceptions = self.retry_exceptions
        return other

    def __call__(self, func: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Call it until it returns, or may not be called again."""
        end = None if self.deadline is None else time.monotonic() + self.deadline
        tries, delay = 0, self.delay
        while True:
            try:
                return func(*args, **kwargs)
            except ConnectionClosedError:
                raise
            except self.retry_exceptions as error:
                tries += 1
                if tries == self.max_tries:
                    raise RetryFailedError(f"failed {tries} times") from error
                pause = delay * random.uniform(1 - self.max_jitter, 1 + self.max_jitter)
                if end is not None and time.monotonic() + pause >= end:
                    raise RetryFailedError(f"failed for {self.deadline} s") from error
                self._sleep(pause)
                delay = min(pause * self.backoff, self.max_delay)

    def _sleep(self, pause: float) -> None:
        if self.interrupt is None:
            self.sleep_func(pause)
            return
        while pause > 0:
            self.sleep_func(min(0.1, pause))
            pause -= 0.1
            if self.interrupt():
                raise InterruptedError("interrupted between two tries")
