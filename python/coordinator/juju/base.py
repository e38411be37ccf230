"""The coordinator of one charm: the interface of charmhelpers, over the compiled core."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

from coordinator import _core
from coordinator.exceptions import Invalid
from coordinator.juju import framework
from coordinator.juju.backend import Backend
from coordinator.juju.framework import TIME_FORMAT, now_text

__all__ = ["BaseCoordinator", "Engine", "Serial", "SimpleCoordinator", "Singleton"]

# So often a hook asks its policy again. Whoever was quicker each time has asked the same one.
DECISIONS = 10

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Singleton(type):
    """One instance per class: all of a charm's libraries share its state in a hook."""

    _instances: dict[type, Any] = {}  # noqa: RUF012 - shared on purpose

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        if cls not in Singleton._instances:
            Singleton._instances[cls] = super().__call__(*arguments, **options)
        return Singleton._instances[cls]


class Engine:
    """What all coordinators do, apart from the question who may be granted next."""

    relid: str | None = None
    """The identifier of the peer relation, set by :meth:`initialize`."""
    relname: str | None = None
    """The name of the peer relation."""
    grants: Any = None
    """``grants[unit][lock]`` is the time of the request whose grant is in effect."""
    requests: Any = None
    """``requests[unit][lock]`` is the time of the request, held ones included.

    A policy finds every unit of the application here, also those that ask for nothing."""

    rules = "custom"
    """Rules in place of a policy: ``simple``, ``serial``, ``at most 2``, ``at most 25%``."""

    backend: Backend | None = None
    """A scope on a store to coordinate in, in place of the peer relation."""

    def __init__(
        self,
        relation_key: str = "coordinator",
        peer_relation_name: str | None = None,
        backend: Backend | None = None,
    ) -> None:
        """Make the coordinator; nothing is read before :meth:`initialize`.

        Data is kept under ``relation_key`` on the peer relation ``peer_relation_name``, by default
        the first one in ``metadata.yaml``. With a ``backend`` requests and grants live there, and
        the peer relation only says so.
        """
        self.key = relation_key
        self.relname = peer_relation_name
        self.backend = backend or self.backend
        self._hook: _core.Hook | None = None
        self._messages = framework.Messages()
        self._asks_policy = False
        self._queues: dict[str, tuple[set[str], list[str]]] = {}
        framework.at_start(self.initialize)
        # A charm author need not remember to call it.
        framework.at_start(self.handle)

    def initialize(self) -> None:
        """Read this unit's requests and the grants. Does nothing the second time in a hook."""
        if self.requests is not None:
            return
        if self.relname is None:
            self.relname = framework.first_peer_relation()
        rules = self._rules()
        self._asks_policy = rules == "custom"
        self._hook = _core.Hook(
            dict(os.environ),
            key=self.key,
            relation=self.relname,
            rules=rules,
            announce=not self._hears_releases(),
            legacy_file=f".charmhelpers.coordinator.{self._name()}",
            backend=self.backend,
            **framework.core_options(),
        )
        self._hook.open(now_text())
        self.relid = self._hook.relation
        self._look()
        framework.at_exit(self.finish)

    def handle(self) -> None:
        """As leader, take in the news of this hook and give out grants. Else do next to nothing."""
        hook = self._opened()
        hook.handle()
        self._look()
        self._tell_news()
        self._decide()
        for lock in self.requests[hook.unit]:
            if self.granted(lock):
                self.msg(f"Granted {lock}")

    def finish(self) -> None:
        """End a hook that succeeded: release what it held and publish.

        A hook that fails must not come here; then nothing is published, and Juju runs it again.
        """
        self._close()
        self._publish()

    def _close(self) -> None:
        hook = self._opened()
        before = set(hook.held())
        hook.close()
        for lock in sorted(before - set(hook.held())):
            self.msg(f"Released {lock}")
        self._tell_news()
        self._look()

    def _publish(self) -> None:
        self._decide()
        hook = self._opened()
        hook.publish()
        self._tell_news()
        if hook.trouble:
            self._messages.add("WARNING", f"coordinator: {hook.trouble}")
        self._messages.flush()

    def acquire(self, lock: str) -> bool:
        """Ask for ``lock`` without waiting, and return whether it is held now.

        It may be granted at once, or in a later hook. It is released at the end of the hook in
        which it is granted. Call this only when there is something to do under the lock: each
        request makes hooks on the other units.

        Raises:
            Invalid: ``lock`` is empty, longer than 255 bytes or has control characters.

        """
        hook = self._opened()
        new = not self.requested(lock)
        hook.acquire(lock, now_text())
        self._look()
        if new:
            self.msg(f"Requested {lock}")
        for _ in range(DECISIONS):
            if self.granted(lock):
                break
            self.grant(lock, hook.unit)
            settled = hook.settle()
            self._look()
            if settled:
                break
        return self.granted(lock)

    def granted(self, lock: str) -> bool:
        """Whether ``lock`` is held in this hook."""
        return lock in self._opened().held()

    def token(self, lock: str) -> int | None:
        """The fencing number under which ``lock`` is held.

        ``None`` if it is not held, and for a grant by a leader that runs charmhelpers.
        """
        return self._opened().held().get(lock)

    def check(self, lock: str) -> None:
        """Say whether ``lock`` is held, and may still be acted on: ask before each guarded step.

        In a scope on a store a hook that is stopped, or cut off from the store, can lose what it
        holds in the middle.

        Raises:
            LockLost: it was held, and others may hold it now or soon.
            NotHeld: it is not held.

        """
        self._opened().check(lock)

    @property
    def trouble(self) -> str | None:
        """What keeps this unit from taking turns, for its status; None if nothing does."""
        return self._opened().trouble

    @property
    def scope(self) -> str | None:
        """The scope that the application coordinates in; None over the peer relation."""
        return self._opened().scope

    @property
    def member(self) -> str:
        """The name of this unit in scopes."""
        return self._opened().member

    def requested(self, lock: str) -> bool:
        """Whether this unit has asked for ``lock`` and not released it."""
        return lock in self.requests[self._opened().unit]

    def request_timestamp(self, lock: str) -> datetime | None:
        """The UTC time of this unit's request for ``lock``, without ``tzinfo``, or None."""
        text = self.requests[self._opened().unit].get(lock)
        return None if text is None else datetime.strptime(text, TIME_FORMAT)

    def hold(self, lock: str) -> None:
        """Keep ``lock``, which is held, when this hook ends: until :meth:`release`.

        For work that spans hooks, reboots or actions. The unit's later hooks see it as granted.

        Raises:
            NotHeld: ``lock`` is not held.

        """
        self._opened().hold(lock)

    def release(self, lock: str, outcome: str = "ok") -> None:
        """Release ``lock`` now, or withdraw a request that waits. Others learn it after the hook.

        ``outcome`` is ``"ok"`` or ``"failed"``.

        Raises:
            NotHeld: ``lock`` is neither held nor asked for.

        """
        self._opened().release(lock, outcome)
        self._look()
        self.msg(f"Released {lock} ({outcome})")

    def grant(self, lock: str, unit: str) -> bool:
        """As leader, grant ``lock`` to ``unit`` if the policy says so. Return whether it has it.

        The policy is the method ``grant_<lock>`` of the class, or else :meth:`default_grant`.
        """
        hook = self._opened()
        if not hook.may_decide():
            return False
        granted, queue = self._standing(lock)
        if unit in granted:
            return True
        if not self._asks_policy or unit not in queue:
            return False
        policy = getattr(self, f"grant_{lock}", None) or self.default_grant
        if not policy(lock, unit, set(granted), list(queue)):
            return False
        self.msg(f"Leader grants {lock} to {unit}")
        at = self.requests[unit][lock]
        hook.give(lock, unit)
        granted.add(unit)
        queue.remove(unit)
        self.grants.setdefault(unit, {})[lock] = at
        if unit == hook.unit:
            hook.refresh()
            return self.granted(lock)
        return True

    def default_grant(
        self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
    ) -> bool:
        """Say whether ``unit`` may be granted ``lock`` now. Override this, or ``grant_<lock>``.

        ``granted`` are the other units with the lock, a set. ``queue`` are the units that wait for
        it, first come first, ``unit`` among them.
        """
        raise Invalid(f"{self._name()} has no default_grant: derive from Serial, or write one")

    def released(self, unit: str, lock: str, timestamp: datetime) -> None:
        """Hear, as leader, that ``unit`` released ``lock``, which it asked for at ``timestamp``.

        Override it to do more than log. A class that does hears of each release in order, for which
        grants are not announced ahead.
        """
        interval = datetime.strptime(now_text(), TIME_FORMAT) - timestamp
        self.msg(f"Leader released {lock} from {unit}, held {interval}")

    def require(
        self,
        lock: str,
        guard: Callable[..., object],
        *guard_arguments: Any,
        **guard_options: Any,
    ) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result | None]]:
        """Decorate a function to run only while ``lock`` is held.

        If it is not, and ``guard(*guard_arguments, **guard_options)`` is true, it is asked for.
        The decorated function returns None where it did not run.
        """

        def decorator(
            function: Callable[_Arguments, _Result],
        ) -> Callable[_Arguments, _Result | None]:
            @functools.wraps(function)
            def wrapper(
                *arguments: _Arguments.args, **options: _Arguments.kwargs
            ) -> _Result | None:
                if self.granted(lock) or (
                    guard(*guard_arguments, **guard_options) and self.acquire(lock)
                ):
                    return function(*arguments, **options)
                return None

            return wrapper

        return decorator

    def msg(self, msg: str) -> None:
        """Take a message for the log. Override it to say less.

        The messages of a hook go out together, with one hook tool.
        """
        self._messages.add("INFO", f"coordinator.{self._name()} {msg}")

    def _name(self) -> str:
        return type(self).__name__

    def _rules(self) -> str:
        return self.rules

    def _hears_releases(self) -> bool:
        return "released" in overridden(type(self))

    def _opened(self) -> _core.Hook:
        if self._hook is None:
            self.initialize()
        assert self._hook is not None
        return self._hook

    def _look(self) -> None:
        hook = self._opened()
        self.requests = hook.requests()
        self.grants = hook.grants()
        self._queues.clear()

    def _standing(self, lock: str) -> tuple[set[str], list[str]]:
        if lock not in self._queues:
            hook = self._opened()
            self._queues[lock] = (set(hook.holders(lock)), hook.queue(lock))
        return self._queues[lock]

    def _decide(self) -> None:
        hook = self._opened()
        for _ in range(DECISIONS):
            if self._asks_policy and hook.may_decide():
                for lock, unit in hook.waiting():
                    self.grant(lock, unit)
            settled = hook.settle()
            self._look()
            if settled:
                return
            # In a scope others have written meanwhile, and what the policy has seen is over.

    def _tell_news(self) -> None:
        ended, warnings = self._opened().take_news()
        for warning in warnings:
            self._messages.add("WARNING", f"coordinator: {warning}")
        for unit, lock, at, _outcome in ended:
            self.released(unit, lock, datetime.strptime(at, TIME_FORMAT))


def overridden(kind: type) -> set[str]:
    """The methods that a charm's own classes define, below those of this module or charmhelpers."""
    own: set[str] = set()
    for layer in kind.__mro__:
        if layer.__module__ in (__name__, "charmhelpers.coordinator", "coordinator.juju.adapt"):
            continue
        own.update(vars(layer))
    return own - set(vars(object))


class BaseCoordinator(Engine, metaclass=Singleton):
    """A coordinator whose policy a subclass writes: ``default_grant`` or ``grant_<lock>``."""


class Serial(BaseCoordinator):
    """One unit at a time under each lock name, first come first served."""

    def _rules(self) -> str:
        return built_in("serial", self)

    def default_grant(
        self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
    ) -> bool:
        return unit == queue[0] and not granted


class SimpleCoordinator(BaseCoordinator):
    """One unit at a time, whatever the locks are called; it holds all that it asked for."""

    def _rules(self) -> str:
        return built_in("simple", self)

    def default_grant(
        self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
    ) -> bool:
        holders = {holder for holder, locks in self.grants.items() if locks}
        return holders == {unit} or (not holders and unit == queue[0])


def built_in(rules: str, coordinator: Engine) -> str:
    """``rules`` where ``coordinator`` leaves their policy unchanged, else ``custom``."""
    if type(coordinator).rules != Engine.rules:
        return type(coordinator).rules
    own = overridden(type(coordinator))
    changed = "default_grant" in own or any(name.startswith("grant_") for name in own)
    return "custom" if changed or "grant" in own else rules
