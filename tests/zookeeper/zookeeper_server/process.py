"""One server process that ends with those who use it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SUPERVISOR = Path(__file__).with_name("supervisor.py")
BOUND = 30.0


class Lifeline:
    """A file whose shared lock keeps a server alive; the kernel drops it with the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def close(self) -> None:
        """Let go: the server ends when the last one has."""
        os.close(self._descriptor)


class ServerProcess:
    """A running server.

    Args:
        command: What to run.
        lifeline: The file whose holders need it.
        rubbish: The directory to remove when nobody does any more.
        log: What it prints is appended to this file.
    """

    def __init__(self, command: Sequence[str], lifeline: Path, rubbish: Path, log: Path) -> None:
        supervise = [sys.executable, "-I", str(SUPERVISOR), str(lifeline), str(rubbish)]
        with (
            log.open("ab") as output,
            subprocess.Popen(
                [*supervise, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            ) as supervisor,
        ):
            assert supervisor.stdout is not None
            line = supervisor.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start: {log.read_text()}")
        self.pid = int(line)
        # Not the number, which could be another process's by the time that it is used.
        self._descriptor = os.pidfd_open(self.pid)

    @property
    def alive(self) -> bool:
        """Whether it runs, frozen or not."""
        return not self._ended(0)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server.

        Raises:
            ProcessLookupError: It has ended.
        """
        signal.pidfd_send_signal(self._descriptor, number)

    def stop(self) -> None:
        """SIGSTOP, and wait until each of its threads has stopped: some go on for a while."""
        self.signal(signal.SIGSTOP)
        deadline = time.monotonic() + BOUND
        while any(state not in "tT" for state in self._thread_states()):
            assert time.monotonic() < deadline, f"process {self.pid} does not stop"
            time.sleep(0.001)

    def _thread_states(self) -> list[str]:
        files = Path(f"/proc/{self.pid}/task").glob("*/stat")
        # The name before the state is in brackets, and may hold anything.
        return [file.read_text().rpartition(")")[2].split()[0] for file in files]

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        assert self._ended(BOUND), f"process {self.pid} outlived SIGKILL"
        self.forget()

    def forget(self) -> None:
        """Leave it to those who hold its lifeline."""
        os.close(self._descriptor)

    def _ended(self, bound: float) -> bool:
        return bool(select.select([self._descriptor], [], [], bound)[0])
