"""The programs that do the measured work: one process each, asked by a line and answering by one.

All stay for the whole measurement, warm, and only one works at a time: so what else the machine
does hits all of them alike.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

DRIVERS = Path(__file__).with_name("drivers")
JARS = Path("/usr/share/java")
CURATOR = [JARS / "curator-recipes.jar", JARS / "slf4j-nop.jar"]


class NotMeasured(RuntimeError):
    """A driver cannot run here; the message says what to install or to build."""


class Driver:
    """A program that does works by name.

    Args:
        name: For messages.
        command: Starts it.
        environment: More than this process's own.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        """Return when it can be asked."""
        assert self._answer() == "ready"

    def ask(self, work: str, *arguments: int) -> list[float]:
        """Have it do this work, and return what it measured."""
        self.send(work, *arguments)
        return self.receive()

    def send(self, work: str, *arguments: int) -> None:
        """Have it do this work, and do not wait."""
        assert self.process.stdin is not None
        print(work, *arguments, file=self.process.stdin, flush=True)

    def receive(self) -> list[float]:
        """Return what it measured in the work that was sent."""
        answer = self._answer()
        return answer if isinstance(answer, list) else [answer]

    def _answer(self) -> object:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise NotMeasured(f"{self.name} ended with status {self.process.wait()}: see above")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def python(program: str, package: Path, *arguments: str) -> Driver:
    """A driver in Python, with the package `coordinator` of the directory `package`."""
    command = [sys.executable, str(DRIVERS / program), *arguments]
    return Driver(program, command, {"PYTHONPATH": str(package)})


def rust(driver: Path, *arguments: str) -> Driver:
    """The driver in Rust, compiled."""
    return Driver("the driver in Rust", [str(driver), *arguments])


def curator(classes: Path, hosts: str) -> Driver:
    """The driver of Curator, compiled into the directory `classes`.

    Raises:
        NotMeasured: Java, its compiler or Curator are not on this machine.
    """
    missing = [str(jar) for jar in CURATOR if not jar.exists()]
    missing += [tool for tool in ("java", "javac") if shutil.which(tool) is None]
    if missing:
        raise NotMeasured(
            f"{', '.join(missing)} missing: install with `tests/zookeeper/install.sh curator`, or "
            "with `apt-get install default-jdk-headless libzookeeper-java libcurator-recipes-java`"
        )
    path = ":".join(map(str, CURATOR))
    source = DRIVERS / "CuratorDriver.java"
    subprocess.run(["javac", "-d", str(classes), "-cp", path, str(source)], check=True)
    return Driver("Curator", ["java", "-cp", f"{classes}:{path}", "CuratorDriver", hosts])
