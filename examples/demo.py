"""Watch the units of a charm take a new configuration and restart one after the other.

    python examples/demo.py --units 5

Everything is real but Juju, which is simulated: the charm `rolling-restart` is built with
charm-build, and each of its hooks is a process that runs charms.reactive and calls hook tools.

Exit status 0 says that every unit restarted exactly once and never two at once; 1 says that it
was not so, and the last lines say which unit broke the promise.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "tests/juju"))

from rich.console import Console  # noqa: E402

import build_charm  # noqa: E402 - found in tests/juju
from demo_progress import Roll  # noqa: E402
from demo_view import view_for  # noqa: E402
from simulated_juju import DirectoryCharm, Model, NotSettledError  # noqa: E402

APPLICATION = "rolling"
RESTART_SECONDS = 30


@dataclass
class InstalledCharm(DirectoryCharm):
    """A built charm whose units share one environment, made by the charm from its own wheels."""

    environment: Path = Path()

    def install(self, directory: Path) -> None:
        """Copy the charm, and link the environment to where its first hook would make it."""
        super().install(directory)
        link = directory.parent / ".venv"
        if not link.is_symlink():
            link.symlink_to(self.environment)


def main() -> int:
    """Show what the command line asks for; return the exit status."""
    arguments = parsed()
    console = Console()
    console.print(
        f"Units of a charm, {arguments.units} of them, get a new configuration. Each has to "
        "restart for it, and they take\nturns: never two at once. "
        "The charm and its hooks are real, "
        f"Juju {arguments.version} is simulated (seed {arguments.seed}).\n",
        highlight=False,
        soft_wrap=True,
    )
    try:
        charm, tool = prepared(arguments)
    except build_charm.BuildError as error:
        sys.exit(f"demo: {error}")
    with Model(seed=arguments.seed, version=arguments.version, tool_executable=tool) as model:
        return show(model, charm, arguments.units, console)


def show(model: Model, charm: InstalledCharm, units: int, console: Console) -> int:
    """Deploy the charm, change its configuration, and return the exit status."""
    roll = Roll(model, APPLICATION)
    view = view_for(roll, console)
    began = time.monotonic()
    problems: list[str] = []
    try:
        with view.shown(f"1. juju deploy ./rolling-restart {APPLICATION} -n {units}"):
            application = model.deploy(
                APPLICATION,
                charm,
                units=units,
                peers={"coordinator": "coordinator"},
                config={
                    "revision": 1,
                    "service": "web",
                    "restart-command": f"guarded-work restart {RESTART_SECONDS}",
                },
            )
            model.settle()
        deployed = time.monotonic()
        print()
        with view.shown(f"2. juju config {APPLICATION} revision=2"):
            roll.begin()
            application.configure(revision=2)
            model.settle()
    except NotSettledError as error:
        problems.append(str(error))
        deployed = time.monotonic()
    problems += roll.problems()
    restarted = sum(unit.restarts > 0 for unit in roll.units.values())
    print(f"\nUnits restarted:            {restarted} of {units}")
    print(f"Most restarting at once:    {roll.most_at_once}")
    print(f"Hooks run:                  {roll.hooks}")
    print(f"Hook tool calls:            {roll.tools}")
    print(
        f"Virtual time:               {roll.finished:.0f} s for {restarted} restarts "
        f"of {RESTART_SECONDS} s"
    )
    print(
        f"Real time:                  {time.monotonic() - deployed:.0f} s, "
        f"and {deployed - began:.0f} s to deploy"
    )
    for problem in problems:
        print(f"BROKEN: {problem}")
    if not problems:
        print("Every unit restarted exactly once, and never two at once.")
    return 1 if problems else 0


def prepared(arguments: argparse.Namespace) -> tuple[InstalledCharm, Path]:
    """Return the charm and the hook tool, built where the command line names none.

    Afterwards the first python3 on the PATH is a Python without packages, as on a machine.
    """
    path = os.environ.get("PATH", "/usr/bin:/bin")
    # maturin, which builds the wheel, is installed beside this Python.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    built = arguments.charm or build_charm.example_charm()
    environment = build_charm.make_environment(built)
    tool = arguments.hook_tool or compiled_hook_tool()
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).resolve().parent), path])
    return InstalledCharm(built, environment=environment), tool


def compiled_hook_tool() -> Path:
    """Return the hook tool of the simulated Juju, compiled if it is older than its source."""
    source = PROJECT / "tests/juju/hook_tool.rs"
    tool = build_charm.KEPT / "simulated-hook-tool"
    if not tool.exists() or tool.stat().st_mtime < source.stat().st_mtime:
        tool.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place, so that a demo that starts meanwhile never sees half of it.
        unfinished = tool.with_name(f"{tool.name}.{os.getpid()}")
        command = ["rustc", "--edition=2024", "-O", "-o", str(unfinished), str(source)]
        try:
            subprocess.run(command, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise build_charm.BuildError(f"the hook tool cannot be compiled: {error}") from error
        unfinished.rename(tool)
    return tool


def parsed() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description="Units of a charm restart one after the other, in a simulated Juju."
    )
    parser.add_argument("--units", type=positive, default=5, help="how many units (5)")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another history (0)")
    parser.add_argument("--version", default="3.6.0", help="the simulated Juju's version (3.6.0)")
    parser.add_argument("--charm", type=Path, help="built charm; built from here if not given")
    parser.add_argument(
        "--hook-tool",
        type=Path,
        default=os.environ.get("SIMULATED_HOOK_TOOL"),
        help="compiled hook tool; compiled if not given here or in SIMULATED_HOOK_TOOL",
    )
    arguments = parser.parse_args()
    for name in ("charm", "hook_tool"):
        path = getattr(arguments, name)
        if path is not None and not Path(path).exists():
            parser.error(f"no {name.replace('_', ' ')} at {path}")
        setattr(arguments, name, None if path is None else Path(path).resolve())
    return arguments


def positive(text: str) -> int:
    """Return a count of units."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least one unit has to restart")
    return count


if __name__ == "__main__":
    status = 130
    with contextlib.suppress(KeyboardInterrupt):
        status = main()
    sys.exit(status)
