"""A single ZooKeeper server on loopback."""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from .installation import MAIN, Installation
from .options import Options, java_arguments, zoo_cfg
from .ports import LOOPBACK, Ports
from .process import Lifeline, ServerProcess

if TYPE_CHECKING:
    from typing import Self

# Long enough for a machine that also compiles; a healthy start takes half a second.
START_BOUND = 60.0
MEMORY = Path("/dev/shm")


class NotReady(RuntimeError):
    """A server did not serve in time; the message ends with its log."""


class ZooKeeperServer:
    """A server with its own data directory: in memory where the machine has such a file system.

    The context manager starts it, waits until it serves, and removes everything afterwards. The
    parts are there for tests that want them one by one.

    Args:
        options: How it is to be.
        member: Its number in an ensemble, of which `peers` has the addresses.
        peers: By number, `host:quorum port:election port`.
    """

    def __init__(
        self, options: Options | None = None, *, member: int = 0, peers: Mapping[int, str] = {}
    ) -> None:
        self.options = options or Options()
        self._ports = Ports()
        self._peers = dict(peers)
        self.port = self._ports.claim()
        self.secure_port = self._ports.claim() if self.options.certificates else None
        self.directory = new_directory()
        self.log = self.directory / "log"
        (self.directory / "data").mkdir()
        if member:
            (self.directory / "data" / "myid").write_text(f"{member}\n")
        self._lifeline = Lifeline(self.directory / "lifeline")
        self._process: ServerProcess | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port for clients without TLS."""
        return (LOOPBACK, self.port)

    @property
    def hosts(self) -> str:
        """`host:port`, as clients want it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def secure_hosts(self) -> str:
        """`host:port` for clients with TLS."""
        assert self.secure_port is not None, "this server was started without certificates"
        return f"{LOOPBACK}:{self.secure_port}"

    @property
    def url(self) -> str:
        """As coordinator wants it."""
        return f"zookeeper://{self.hosts}"

    @property
    def pid(self) -> int:
        """The process id of the Java process."""
        return self._running().pid

    def start(self) -> None:
        """Start the process on the data that is there; does not wait until it serves."""
        assert self._process is None, "this server runs already"
        installation = Installation.find()
        configuration = self.directory / "zoo.cfg"
        configuration.write_text(
            zoo_cfg(self.options, self.directory, self.port, self.secure_port, self._peers)
        )
        java = [installation.java, *java_arguments(self.options, self.directory)]
        command = [*java, "-cp", installation.class_path, MAIN, str(configuration)]
        self._process = ServerProcess(command, self._lifeline.path, self.directory, self.log)

    def wait_until_serving(self, bound: float = START_BOUND) -> None:
        """Return when the server answers as one that serves.

        Raises:
            NotReady: It ended, or did not serve within `bound` seconds.
        """
        deadline = time.monotonic() + bound
        while not self.mode():
            if self._process is None or not self._process.alive or time.monotonic() > deadline:
                raise NotReady(f"ZooKeeper at {self.hosts} does not serve:\n{self.log_tail()}")
            time.sleep(0.02)

    def mode(self) -> str:
        """`standalone`, `leader` or `follower`; empty while it does not serve."""
        return mode_at(self.address)

    def ask(self, word: str) -> str:
        """The answer to a four letter word; empty if there is none."""
        return ask(self.address, word)

    def freeze(self) -> None:
        """SIGSTOP: from the return of this on it answers nothing; its connections stay."""
        self._running().stop()

    def thaw(self) -> None:
        """SIGCONT."""
        self._running().signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: its connections break, its data stay for the next `start`."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it anew on the same data and ports, and wait until it serves."""
        self.kill()
        self.start()
        self.wait_until_serving()

    def log_tail(self, lines: int = 30) -> str:
        """The last lines that it logged."""
        text = self.log.read_text() if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        """End it and remove what it left."""
        self.kill()
        self._lifeline.close()
        self._ports.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def leave(self) -> Lifeline:
        """Leave it running for as long as anyone holds what this returns."""
        if self._process is not None:
            self._process.forget()
        self._ports.close()
        return self._lifeline

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_until_serving()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _running(self) -> ServerProcess:
        assert self._process is not None, "this server is not running"
        return self._process


def ask(address: tuple[str, int], word: str, bound: float = 1.0) -> str:
    """The answer to a four letter word; empty if there is none within `bound` seconds."""
    try:
        with socket.create_connection(address, timeout=bound) as connection:
            connection.sendall(word.encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    except OSError:
        return ""


def mode_at(address: tuple[str, int]) -> str:
    """`standalone`, `leader` or `follower`; empty while nothing serves there."""
    lines = ask(address, "srvr").splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line).get("Mode", "")


def new_directory() -> Path:
    """An empty directory; in memory if possible, where a commit does not wait for a disk."""
    memory = MEMORY if MEMORY.is_dir() and _writable(MEMORY) else None
    return Path(tempfile.mkdtemp(prefix="zookeeper-test-", dir=memory))


def _writable(directory: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False
