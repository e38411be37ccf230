"""Restart a service on every unit, one unit at a time, when its configuration changes."""

import shlex
import subprocess
from pathlib import Path

from charmhelpers.core.hookenv import charm_dir, config, status_set
from charms.reactive import is_flag_set, set_flag, when

import charms.coordinator

RUNNING = "rolling-restart.running"


@when("config.changed.revision")
def configure() -> None:
    """Write the configuration; a service that runs already has to wait for its turn."""
    Path(charm_dir(), "service.conf").write_text(f"revision = {config('revision')}\n")
    if not is_flag_set(RUNNING):
        set_flag(RUNNING)
        show_revision()
    elif not charms.coordinator.acquire("restart"):
        status_set("waiting", "Waiting for its turn to restart")


@when("coordinator.granted.restart", "config.set.restart-command")
def restart() -> None:
    """Restart the service; no other unit does so before this hook has ended."""
    status_set("maintenance", "Restarting")
    words = shlex.split(config("restart-command"))
    subprocess.check_call([word.replace("{service}", config("service")) for word in words])
    show_revision()


def show_revision() -> None:
    """Tell the operator which configuration the service runs with."""
    status_set("active", f"Running revision {config('revision')}")
