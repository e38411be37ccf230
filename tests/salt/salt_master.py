"""A real master on loopback, with real minions that fork for each job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from salt_minion import BOUND, BUILT, Minion
from zookeeper_server.ports import LOOPBACK, Ports

if TYPE_CHECKING:
    from typing import Self

PATIENCE = 20


class Master:
    """A master, and its minions.

    Args:
        release: of Salt: 3006 or 3008.
        directory: for all that they write. A short path: sockets are in it.
        hosts: of ZooKeeper.
        names: of the minions.
        minion: more of what makes a `Minion`.
    """

    def __init__(
        self, release: str, directory: Path, hosts: str, names: list[str], **minion: Any
    ) -> None:
        self.release = release
        self.directory = directory
        self.states = directory / "states"
        self.states.mkdir()
        self._ports = Ports()
        publish, answers = self._ports.claim(), self._ports.claim()
        common = {"user": "root" if os.geteuid() == 0 else os.environ["USER"], "ipv6": False}
        self._configuration = directory / "master"
        self._configuration.mkdir()
        (self._configuration / "master").write_text(
            json.dumps(
                {
                    **common,
                    "id": "the-master",
                    "root_dir": str(directory / "m"),
                    "sock_dir": str(directory / "s"),
                    "interface": LOOPBACK,
                    "publish_port": publish,
                    "ret_port": answers,
                    "auto_accept": True,
                    "worker_threads": 2,
                    "timeout": PATIENCE,
                    "gather_job_timeout": 2,
                    "file_roots": {"base": [str(self.states)]},
                    "zookeeper": {"hosts": hosts},
                    "log_level_logfile": "quiet",
                }
            )
        )
        options = {
            **common,
            "master": LOOPBACK,
            "master_port": answers,
            "publish_port": publish,
            "file_client": "remote",
            "multiprocessing": True,
            "acceptance_wait_time": 0.2,
        }
        self.minions = [
            Minion(
                release,
                directory / name,
                hosts,
                name=name,
                options={**options, "sock_dir": str(directory / f"s-{name}")},
                **minion,
            )
            for name in names
        ]
        self.environment = self.minions[0].environment
        self._running = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start("salt-master", self._configuration)
            for minion in self.minions:
                self._start("salt-minion", minion.directory)
            self._wait_for_minions()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()
        self._ports.close()

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the master's programs: `salt`, `salt-run`."""
        return subprocess.run(
            [BUILT / self.release / "bin" / program, "-c", self._configuration, *arguments],
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=BOUND,
            check=False,
        )

    def salt(self, *arguments: str) -> dict[str, Any]:
        """What the minions answer, by their names."""
        done = self.run("salt", "--static", "--out=json", *arguments)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def begin(self, *arguments: str) -> str:
        """Begin a job of all minions; its number."""
        done = self.run("salt", "--async", "*", *arguments)
        return done.stdout.split()[-1]

    def _start(self, program: str, configuration: Path) -> None:
        log = self._running.enter_context((configuration / "log").open("w"))
        process = subprocess.Popen(
            [BUILT / self.release / "bin" / program, "-c", configuration],
            env=self.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._running.callback(_end, process)

    def _wait_for_minions(self) -> None:
        accepted = self.directory / "m" / "etc" / "salt" / "pki" / "master" / "minions"
        names = {minion.name for minion in self.minions}
        deadline = time.monotonic() + BOUND
        while time.monotonic() < deadline:
            if not all((accepted / name).exists() for name in names):
                time.sleep(0.1)
                continue
            done = self.run("salt", "--static", "--out=json", "-t", "2", "*", "test.ping")
            if done.returncode == 0 and set(json.loads(done.stdout)) == names:
                return
        logs = [path.read_text()[-2000:] for path in self.directory.glob("*/log")]
        raise AssertionError(f"no answer of all minions within {BOUND} s:\n" + "\n".join(logs))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program with all that it started: asked politely, a minion takes ten seconds."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
