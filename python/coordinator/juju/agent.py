"""The agent of a unit: kept running by systemd, or as a child that is supervised.

It holds the unit's session between hooks and wakes the unit when its turn comes; see
``coordinator agent --help``. It reads its settings from a file, and ends when that goes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from coordinator import __version__, _core
from coordinator.exceptions import Unavailable
from coordinator.juju import framework
from coordinator.juju.backend import Backend

__all__ = ["end", "keep"]

SYSTEMD = Path("/run/systemd/system")
UNITS = Path("/etc/systemd/system")
# As in a hook that may run at any time. A charm of the older kind takes the hook's name from the
# first of these, one with a `dispatch` from the second.
WAKE = """\
export COORDINATOR_CALL=1 JUJU_HOOK_NAME=update-status JUJU_DISPATCH_PATH=hooks/update-status
if [ -x ./dispatch ]; then exec ./dispatch; else exec ./hooks/update-status; fi
"""
SERVICE = """\
[Unit]
Description=The coordinator's agent of {unit}
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart={command}
Restart=always
RestartSec=2
# It is ready once the store has answered, which may take as long as it takes.
TimeoutStartSec=infinity
# What it calls may be in the middle of a restart.
KillMode=process

[Install]
WantedBy=multi-user.target
"""

_started: list[subprocess.Popen[bytes]] = []


def keep(backend: Backend, scope: str, member: str, directory: Path) -> None:
    """Have the agent of this unit run with these settings, which it finds in ``directory``.

    Raises:
        Unavailable: it cannot be started.

    """
    unit = os.environ["JUJU_UNIT_NAME"]
    config = directory / "agent.json"
    framework.keep_private(config, _settings(backend, scope, member, unit))
    command = [sys.executable, "-m", "coordinator", "agent", "--config", str(config)]
    if SYSTEMD.is_dir():
        _keep_service(unit, command, config)
    elif not _is_running(config):
        _start(command, directory)


def end(directory: Path) -> None:
    """End the agent, if there is one: the unit goes, or coordinates over its peer relation."""
    config = directory / "agent.json"
    service = _service(os.environ["JUJU_UNIT_NAME"])
    # The service first: without settings it would be started for ever.
    if service.exists():
        _systemctl("disable", "--now", service.name)
        service.unlink()
        _systemctl("daemon-reload")
    config.unlink(missing_ok=True)


def _settings(backend: Backend, scope: str, member: str, unit: str) -> str:
    timeout = backend.session_timeout
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    tls = backend.tls
    identity = tls and tls.identity and [os.fspath(path) for path in tls.identity]
    settings = {
        "version": 1,
        "url": backend.url,
        "scope": scope,
        "member": member,
        "auth": backend.auth,
        "default_acl": list(backend.default_acl),
        "tls": tls and {"ca": os.fspath(tls.ca), "identity": identity},
        "session_timeout": seconds,
        "command": [_juju_exec(), "-u", unit, WAKE],
        "program": _program(),
        "secrets": _secrets(backend),
    }
    return json.dumps(settings, indent=1)


def _program() -> str:
    """Return what tells this program from the one before an upgrade of the charm."""
    changed = Path(_core.__file__).stat().st_mtime_ns
    return f"{__version__} of {changed}"


def _secrets(backend: Backend) -> str | None:
    """Return what tells the secret from the one before it, of which the settings name the file."""
    path = Path((backend.auth or "").partition("file:")[2])
    return str(path.stat().st_mtime_ns) if path.is_file() else None


def _juju_exec() -> str:
    """Return the program that runs a command in a unit's context; Juju 2.9 calls it juju-run."""
    for name in ("juju-exec", "juju-run"):
        found = shutil.which(name)
        if found:
            return found
    raise Unavailable(
        "neither juju-exec nor juju-run is on this machine: the agent cannot wake the unit"
    )


def _service(unit: str) -> Path:
    return UNITS / f"coordinator-agent-{unit.replace('/', '-')}.service"


def _keep_service(unit: str, command: list[str], config: Path) -> None:
    path = _service(unit)
    text = SERVICE.format(unit=unit, command=shlex.join(command))
    is_new = not path.exists() or path.read_text() != text
    # Looked at each time: an earlier hook may have come no further than to the file.
    if not is_new and _is_running(config):
        return
    path.write_text(text)
    _systemctl("daemon-reload")
    _systemctl("enable", path.name)
    # Not waited for: the hook has no use for it, and Juju runs no other one meanwhile.
    _systemctl("--no-block", "restart" if is_new else "start", path.name)


def _systemctl(*words: str) -> None:
    try:
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(f"systemctl cannot be run: {error}") from error
    if done.returncode != 0:
        raise Unavailable(f"systemctl {' '.join(words)}: {done.stderr.strip()}")


def _is_running(config: Path) -> bool:
    """Whether an agent, or its supervisor, has the lock beside its settings."""
    with config.with_suffix(".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _start(command: list[str], directory: Path) -> None:
    """Start the supervisor apart from this hook: in its own session, with its own log."""
    environment = {name: value for name, value in os.environ.items() if name != "JUJU_CONTEXT_ID"}
    with (directory / "agent.log").open("a") as log:
        child = subprocess.Popen(
            [*command, "--supervise"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
    # Nobody waits for it here: it outlives the hook.
    _started.append(child)
