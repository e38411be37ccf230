"""Runs real charmhelpers code in-process: each hook sees the globals of a process of its own.

charmhelpers keeps its state in module globals, the environment and the working directory, and
calls hook tools by `subprocess`. All of these are swapped in when a hook gets its turn and out
when it gives it up, so hooks of several units can be interleaved. The environment is `os.environ`
alone, in which one name is put in place instead of each of some thirty variables: a real program
that a hook starts has to be given it.
"""

from __future__ import annotations

import datetime as dt
import importlib
import os
import re
import types
from collections.abc import Callable, Mapping
from subprocess import DEVNULL, PIPE, STDOUT, CalledProcessError
from typing import Any

import yaml

from .charms import FunctionCharm, Hook

PROCESS = "charmhelpers process"
MACHINE_AGENT = "/var/lib/juju/tools/machine-0/jujud"


def charmhelpers_world(
    function: Callable[[Hook], None],
    *,
    peers: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> FunctionCharm:
    """Return a charm whose function may use charmhelpers as if it ran in a hook process.

    `function` is called in the charm directory, which has a metadata.yaml with the `peers`. It
    drives the hook itself; `run_hook` does so as a hook framework would.
    """
    endpoints = {name: {"interface": interface} for name, interface in (peers or {}).items()}
    metadata = yaml.safe_dump({"name": "charm", "peers": endpoints})

    def enter(hook: Hook) -> None:
        if PROCESS not in hook.local:
            hook.local[PROCESS] = Process(hook)
        hook.local[PROCESS].enter()

    def leave(hook: Hook) -> None:
        hook.local[PROCESS].leave()

    return FunctionCharm(function, enter, leave, {"metadata.yaml": metadata, **(files or {})})


def run_hook(
    make_coordinator: Callable[[], Any], body: Callable[[Hook, Any], None]
) -> Callable[[Hook], None]:
    """Return a hook function that runs start callbacks, body and exit callbacks in their order."""

    def function(hook: Hook) -> None:
        hookenv = importlib.import_module("charmhelpers.core.hookenv")
        coordinator = make_coordinator()
        hookenv._run_atstart()
        body(hook, coordinator)
        hookenv._run_atexit()

    return function


class Process:
    """The globals of one hook process."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._subprocess = RoutedSubprocess(hook)
        self._mine: dict[tuple[Any, str], Any] | None = None
        self._theirs: dict[tuple[Any, str], Any] = {}
        self._directory = self._outside_directory = str(hook.charm_dir)

    def enter(self) -> None:
        """Put this process's globals in place."""
        if self._mine is None:
            coordinator = importlib.import_module("charmhelpers.coordinator")
            hookenv = importlib.import_module("charmhelpers.core.hookenv")
            self._mine = {
                (os, "environ"): dict(self._hook.environment),
                (hookenv, "cache"): {},
                (hookenv, "_cache_config"): None,
                (hookenv, "_atstart"): [],
                (hookenv, "_atexit"): [],
                (hookenv, "subprocess"): self._subprocess,
                (hookenv, "LooseVersion"): QuietVersion,
                (hookenv, "glob"): types.SimpleNamespace(glob=self._glob),
                (coordinator.Singleton, "_instances"): {},
                (coordinator, "_utcnow"): self._utcnow,
            }
        self._outside_directory = os.getcwd()  # noqa: PTH109 - for each turn of each hook
        os.chdir(self._directory)
        for (owner, name), value in self._mine.items():
            self._theirs[owner, name] = getattr(owner, name)
            setattr(owner, name, value)

    def leave(self) -> None:
        """Put the globals from before back."""
        assert self._mine is not None
        for owner, name in self._mine:
            self._mine[owner, name] = getattr(owner, name)
            setattr(owner, name, self._theirs[owner, name])
        self._directory = os.getcwd()  # noqa: PTH109 - for each turn of each hook
        os.chdir(self._outside_directory)

    def _utcnow(self) -> dt.datetime:
        moment = dt.datetime.fromtimestamp(self._hook.wall_clock(), dt.timezone.utc)
        return moment.replace(tzinfo=None)

    def _glob(self, pattern: str) -> list[str]:
        # charmhelpers finds Juju's version by the machine agent, which Kubernetes does not have.
        on_machine = "JUJU_MACHINE_ID" in self._hook.environment
        return [MACHINE_AGENT] if "jujud" in pattern and on_machine else []


class QuietVersion:
    """Compares Juju versions without the warning that distutils gives about its own."""

    def __init__(self, text: str) -> None:
        self._parts = [int(part) for part in re.findall(r"\d+", text)]

    def __ge__(self, other: QuietVersion) -> bool:
        return self._parts >= other._parts


class RoutedSubprocess:
    """Stands in for the subprocess module: hook tools go to the simulated agent."""

    CalledProcessError = CalledProcessError
    PIPE, STDOUT, DEVNULL = PIPE, STDOUT, DEVNULL

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    def check_output(
        self, argv: list[str], *, universal_newlines: bool = False, **options: Any
    ) -> Any:
        """Return what a tool prints; raise CalledProcessError for an exit code other than 0."""
        code, stdout, stderr = self._run(argv, options.get("input"))
        if options.get("stderr") == STDOUT:
            stdout += stderr
        if code:
            raise CalledProcessError(code, argv, stdout, stderr)
        text = universal_newlines or options.get("text", False)
        return stdout.decode() if text else stdout

    def check_call(self, argv: list[str], **options: Any) -> int:
        """Run a tool; raises CalledProcessError for an exit code other than 0."""
        code = self.call(argv, **options)
        if code:
            raise CalledProcessError(code, argv)
        return 0

    def call(self, argv: list[str], **options: Any) -> int:
        """Return the exit code of a tool."""
        code: int = self._run(argv, options.get("input"))[0]
        return code

    def _run(self, argv: list[str], stdin: bytes | None) -> tuple[int, bytes, bytes]:
        if argv[0] == MACHINE_AGENT:
            version = f"{self._hook.environment['JUJU_VERSION']}-ubuntu-amd64\n"
            return 0, version.encode(), b""
        result = self._hook.tool(argv, stdin)
        return result.code, result.stdout, result.stderr
