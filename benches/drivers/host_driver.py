"""A lock of one host, for `embedded.py`: `host_driver.py filelock FILE`, or `coordinator URL`."""

from __future__ import annotations

import sys
import time

from talk import answer_requests, each


class Works:
    """One lock of one process, by the names in which `embedded.py` asks for it."""

    def __init__(self, library: str, place: str) -> None:
        # Only what is measured is imported.
        if library == "filelock":
            import filelock

            self.lock = filelock.FileLock(place)
        else:
            import coordinator

            self.client = coordinator.connect(place)
            self.lock = self.client.lock("/bench")

    def free(self, count: int) -> list[float]:
        """Acquire and release."""

        def cycle() -> None:
            self.lock.acquire()
            self.lock.release()

        return each(count, cycle)

    def take(self) -> float:
        """Wait for it, and say when it came, by the clock that all processes share."""
        self.lock.acquire()
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    def give(self) -> float:
        """Say when it was given back, and give it back."""
        began = time.clock_gettime(time.CLOCK_MONOTONIC)
        self.lock.release()
        return began


if __name__ == "__main__":
    answer_requests(Works(sys.argv[1], sys.argv[2]))
