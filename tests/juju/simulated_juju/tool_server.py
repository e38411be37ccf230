"""The sockets over which real hook processes call their tools."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .charms import FunctionCharm, ToolStep
from .resolver import Command
from .tools import TOOLS, ToolResult

if TYPE_CHECKING:
    from .world import World

# Longer than any sane hook: a hook that neither ends nor calls a tool is an error to report.
PATIENCE_SECONDS = 600.0
EXTRA_TOOLS = ("guarded-work", "juju-exec")


@dataclass
class Request:
    """One call by a process; `connection` waits for the answer."""

    connection: socket.socket
    context_id: str
    directory: str
    argv: list[str]
    stdin: bytes | None

    def answer(self, result: ToolResult) -> None:
        """Send the answer; the process may have died meanwhile."""
        message = struct.pack("<iI", result.code, len(result.stdout)) + result.stdout
        message += struct.pack("<I", len(result.stderr)) + result.stderr
        try:
            self.connection.sendall(message)
        except OSError:
            pass
        finally:
            self.connection.close()


class ToolServer:
    """One listening socket and one directory of tools per unit."""

    def __init__(self, world: World, executable: str | Path | None) -> None:
        found = executable or os.environ.get("SIMULATED_HOOK_TOOL")
        if not found:
            raise RuntimeError(
                "charm directories need the compiled hook tool: build the example "
                "simulated-hook-tool and pass Model(tool_executable=...) or set "
                "SIMULATED_HOOK_TOOL"
            )
        self._executable = Path(found).resolve(strict=True)
        self._world = world
        self._listeners: dict[str, socket.socket] = {}
        self._units: dict[int, str] = {}
        self._poller = select.poll()
        # Socket paths are limited to about 100 bytes, so they stay out of unit directories.
        self._run_dir = world.root / "run"
        self._run_dir.mkdir()

    def close(self) -> None:
        """Close every socket."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def tools_dir(self, unit: str) -> Path:
        """Return the directory of a unit's hook tools, made when first asked for."""
        directory = self._world.root / f"unit-{unit.replace('/', '-')}" / "tools"
        if not directory.exists():
            directory.mkdir(parents=True)
            for name in (*sorted(self._world.tools), *EXTRA_TOOLS):
                (directory / name).symlink_to(self._executable)
        return directory

    def socket_path(self, unit: str) -> Path:
        """Return the path of a unit's socket, which listens from the first time it is asked for."""
        path = self._run_dir / unit.replace("/", "-")
        if unit not in self._listeners:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen(128)
            self._listeners[unit] = listener
            self._units[listener.fileno()] = unit
            self._poller.register(listener, select.POLLIN)
        return path

    def next_request(self, unit: str, context_id: str, process: int) -> Request | None:
        """Wait until the hook calls a tool (the call) or its process has ended (None)."""
        listener = self._listeners[unit]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            poller = select.poll()
            poller.register(listener, select.POLLIN)
            poller.register(process, select.POLLIN)
            ready = {descriptor for descriptor, _ in poller.poll(PATIENCE_SECONDS * 1000)}
            if listener.fileno() in ready:
                request = self._accept(listener)
                if request is not None and not self._stray(unit, request, context_id):
                    return request
            elif process in ready:
                return None
            elif time.monotonic() >= deadline:
                raise TimeoutError(
                    f"the hook {context_id} has neither ended nor called a tool for "
                    f"{PATIENCE_SECONDS:.0f} s"
                )

    def poll(self) -> None:
        """Answer calls that are no step of a hook: juju-exec, late ones, those of threads."""
        while ready := self._poller.poll(0):
            for descriptor, _ in ready:
                unit = self._units[descriptor]
                request = self._accept(self._listeners[unit])
                if request is not None and not self._beside(unit, request):
                    self._stray(unit, request, "")

    def _accept(self, listener: socket.socket) -> Request | None:
        connection, _ = listener.accept()
        try:
            return read_request(connection)
        except (OSError, ValueError):  # The process was killed in the middle of its call.
            connection.close()
            return None

    def _beside(self, unit: str, request: Request) -> bool:
        agent = self._world.agents.get(unit)
        execution = agent.operations.execution if agent is not None else None
        if execution is None or request.context_id != execution.context.identifier:
            return False
        if request.argv[0] not in self._world.tools:
            return False
        step = ToolStep(request.argv, request.stdin, request.directory)
        request.answer(execution.answer(step))
        return True

    def _stray(self, unit: str, request: Request, context_id: str) -> bool:
        name = request.argv[0]
        if name == "juju-exec":
            self._juju_exec(unit, request)
            return True
        if request.context_id != context_id or (
            name not in self._world.tools and name != "guarded-work"
        ):
            known = name in TOOLS or name == "guarded-work"
            why = "wrong context ID" if known else "unknown command"
            text = f'ERROR {why}; got "{request.context_id}" for {name}\n'
            request.answer(ToolResult(1, b"", text.encode()))
            return True
        return False

    def _juju_exec(self, unit: str, request: Request) -> None:
        words = request.argv[1:]
        if words[:1] in (["-u"], ["--unit"]) and len(words) > 2:
            unit, words = words[1].removeprefix("unit-"), words[2:]
        if request.context_id:
            text = b"ERROR juju-exec cannot be called from within a hook, as the lock is held\n"
            request.answer(ToolResult(1, b"", text))
            return
        agent = self._world.agents.get(unit)
        if agent is None or not words:
            text = f"ERROR unit {unit!r} not found or no command given\n".encode()
            request.answer(ToolResult(1, b"", text))
            return

        def finished(command: Command) -> None:
            request.answer(ToolResult(command.code or 0, command.output.encode()))

        self._world.records.tell("exec", unit)
        is_function = isinstance(agent.charm, FunctionCharm)
        function = self._world.exec_function if is_function else None
        agent.add_command(Command(function or " ".join(words), finished=finished))


def read_request(connection: socket.socket) -> Request:
    """Read one call: fields with their length before them."""
    with connection.makefile("rb") as stream:

        def field() -> bytes:
            header = stream.read(4)
            if len(header) < 4:
                raise ValueError("the call broke off")
            (length,) = struct.unpack("<I", header)
            value = stream.read(length)
            if len(value) < length:
                raise ValueError("the call broke off")
            return value

        context_id, directory = field().decode(), field().decode(errors="surrogateescape")
        has_stdin, stdin = field(), field()
        (count,) = struct.unpack("<I", field())
        argv = [field().decode(errors="surrogateescape") for _ in range(count)]
    return Request(connection, context_id, directory, argv, stdin if has_stdin == b"1" else None)
