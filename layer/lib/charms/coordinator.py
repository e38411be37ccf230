"""Locks that the units of an application share, for reactive charms.

Ask for a lock with `acquire`, and do the guarded work in a handler:

    @when("config.changed")
    def configure():
        write_configuration()
        charms.coordinator.acquire("restart")

    @when("coordinator.granted.restart")
    def restart():
        ...

`coordinator.requested.{lock}` is set from the request until the lock is granted.
`coordinator.granted.{lock}` is set in the hook that holds the lock, and in no other:
it is gone once the hook has ended well. A hook that fails keeps neither its flag
changes nor its requests, and Juju runs it again.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from charmhelpers.core import hookenv, unitdata
from charms.layer import options as layer_options

from charms import reactive
from coordinator import juju
from coordinator.exceptions import CoordinatorError, Invalid
from coordinator.juju import agent, settings

__all__ = ["SimpleCoordinator", "acquire", "coordinator", "log", "options"]

DEFAULTS: dict[str, Any] = {
    "class": "charms.coordinator.SimpleCoordinator",
    "log_level": "info",
    "rules": {},
    **settings.DEFAULTS,
}
LEVELS = (hookenv.DEBUG, hookenv.INFO, hookenv.WARNING, hookenv.ERROR, hookenv.CRITICAL)
REQUESTED = "coordinator.requested."
GRANTED = "coordinator.granted."
# What the unit's status was before this layer had to say that it is blocked.
STATUS_BEFORE = "coordinator.status-before"

# reactive/coordinator.py says here that it has registered the callbacks.
callbacks_registered = False

options: dict[str, Any] = {**DEFAULTS, **layer_options.get("coordinator")}


def acquire(lock: str) -> bool:
    """Ask for `lock`; return True if it is granted in this hook.

    Granted or not, the flag of the lock says so when this returns. A lock that is not
    granted now is granted in a later hook, which sees `coordinator.granted.{lock}`.
    A granted lock is released at the end of the hook, however often it is asked for.
    """
    granted: bool = coordinator.acquire(lock)
    if granted:
        _change_flags({REQUESTED + lock}, {GRANTED + lock})
    else:
        _change_flags(set(), {REQUESTED + lock})
    return granted


def publish_flags() -> None:
    """Make the flags say what the start of this hook found: what is granted, what waits."""
    requested = set(coordinator.requests.get(hookenv.local_unit(), ()))
    granted = {lock for lock in requested if coordinator.granted(lock)}
    wanted = {REQUESTED + lock for lock in requested - granted}
    wanted |= {GRANTED + lock for lock in granted}
    _change_flags(_flags_of_locks(REQUESTED, GRANTED), wanted)


def clear_granted_flags() -> None:
    """End the duration of the hook for every granted lock."""
    _change_flags(_flags_of_locks(GRANTED), set())


def keep_agent() -> None:
    """Have this unit's agent run while the application coordinates in a scope."""
    backend, directory = coordinator.backend, settings.directory()
    try:
        if backend is None or coordinator.scope is None or _is_last_hook():
            agent.end(directory)
        elif not backend.missing:
            agent.keep(backend, coordinator.scope, coordinator.member, directory)
    except CoordinatorError as error:
        # The unit takes its turns without an agent too, only later: in its next hooks.
        log(f"the agent cannot be kept running: {error}", hookenv.WARNING)


def show_trouble() -> None:
    """Say that the unit is blocked while it cannot coordinate; after that, what it said before."""
    store = unitdata.kv()
    before = store.get(STATUS_BEFORE)
    if coordinator.trouble:
        if before is None:
            store.set(STATUS_BEFORE, list(hookenv.status_get()))
        hookenv.status_set("blocked", f"Coordinator: {coordinator.trouble}")
    elif before is not None:
        store.unset(STATUS_BEFORE)
        shown, message = hookenv.status_get()
        # Unless the charm has said something since.
        if (
            shown == "blocked"
            and str(message).startswith("Coordinator: ")
            and before[0] != "unknown"
        ):
            hookenv.status_set(*before)


def ask_related() -> None:
    """As leader, ask a ZooKeeper charm that is related for a place in its tree."""
    backend = coordinator.backend
    endpoint = backend and settings.chosen(options, hookenv.config())["relation"]
    about: tuple[str, ...] = (f"{endpoint}-",)
    if backend and backend.is_wanted:
        about += ("leader-elected", "config-changed")
    if endpoint and hookenv.hook_name().startswith(about) and hookenv.is_leader():
        settings.ask_related(endpoint, "/coordinator")


def _is_last_hook() -> bool:
    return hookenv.hook_name() in ("stop", "remove")


def _flags_of_locks(*prefixes: str) -> set[str]:
    return {flag for flag in reactive.get_flags() if flag.startswith(prefixes)}


def _change_flags(unwanted: set[str], wanted: set[str]) -> None:
    # Only what differs: charms.reactive writes a log message per change, each a process.
    current = set(reactive.get_flags())
    for flag in sorted((unwanted - wanted) & current):
        reactive.clear_flag(flag)
    for flag in sorted(wanted - current):
        reactive.set_flag(flag)


def log(msg: str, level: str = hookenv.INFO) -> None:
    """Write `msg` to the Juju log unless `level` is below the option `log_level`."""
    if LEVELS.index(level) >= LEVELS.index(options["log_level"].upper()):
        hookenv.log(f"Coordinator: {msg}", level)


class SimpleCoordinator(juju.SimpleCoordinator):
    """Grants locks to one unit at a time, whatever the names of the locks.

    All requests of that unit are granted together, so a charm can keep `join` and
    `restart` apart and still never see two units in the middle of either.
    """

    def msg(self, msg: str, level: str = hookenv.DEBUG) -> None:
        """Write `msg` to the Juju log as the option `log_level` allows."""
        log(msg, level)


def _instantiate() -> Any:
    _check_options()
    # The layer brings its own peer relation: the charm's other peer relations may not
    # exist in every charm.
    return _configured_class()(
        peer_relation_name="coordinator",
        backend=settings.in_charm(options, hookenv.config()),
    )


def _check_options() -> None:
    for name in sorted(options.keys() - DEFAULTS.keys()):
        raise _wrong_option(name, f"the options are {', '.join(DEFAULTS)}; write one of them")
    if str(options["log_level"]).upper() not in LEVELS:
        raise _wrong_option("log_level", f"write one of {', '.join(LEVELS).lower()}")
    if options["backend"] not in settings.BACKENDS:
        raise _wrong_option("backend", f"write one of {', '.join(settings.BACKENDS)}")
    if options["rules"]:
        raise _wrong_option("rules", "no rules are known; leave it out and choose a class instead")


def _configured_class() -> Any:
    path = str(options["class"])
    module_name, _, name = path.rpartition(".")
    if not module_name and isinstance(globals().get(name), type):
        # Charms of the older layer may name a class of this module by its name alone.
        module_name = __name__
    if not module_name or not name:
        raise _wrong_option(
            "class",
            "write the absolute dotted path of a class, such as charmhelpers.coordinator.Serial",
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise _wrong_option(
            "class",
            f"the module {module_name} cannot be imported ({error}); write the absolute dotted "
            "path of a class in a module below lib/ or in the wheelhouse",
        ) from error
    if not hasattr(module, name):
        raise _wrong_option("class", _missing_attribute(module_name, name))
    try:
        return juju.adapt(getattr(module, name))
    except Invalid as error:
        raise _wrong_option(
            "class",
            f"{error}; write the path of a subclass of charms.coordinator.SimpleCoordinator, "
            "coordinator.juju.BaseCoordinator or charmhelpers.coordinator.BaseCoordinator",
        ) from error


def _missing_attribute(module_name: str, name: str) -> str:
    specification = sys.modules[module_name].__spec__
    if getattr(specification, "_initializing", False):
        return (
            f"the module {module_name} imports charms.coordinator before it defines {name}; "
            "put the class into a module of its own below lib/"
        )
    return f"the module {module_name} has no {name}; write the name of a class that it has"


def _wrong_option(name: str, advice: str) -> Invalid:
    return Invalid(f"option coordinator.{name} in layer.yaml is {options[name]!r}: {advice}")


coordinator = _instantiate()
log(f"using {options['class']}", hookenv.DEBUG)
