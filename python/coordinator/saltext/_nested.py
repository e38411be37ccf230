"""What runs under a lock: states, SLS files or a command, through Salt's own functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from coordinator.exceptions import Invalid

# The run that we are part of has made sure that no other is under way.
WITHIN = {"queue": False, "concurrent": True}
# Where Salt begins to number the states of an SLS file, which run in the order of it.
FIRST = 10000


@dataclass
class Outcome:
    """How it went, or would go.

    Attributes:
        result: True, False, or None for changes that a test foresees.
        changes: by state.
        comment: what failed, or what went well.
    """

    result: bool | None
    changes: dict[str, Any] = field(default_factory=dict)
    comment: str = ""


class Work:
    """Something to run under a lock.

    Args:
        salt: Salt's functions.
        around: the function that runs it.

    Raises:
        Invalid: it is not exactly one of states, SLS files and a command.
    """

    def __init__(
        self,
        salt: Mapping[str, Callable[..., Any]],
        around: Callable[..., Any],
        *,
        states: Mapping[str, Any] | None,
        sls: str | list[str] | None,
        command: str | None,
        saltenv: str,
    ) -> None:
        given = [
            name
            for name, value in (("states", states), ("sls", sls), ("command", command))
            if value
        ]
        if len(given) != 1:
            raise Invalid(
                f"give one of states, sls and command, and not {' and '.join(given) or 'none'}"
            )
        self._salt = salt
        self._around = around
        self._states = high_data(states, saltenv) if states else None
        self._sls = sls
        self._command = command
        self._saltenv = saltenv

    def plan(self) -> Outcome | None:
        """What running it would change; None if that cannot be known."""
        return None if self._command else self._apply(test=True)

    def run(self) -> Outcome:
        """Run it."""
        return self._run_command(self._command) if self._command else self._apply(test=False)

    def _run_command(self, command: str) -> Outcome:
        done = self._salt["cmd.run_all"](command, python_shell=True)
        changes = {key: done.get(key) for key in ("retcode", "stdout", "stderr")}
        if done.get("retcode") == 0:
            return Outcome(True, {"command": changes}, "the command succeeded")
        return Outcome(False, {"command": changes}, f"the command ended with {done.get('retcode')}")

    def _apply(self, *, test: bool) -> Outcome:
        with _options_kept(self._salt, self._around, self._salt["state.high"]):
            if self._states is not None:
                returned = self._salt["state.high"](self._states, test=test, **WITHIN)
            else:
                returned = self._salt["state.sls"](
                    self._sls, saltenv=self._saltenv, test=test, **WITHIN
                )
        if not isinstance(returned, Mapping):
            # What Salt says of states that it cannot compile.
            raise Invalid("; ".join(map(str, returned or ["the states cannot be run"])))
        return summary(returned)


@contextmanager
def _options_kept(salt: Any, *functions: Any) -> Iterator[None]:
    """Keep a nested run from making a test of the run around it, or the other way round.

    A nested run loads modules anew where the run around it has them, and gives them its options.
    After a call Salt reads there whether all that follows is a test.

    Args:
        salt: its functions, which have options of their own.
        functions: those that are under way, around the nested run.
    """
    modules = [function.__globals__ for function in functions]
    options = [module["__opts__"] for module in modules]
    tests = [(kept, kept["test"]) for kept in (*options, salt.opts) if "test" in kept]
    try:
        yield
    finally:
        for module, kept in zip(modules, options, strict=True):
            module["__opts__"] = kept
        for kept, test in tests:
            kept["test"] = test


def summary(returned: Mapping[str, Any]) -> Outcome:
    """Sum up what Salt returns for a run of states."""
    states = sorted(
        (state for state in returned.values() if isinstance(state, Mapping) and "result" in state),
        key=lambda state: state.get("__run_num__", 0),
    )
    failed = [
        f"{state.get('__id__') or state.get('name')}: {state.get('comment')}"
        for state in states
        if state["result"] is False
    ]
    changes = {
        str(state.get("__id__") or state.get("name")): dict(state["changes"])
        for state in states
        if state.get("changes")
    }
    if failed:
        return Outcome(False, changes, "; ".join(failed))
    foreseen = any(state["result"] is None for state in states)
    result = None if foreseen else True
    return Outcome(result, changes, f"{len(states)} states, {len(changes)} with changes")


def high_data(states: Mapping[str, Any], saltenv: str) -> dict[str, Any]:
    """Bring states as an SLS file has them into the form that Salt runs.

    Raises:
        Invalid: they are not written as in an SLS file.
    """
    if not isinstance(states, Mapping):
        raise Invalid("states are written as in an SLS file: by id, each with its function")
    order = count(FIRST)
    return {
        str(name): _declaration(str(name), body, saltenv, order) for name, body in states.items()
    }


def _declaration(name: str, body: Any, saltenv: str, order: Iterator[int]) -> dict[str, Any]:
    if isinstance(body, str):
        body = {body: []}
    if not isinstance(body, Mapping):
        raise Invalid(
            f"state {name}: expected a function such as service.running, with its arguments"
        )
    declared: dict[str, Any] = {"__sls__": "zk_concurrency", "__env__": saltenv}
    for key, arguments in body.items():
        module, dot, function = str(key).partition(".")
        listed = [*(arguments or []), *([function] if dot else [])]
        # Without a number they would run by their names.
        if not any(isinstance(argument, Mapping) and "order" in argument for argument in listed):
            listed.append({"order": next(order)})
        declared[module] = listed
    return declared
