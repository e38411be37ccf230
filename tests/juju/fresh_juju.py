"""One application whose units see everything at once, to compare two coordinators step by step.

No queues, no caches, no time: hooks run one after the other in this process, and what one has
published all others see. Two of these worlds, one with each coordinator, are driven through the
same hooks.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from charmhelpers import coordinator as theirs
from charmhelpers.core import hookenv

from coordinator import _core, juju
from coordinator.juju import framework
from simulated_juju.charmhelpers_world import (
    MACHINE_AGENT,
    QuietVersion,
    RoutedSubprocess,
)

RELATION = "coordinator:0"
KEY = "coordinator"
# What `json.dumps` does, without making up its mind anew for each of a hundred thousand answers.
encoded = json.JSONEncoder().encode
START = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)

Holdings = dict[str, dict[str, str]]
"""By unit and lock, the time of the request."""


@dataclass(frozen=True)
class Hook:
    """One hook of one unit, and what the charm asks for in it."""

    unit: str
    name: str
    asks: tuple[str, ...] = ()
    remote: str | None = None
    departing: str | None = None
    asks_only_idle: bool = False
    """Whether a unit that holds something asks for nothing more; a leader always may."""
    fails: bool = False

    def environment(self, version: str, directory: Path) -> dict[str, str]:
        values = {
            "JUJU_UNIT_NAME": self.unit,
            "JUJU_HOOK_NAME": self.name,
            "JUJU_VERSION": version,
            "JUJU_CHARM_DIR": str(directory),
            "JUJU_MACHINE_ID": "0",
        }
        if self.remote:
            values |= {"JUJU_RELATION_ID": RELATION, "JUJU_REMOTE_UNIT": self.remote}
        if self.departing:
            values["JUJU_DEPARTING_UNIT"] = self.departing
        return values


@dataclass
class Seen:
    """What a unit saw in one hook."""

    at_start: dict[str, str]
    """What it held when its handlers began, with the times of the requests."""
    answers: list[bool]
    """What each call of acquire returned."""
    at_end: dict[str, str]


class World:
    """One application and its peer relation."""

    def __init__(
        self,
        units: Sequence[str],
        make: Callable[[], Any],
        directory: Path,
        version: str = "3.6.0",
    ) -> None:
        self.units = list(units)
        self.leader = self.units[0]
        self.make = make
        self.directory = directory
        self.version = version
        self.now = START
        self.coordinator: Any = None
        """The coordinator of the hook that ran last."""
        self.databags: dict[str, dict[str, str]] = {unit: {} for unit in units}
        self.application: dict[str, str] = {}
        self.leader_settings: dict[str, str] = {}
        self.views: dict[str, dict[str, dict[str, str]]] = {}
        """Databags as a unit remembers them where that is not as they are now."""
        self.not_joined: dict[str, set[str]] = {}
        """The units that a unit does not see yet."""
        self.related = True
        """Whether the peer relation is there."""
        self.calls: list[list[str]] = []
        """The hook tools that were run in the hook that ran last."""
        self.releases: list[tuple[str, str, str]] = []
        """What the leader heard of: unit, lock, and the time of the request."""
        self._directories: set[Path] = set()
        self._pending: dict[str, str] = {}
        self._pending_application: dict[str, str] = {}

    def run(self, hook: Hook, times: Sequence[dt.datetime] = ()) -> Seen:
        """Run a hook in which the unit asks for locks at the given times."""
        with self.hook(hook) as coordinator:
            at_start = self._held(coordinator)
            answers = []
            if not (hook.asks_only_idle and at_start and hook.unit != self.leader):
                for lock, time in zip(hook.asks, times, strict=False):
                    self.now = time
                    answers.append(bool(coordinator.acquire(lock)))
            at_end = self._held(coordinator)
        return Seen(at_start, answers, at_end)

    @contextmanager
    def hook(self, hook: Hook) -> Iterator[Any]:
        """Run a hook with the body of the caller, who gets its coordinator."""
        with self._process(hook):
            coordinator = self.coordinator = self.make()
            coordinator.world = self
            hookenv._run_atstart()
            yield coordinator
            if not hook.fails:
                hookenv._run_atexit()
                self.databags[hook.unit].update(self._pending)
                self.application.update(self._pending_application)

    def start(self) -> World:
        """Let all units start, and the leader hear of each."""
        for unit in self.units:
            self.run(Hook(unit, "leader-elected" if unit == self.leader else "start"))
            self.hear(unit)
        return self

    def ask(self, unit: str, *locks: str, at: float | None = None, fails: bool = False) -> Seen:
        """Run a hook that asks for `locks`; `at` are seconds after a day, by the unit's clock."""
        self.now += dt.timedelta(seconds=1)
        time = self.now if at is None else START + dt.timedelta(days=1, seconds=at)
        times = [time + dt.timedelta(microseconds=number) for number in range(len(locks))]
        return self.run(Hook(unit, "config-changed", locks, fails=fails), times)

    def hear(self, unit: str) -> Seen:
        """Run the leader's hook about `unit`; for a leader itself, any hook."""
        if unit == self.leader:
            return self.idle(unit)
        return self.run(Hook(self.leader, "coordinator-relation-changed", remote=unit))

    def idle(self, unit: str) -> Seen:
        return self.run(Hook(unit, "update-status"))

    def look(self, unit: str, rules: str) -> set[str]:
        """Return what `unit` of our coordinator would hold in a hook now, changing nothing."""
        with self._process(Hook(unit, "config-changed")):
            hook = _core.Hook(
                dict(os.environ),
                key=KEY,
                relation="coordinator",
                rules=rules,
                announce=True,
                legacy_file="none",
                **framework.core_options(),
            )
            hook.open(framework.now_text())
            return set(hook.held())

    def remove(self, unit: str) -> None:
        """Make a unit depart; its databag stays readable, as in Juju."""
        self.units.remove(unit)

    def add(self, unit: str) -> None:
        self.units.append(unit)
        self.databags[unit] = {}

    def _held(self, coordinator: Any) -> dict[str, str]:
        own = coordinator.requests[os.environ["JUJU_UNIT_NAME"]]
        return {lock: own[lock] for lock in sorted(own) if coordinator.granted(lock)}

    @contextmanager
    def _process(self, hook: Hook) -> Iterator[None]:
        """Make this process look like a new one in which the hook runs."""
        directory = self.directory / hook.unit.replace("/", "-")
        if directory not in self._directories:
            directory.mkdir(exist_ok=True)
            for left in directory.iterdir():
                left.unlink()
            self._directories.add(directory)
        environment = hook.environment(self.version, directory)
        self._pending, self._pending_application = {}, {}
        self.calls = []
        os.environ = environment  # type: ignore[assignment]  # noqa: B003 - many times faster
        os.chdir(directory)
        hookenv.cache.clear()
        hookenv._atstart.clear()
        hookenv._atexit.clear()
        theirs.Singleton._instances.clear()
        juju.Singleton._instances.clear()
        hookenv.subprocess = RoutedSubprocess(cast("Any", _Agent(self, hook.unit, environment)))
        theirs._utcnow = lambda: self.now.replace(tzinfo=None)
        framework.simulation = {
            "tools": lambda arguments, stdin: self.answer(hook.unit, arguments, stdin),
            "monotonic": lambda: 0.0,
            "wall_clock": lambda: self.now,
        }
        yield

    def answer(self, unit: str, argv: list[str], stdin: bytes | None) -> tuple[int, bytes, bytes]:
        """Do what a hook tool does, for `unit`."""
        self.calls.append(argv)
        words = [word for word in argv[1:] if word != "--format=json"]
        tool = getattr(self, "_" + argv[0].replace("-", "_"))
        return tool(unit, words)  # type: ignore[no-any-return]

    def _relation_ids(self, unit: str, words: list[str]) -> tuple[int, bytes, bytes]:
        return printed([RELATION] if self.related else [])

    def _relation_list(self, unit: str, words: list[str]) -> tuple[int, bytes, bytes]:
        hidden = {unit, *self.not_joined.get(unit, ())}
        return printed(sorted(other for other in self.units if other not in hidden))

    def _relation_get(self, unit: str, words: list[str]) -> tuple[int, bytes, bytes]:
        assert words[:2] == ["-r", RELATION]
        if words[2] == "--app":
            bag = self.application | self._pending_application
        else:
            bag = self.views.get(unit, {}).get(words[3], self.databags[words[3]])
            if unit == words[3]:
                bag = bag | self._pending
        key = words[-2]
        return printed(bag if key == "-" else bag.get(key))

    def _relation_set(self, unit: str, words: list[str]) -> tuple[int, bytes, bytes]:
        if words == ["--help"]:
            return 0, b"", b""
        assert words[:2] == ["-r", RELATION]
        if words[2] == "--app":
            if unit != self.leader:
                return 1, b"", b"ERROR cannot write relation settings"
            self._pending_application.update(pairs(words[3:]))
        else:
            self._pending.update(pairs(words[2:]))
        return 0, b"", b""

    def _is_leader(self, unit: str, words: list[str]) -> tuple[int, bytes, bytes]:
        return printed(unit == self.leader)

    def _leader_get(self, unit: str, words: list[str]) -> tuple[int, bytes, bytes]:
        every = words[0] == "-"
        return printed(self.leader_settings if every else self.leader_settings.get(words[0]))

    def _leader_set(self, unit: str, words: list[str]) -> tuple[int, bytes, bytes]:
        if unit != self.leader:
            return 1, b"", b"ERROR cannot write leadership settings"
        self.leader_settings.update(pairs(words))
        return 0, b"", b""

    def _goal_state(self, unit: str, words: list[str]) -> tuple[int, bytes, bytes]:
        return printed({"units": {name: {"status": "active"} for name in self.units}})

    def _juju_log(self, unit: str, words: list[str]) -> tuple[int, bytes, bytes]:
        return 0, b"", b""


def printed(value: object) -> tuple[int, bytes, bytes]:
    return 0, encoded(value).encode(), b""


def pairs(words: Sequence[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words)


@dataclass
class Result:
    code: int
    stdout: bytes
    stderr: bytes


@dataclass
class _Agent:
    """What `RoutedSubprocess` needs of a hook."""

    world: World
    unit: str
    environment: dict[str, str] = field(default_factory=dict)

    def tool(self, argv: list[str], stdin: bytes | None) -> Result:
        return Result(*self.world.answer(self.unit, argv, stdin))


@contextmanager
def swapped_globals() -> Iterator[None]:
    """Let worlds change the globals of this process, and put them back."""
    kept: dict[tuple[Any, str], Any] = {
        (os, "environ"): os.environ,
        (hookenv, "subprocess"): hookenv.subprocess,
        (hookenv, "glob"): hookenv.glob,
        (hookenv, "LooseVersion"): getattr(hookenv, "LooseVersion", None),
        (hookenv, "cache"): hookenv.cache,
        (hookenv, "_atstart"): hookenv._atstart,
        (hookenv, "_atexit"): hookenv._atexit,
        (theirs, "_utcnow"): theirs._utcnow,
        (theirs.Singleton, "_instances"): theirs.Singleton._instances,
        (juju.Singleton, "_instances"): juju.Singleton._instances,
        (framework, "simulation"): framework.simulation,
    }
    directory = Path.cwd()
    for (owner, name), value in kept.items():
        if isinstance(value, (dict, list)):
            setattr(owner, name, type(value)())
    hookenv.LooseVersion = QuietVersion
    hookenv.glob = _Glob
    try:
        yield
    finally:
        os.chdir(directory)
        for (owner, name), value in kept.items():
            setattr(owner, name, value)


class _Glob:
    @staticmethod
    def glob(pattern: str) -> list[str]:
        return [MACHINE_AGENT]
