"""The demo as a process without a terminal, with real hooks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import build_charm

DEMO = build_charm.PROJECT / "examples/demo.py"


def demo(*options: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, str(DEMO), *map(str, options)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def charm() -> Path:
    return build_charm.example_charm()


def test_three_units_restart_once_each_and_one_at_a_time(charm: Path) -> None:
    done = demo("--units", "3", "--charm", charm)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Units of a charm, 3 of them, get a new configuration.")
    assert "\x1b" not in done.stdout
    turns = re.findall(r"(rolling/\d) restarts: turn (\d) of 3", done.stdout)
    assert sorted(unit for unit, _ in turns) == ["rolling/0", "rolling/1", "rolling/2"]
    assert [turn for _, turn in turns] == ["1", "2", "3"]
    events = [line.split("  ")[-1] for line in lines if " restarts: " in line or " back " in line]
    starts = [event for event in events if "restarts" in event]
    assert starts == events[::2], "each is back before the next restarts"
    assert "Units restarted:            3 of 3" in lines
    assert "Most restarting at once:    1" in lines
    assert lines[-1] == "Every unit restarted exactly once, and never two at once."


def test_a_charm_that_does_not_wait_for_its_turn_is_found_out(charm: Path, tmp_path: Path) -> None:
    careless = tmp_path / charm.name
    shutil.copytree(charm, careless)
    handlers = careless / "reactive/rolling_restart.py"
    text = handlers.read_text()
    careful = '    elif not charms.coordinator.acquire("restart"):\n'
    assert careful in text
    # It restarts at once, with the lock or without.
    handlers.write_text(text.replace(careful, "    else:\n        restart()\n    if False:\n"))
    done = demo("--units", "2", "--charm", careless, "--version", "4.0.0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Most restarting at once:    2" in done.stdout
    assert done.stdout.splitlines()[-1] == "BROKEN: 2 units restarted at once"


def test_the_command_line_is_checked() -> None:
    assert demo("--units", "0").returncode == 2
    missing = demo("--charm", "/nowhere")
    assert missing.returncode == 2
    assert "no charm at /nowhere" in missing.stderr
