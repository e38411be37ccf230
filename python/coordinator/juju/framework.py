"""What a coordinator needs of the hook around it: clocks, callbacks, the log, the metadata."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

from coordinator.exceptions import Invalid, Unavailable

__all__ = [
    "TIME_FORMAT",
    "Messages",
    "at_exit",
    "at_start",
    "first_peer_relation",
    "hook_name",
    "hook_tool",
    "keep_private",
    "now_text",
    "simulation",
]

TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%fZ"
"""A UTC time as people read it, which sorts as text. charmhelpers' coordinator writes the same."""

simulation: dict[str, Any] = {}
"""For tests that run hooks without processes.

``tools`` is called with the arguments and the standard input of a hook tool and returns its exit
status, output and error output; ``monotonic`` returns seconds; ``wall_clock`` returns a datetime.
"""


def now_text() -> str:
    """Return the wall clock of this unit as text."""
    clock = simulation.get("wall_clock")
    now: datetime = clock() if clock else datetime.now(timezone.utc)
    return now.strftime(TIME_FORMAT)


def core_options() -> dict[str, Any]:
    """Return the options of the compiled core that a simulation sets."""
    return {name: simulation[name] for name in ("tools", "monotonic") if name in simulation}


def at_start(callback: Callable[[], object]) -> None:
    """Have ``callback`` run before the handlers of the hook, where charmhelpers is installed."""
    hookenv = _hookenv()
    if hookenv is not None:
        hookenv.atstart(callback)


def at_exit(callback: Callable[[], object]) -> None:
    """Have ``callback`` run when the hook has succeeded, where charmhelpers is installed."""
    hookenv = _hookenv()
    if hookenv is not None:
        hookenv.atexit(callback)


def first_peer_relation() -> str:
    """Return the name of the first peer relation of the charm.

    Raises:
        Invalid: the charm has none.

    """
    path = _charm_directory() / "metadata.yaml"
    # Imported late: most charms name their relation, and then need no parser.
    import yaml

    metadata = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    peers = (metadata or {}).get("peers")
    if not peers:
        raise Invalid(
            f"{path} has no peer relation: add one under `peers`, or name it in peer_relation_name"
        )
    return str(min(peers))


def hook_tool(arguments: list[str]) -> Any:
    """Return what a hook tool that was asked for JSON prints; None if it prints nothing.

    Raises:
        Unavailable: it failed.

    """
    tools = simulation.get("tools") or _run
    try:
        code, stdout, stderr = tools(arguments, None)
    except (OSError, subprocess.TimeoutExpired) as error:
        # Not every Juju has every tool: secrets came with Juju 3.
        raise Unavailable(f"{arguments[0]} cannot be run: {error}") from error
    if code != 0:
        complaint = stderr.decode(errors="replace").strip()
        raise Unavailable(f"{' '.join(arguments[:4])} ended with status {code}: {complaint}")
    return json.loads(stdout) if stdout.strip() else None


def _run(arguments: list[str], stdin: bytes | None) -> tuple[int, bytes, bytes]:
    done = subprocess.run(arguments, input=stdin, capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def hook_name() -> str:
    """Return the name of the hook that runs."""
    dispatched = os.environ.get("JUJU_DISPATCH_PATH", "").rpartition("/")[2]
    return os.environ.get("JUJU_HOOK_NAME") or dispatched


def keep_private(path: Path, text: str) -> str:
    """Have ``text`` in a file that nobody else can read, written in one step; return its path."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        beside = path.with_name(path.name + ".new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    return str(path)


class Messages:
    """The log of one hook, which goes out with one hook tool per level."""

    def __init__(self) -> None:
        """Start with nothing to say."""
        self._lines: dict[str, list[str]] = {}

    def add(self, level: str, text: str) -> None:
        """Keep ``text`` for the end of the hook, also of one that fails."""
        if not self._lines:
            atexit.register(self.flush)
        self._lines.setdefault(level, []).append(text)

    def flush(self) -> None:
        """Write what there is to the log. A log that cannot be written is no reason to fail."""
        lines, self._lines = self._lines, {}
        atexit.unregister(self.flush)
        for level, texts in lines.items():
            _log(level, "\n".join(texts))


def _log(level: str, text: str) -> None:
    arguments = ["juju-log", "-l", level, text[:32_000]]
    tools = simulation.get("tools")
    try:
        if tools:
            tools(arguments, None)
        else:
            subprocess.run(arguments, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        pass


def _charm_directory() -> Path:
    return Path(os.environ.get("JUJU_CHARM_DIR") or os.environ.get("CHARM_DIR") or ".")


def _hookenv() -> ModuleType | None:
    try:
        from charmhelpers.core import hookenv
    except ImportError:
        return None
    module: ModuleType = hookenv
    return module
