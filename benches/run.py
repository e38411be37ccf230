"""Run the benches and print what they measured, as Markdown.

    python benches/run.py                   # all of them
    python benches/run.py deciding roll     # some; so does make bench BENCHES="deciding roll"

Nothing here fails because a machine is slow: times are medians beside a target, and counts are the
same on every machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [
    str(PROJECT / directory) for directory in ("benches", "tests/juju", "tests/zookeeper")
]

import build_charm  # noqa: E402 - found in tests/juju
from measured import NotMeasured  # noqa: E402
from report import machine  # noqa: E402

TITLES = {
    "hook_tools": "Hook tools per hook",
    "roll": "A roll of the whole application",
    "scopes": "A roll in a scope on a store",
    "deciding": "Deciding for a thousand units",
    "import_time": "Importing the package",
    "stores": "Locks and semaphores over ZooKeeper",
    "shares": "Leases and partitioners over ZooKeeper",
    "embedded": "Locks of one host",
}


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Run the benches, and print Markdown tables.")
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=", ".join(TITLES))
    parser.add_argument(
        "--hook-tool",
        type=Path,
        default=os.environ.get("SIMULATED_HOOK_TOOL"),
        help="the compiled hook tool of the simulated Juju, by default SIMULATED_HOOK_TOOL",
    )
    parser.add_argument(
        "--driver",
        type=Path,
        default=os.environ.get("BENCH_DRIVER"),
        help="the compiled benches/drivers/driver.rs, by default BENCH_DRIVER",
    )
    arguments = parser.parse_args()
    names = arguments.benches or list(TITLES)
    if unknown := set(names) - set(TITLES):
        parser.error(f"no bench {', '.join(sorted(unknown))}: there are {', '.join(TITLES)}")
    if {"hook_tools", "scopes"} & set(names) and arguments.hook_tool is None:
        parser.error(
            "hook_tools and scopes need the compiled hook tool: cargo build --example "
            "simulated-hook-tool, and name it with --hook-tool"
        )
    if "stores" in names and arguments.driver is None:
        parser.error(
            "stores needs its compiled driver: cargo build --release --example bench-driver "
            "--features juju,embedded,zookeeper, and name it with --driver"
        )
    path = os.environ.get("PATH", "/usr/bin:/bin")
    # maturin, which builds the wheel, is installed beside this Python.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    try:
        wheel = build_charm.project_wheel()
        # Otherwise a change to the sources meanwhile would make a bench build another one.
        os.environ["COORDINATOR_WHEEL"] = str(wheel)
        if "hook_tools" in names:
            build_charm.example_charm()
    except build_charm.BuildError as error:
        sys.exit(f"benches: {error}")
    # Hooks find a Python without packages first, as on a machine.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).resolve().parent), path])
    with tempfile.TemporaryDirectory() as directory:
        # What the checkout has may be compiled without optimization; the wheel is not.
        zipfile.ZipFile(wheel).extractall(directory)
        sys.path.insert(0, directory)
        print(f"Measured on {machine()}.", flush=True)
        for name in names:
            began = time.monotonic()
            try:
                tables = run(name, Path(directory), arguments)
            except NotMeasured as error:
                sys.exit(f"benches: {name}: {error}")
            print(f"\n## {TITLES[name]}\n\n{tables}", flush=True)
            took = time.monotonic() - began
            print(f"benches: {name} took {took:.0f} s", file=sys.stderr, flush=True)


def run(name: str, package: Path, arguments: argparse.Namespace) -> str:
    """Run one bench against the package in the directory `package`, and return its tables."""
    # Imported here, so that `coordinator` is the package that is measured.
    if name == "hook_tools":
        import hook_tools

        return hook_tools.report(Path(arguments.hook_tool).resolve(strict=True))
    if name == "roll":
        import roll

        return roll.report()
    if name == "scopes":
        import scopes

        return scopes.report()
    if name == "deciding":
        import deciding

        return deciding.report()
    if name == "stores":
        import stores

        return stores.report(package, Path(arguments.driver).resolve(strict=True))
    if name == "shares":
        import shares

        return shares.report(package)
    if name == "embedded":
        import embedded

        return embedded.report(package)
    import import_time

    return import_time.report(package)


if __name__ == "__main__":
    main()
