"""The environment of a hook, built from nothing as Juju does."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .hook_context import HookContext

MODEL_UUID = "deadbeef-0bad-400d-8000-4b1d0d06f00d"


@dataclass(frozen=True)
class Surroundings:
    """What is the same for all hooks of a unit."""

    version: str
    machine: str
    kubernetes: bool
    charm_dir: str
    tools_dir: str
    socket: str
    clock_offset: float
    epoch: float


def major(version: str) -> int:
    """Return the first number of a Juju version."""
    return int(version.partition(".")[0])


def hook_environment(
    context: HookContext, surroundings: Surroundings, *, now: float, dispatch_path: str | None
) -> dict[str, str]:
    """All variables of a hook; nothing is inherited, so HOME and USER are missing.

    A command run by juju-exec has no dispatch path and an empty hook name.
    """
    version = surroundings.version
    path = os.pathsep.join(
        part for part in (surroundings.tools_dir, os.environ.get("PATH", "/usr/bin:/bin")) if part
    )
    environment = {
        "APT_LISTCHANGES_FRONTEND": "none",
        "CHARM_DIR": surroundings.charm_dir,
        "CLOUD_API_VERSION": "",
        "DEBIAN_FRONTEND": "noninteractive",
        "JUJU_AGENT_SOCKET_ADDRESS": surroundings.socket,
        "JUJU_AGENT_SOCKET_NETWORK": "unix",
        "JUJU_API_ADDRESSES": "10.255.0.1:17070",
        "JUJU_AVAILABILITY_ZONE": f"zone-{context.controller.units[context.unit].number % 3}",
        "JUJU_CHARM_DIR": surroundings.charm_dir,
        "JUJU_CHARM_FTP_PROXY": "",
        "JUJU_CHARM_HTTPS_PROXY": "",
        "JUJU_CHARM_HTTP_PROXY": "",
        "JUJU_CHARM_NO_PROXY": "",
        "JUJU_CONTEXT_ID": context.identifier,
        "JUJU_HOOK_NAME": "",
        "JUJU_MODEL_NAME": "simulated",
        "JUJU_MODEL_UUID": MODEL_UUID,
        "JUJU_PRINCIPAL_UNIT": "",
        "JUJU_UNIT_NAME": context.unit,
        "JUJU_VERSION": version,
        "LANG": "C.UTF-8",
        "PATH": path,
        "SIMULATED_CLOCK": f"{surroundings.epoch + now:.6f}",
        "SIMULATED_CLOCK_OFFSET": f"{surroundings.clock_offset:.6f}",
        "TERM": "tmux-256color",
    }
    if major(version) < 4:
        environment["JUJU_METER_STATUS"] = "AMBER"
        environment["JUJU_METER_INFO"] = "not set"
        environment["JUJU_SLA"] = "unsupported"
    if not surroundings.kubernetes:
        environment["JUJU_MACHINE_ID"] = surroundings.machine
    if dispatch_path is not None:
        environment["JUJU_DISPATCH_PATH"] = dispatch_path
        if not dispatch_path.startswith("actions/"):
            environment["JUJU_HOOK_NAME"] = context.info.name
    info = context.info
    if info.endpoint:
        environment["JUJU_RELATION"] = info.endpoint
        environment["JUJU_RELATION_ID"] = info.relation_name
        environment["JUJU_REMOTE_UNIT"] = info.remote_unit
        environment["JUJU_REMOTE_APP"] = info.remote_application
        if info.departing_unit:
            environment["JUJU_DEPARTING_UNIT"] = info.departing_unit
    if info.secret:
        environment["JUJU_SECRET_ID"] = f"secret:{info.secret}"
        environment["JUJU_SECRET_LABEL"] = ""
    return environment
