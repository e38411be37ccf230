"""The example that shows four minions at once."""

from __future__ import annotations

import subprocess
import sys

from salt_minion import BOUND, PROJECT


def test_never_more_than_two_of_four_minions_restart_at_once(release: str) -> None:
    example = PROJECT / "examples" / "salt_restarts.py"
    done = subprocess.run(
        [sys.executable, example, "--salt", release, "--takes", "0.3"],
        text=True,
        capture_output=True,
        timeout=2 * BOUND,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 minions restarted, at most " in done.stdout
    assert "still held by nobody" in done.stdout
