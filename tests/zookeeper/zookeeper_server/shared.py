"""One server for all processes of a test run."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from .options import Options
from .ports import LOOPBACK
from .process import Lifeline
from .server import ZooKeeperServer, mode_at

if TYPE_CHECKING:
    from typing import Self


class SharedServer:
    """The server of `directory`: the first process that needs it starts it, the last one ends it.

    Tests that freeze or kill want a server of their own; with this one each wants its own chroot.
    """

    def __init__(self, directory: Path, options: Options | None = None) -> None:
        self._directory = directory
        self._options = options
        self._lifeline: Lifeline | None = None
        self.port = 0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return (LOOPBACK, self.port)

    @property
    def hosts(self) -> str:
        """`host:port`, as clients want it."""
        return f"{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        note = self._directory / "zookeeper.json"
        with _alone(self._directory / "zookeeper.lock"):
            if not (note.exists() and self._join(**json.loads(note.read_text()))):
                self._begin(note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lifeline is not None:
            self._lifeline.close()

    def _join(self, port: int, lifeline: str) -> bool:
        if not Path(lifeline).exists():
            return False
        # Waits if the last user has just gone, until the supervisor has cleaned up behind it.
        self._lifeline = Lifeline(Path(lifeline))
        self.port = port
        return mode_at(self.address) != ""

    def _begin(self, note: Path) -> None:
        if self._lifeline is not None:
            self._lifeline.close()
        server = ZooKeeperServer(self._options)
        try:
            server.start()
            server.wait_until_serving()
        except BaseException:
            server.close()
            raise
        self.port = server.port
        self._lifeline = server.leave()
        note.write_text(json.dumps({"port": server.port, "lifeline": str(self._lifeline.path)}))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
