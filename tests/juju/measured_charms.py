"""Three reactive charms that differ in nothing but their coordinator.

* ours: the example charm as charm-build makes it, with handlers that do as little as possible;
* the stand-in: the same charm with what stands in for the older coordinator layer. It has that
  layer's shape: charmhelpers' coordinator, an Endpoint on the peer relation, hook files of its
  own that know nothing of the configuration, and a policy that logs each decision;
* bare: the same charm with no coordinator at all, which shows what charms.reactive itself costs.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import build_charm
from simulated_juju import DirectoryCharm, FunctionCharm

LOCK = "restart"

HANDLERS = """\
import subprocess

import charms.coordinator
from charms.reactive import when


@when("config.changed.asking", "config.set.asking")
def ask():
    charms.coordinator.acquire("restart")


@when("coordinator.granted.restart")
def restart():
    subprocess.check_call(["guarded-work", "restart", "0"])
"""

BARE_HANDLERS = """\
from charms.reactive import when


@when("config.changed.asking", "config.set.asking")
def ask():
    pass
"""

CONFIGURATION = """\
options:
  asking:
    type: int
    default: 0
"""

STAND_IN_LIBRARY = """\
import os

from charmhelpers.coordinator import BaseCoordinator
from charmhelpers.core import hookenv
from charms import reactive

# charmhelpers asks the machine's jujud for the version, which a simulated machine has not.
hookenv.juju_version = lambda: os.environ["JUJU_VERSION"]


class SimpleCoordinator(BaseCoordinator):
    def default_grant(self, lock, unit, granted, queue):
        holders = {holder for holder, locks in self.grants.items() if locks}
        if unit in holders:
            self.msg("Granting {} to {}, which holds a lock".format(lock, unit))
            return True
        if holders:
            self.msg("Not granting {} to {}, locks are held".format(lock, unit))
            return False
        if queue[0] == unit:
            self.msg("Granting {} to {}, first in line".format(lock, unit))
            return True
        self.msg("Not granting {} to {}, not first in line".format(lock, unit))
        return False

    def msg(self, msg):
        hookenv.log(msg, hookenv.DEBUG)

    def _save_state(self):
        self.handle()
        super()._save_state()


def acquire(lock):
    if not coordinator.acquire(lock):
        reactive.set_flag("coordinator.requested." + lock)
        return False
    reactive.set_flag("coordinator.granted." + lock)
    return True


def publish_flags():
    prefixes = ("coordinator.requested.", "coordinator.granted.")
    for flag in reactive.get_flags():
        if flag.startswith(prefixes):
            reactive.clear_flag(flag)
    for lock in coordinator.requests[hookenv.local_unit()]:
        granted = coordinator.granted(lock)
        reactive.set_flag(prefixes[granted] + lock)


coordinator = SimpleCoordinator(peer_relation_name="coordinator")
registered = False
"""

STAND_IN_MODULE = """\
import charms.coordinator
from charmhelpers.core import hookenv

if not charms.coordinator.registered:
    charms.coordinator.registered = True
    hookenv.atstart(charms.coordinator.publish_flags)
"""

STAND_IN_ENDPOINT = """\
from charms.reactive import Endpoint


class CoordinatorPeer(Endpoint):
    pass
"""

CONFIGURATION_CALLS = (
    "hookenv.atstart(basic.init_config_states)\nhookenv.atexit(basic.clear_config_states)\n"
)
STAND_IN_HOOKS = (
    "leader-elected",
    "leader-settings-changed",
    "coordinator-relation-changed",
    "coordinator-relation-departed",
)


@dataclass
class MeasuredCharm(DirectoryCharm):
    """A built charm that runs all hooks, or while `spared` is set no joined or changed hook.

    A hook that is spared counts as a success, as it does in Juju when a charm has no such hook.
    """

    environment: Path = Path()
    spared: bool = True

    def install(self, directory: Path) -> None:
        """Copy the charm, and link the environment to where its first hook would make it."""
        super().install(directory)
        link = directory.parent / ".venv"
        if not link.is_symlink():
            link.symlink_to(self.environment)

    def handles(self, directory: Path, path: str) -> bool:
        """Whether there is a hook to run, now."""
        if self.spared and path.endswith(("-relation-joined", "-relation-changed")):
            return False
        return super().handles(directory, path)


@dataclass
class PeerCharm(FunctionCharm):
    """A peer in this process: it runs its first config-changed, and all hooks if `attentive`."""

    attentive: bool = False

    def handles(self, directory: Path, path: str) -> bool:
        """Whether there is a hook to run, now."""
        return path == "hooks/config-changed" or (self.attentive and path != "hooks/update-status")


def ours(built: Path, directory: Path) -> MeasuredCharm:
    """Return our charm, written below `directory`."""
    return measured(built, directory / "ours", HANDLERS)


def bare(built: Path, directory: Path) -> MeasuredCharm:
    """Return the charm without a coordinator, written below `directory`."""
    charm = measured(built, directory / "bare", BARE_HANDLERS)
    # What is left on the peer relation only keeps charms.reactive from logging an error.
    (Path(charm.path) / "lib/charms/coordinator.py").unlink()
    (Path(charm.path) / "reactive/coordinator.py").unlink()
    return charm


def stand_in(built: Path, directory: Path) -> MeasuredCharm:
    """Return the charm with what stands in for the older layer, written below `directory`."""
    charm = measured(built, directory / "stand-in", HANDLERS)
    top = Path(charm.path)
    (top / "lib/charms/coordinator.py").write_text(STAND_IN_LIBRARY)
    (top / "reactive/coordinator.py").write_text(STAND_IN_MODULE)
    shutil.rmtree(top / "reactive/relations")
    endpoint = top / "hooks/relations/coordinator/peers.py"
    endpoint.parent.mkdir(parents=True)
    endpoint.write_text(STAND_IN_ENDPOINT)
    for package in (endpoint.parent, endpoint.parent.parent):
        (package / "__init__.py").touch()
    for name in STAND_IN_HOOKS:
        hook = top / "hooks" / name
        text = hook.read_text()
        if CONFIGURATION_CALLS not in text:
            raise RuntimeError(f"{name} has no calls for the configuration: look at hook.template")
        hook.write_text(text.replace(CONFIGURATION_CALLS, ""))
    return charm


def measured(built: Path, directory: Path, handlers: str) -> MeasuredCharm:
    """Return a copy of the built charm with other handlers and one option."""
    shutil.copytree(built, directory, ignore=shutil.ignore_patterns("wheelhouse"))
    (directory / "reactive/rolling_restart.py").unlink()
    (directory / "reactive/handlers.py").write_text(handlers)
    (directory / "config.yaml").write_text(CONFIGURATION)
    return MeasuredCharm(directory, environment=build_charm.make_environment(built))
