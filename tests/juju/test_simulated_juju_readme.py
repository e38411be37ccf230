"""Every example of the README runs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import simulated_juju

README = Path(simulated_juju.__file__).with_name("README.md")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "DirectoryCharm" in example and not os.environ.get("SIMULATED_HOOK_TOOL"):
        tool = tmp_path / "simulated-hook-tool"
        source = Path(__file__).with_name("hook_tool.rs")
        subprocess.run(["rustc", "--edition=2024", "-O", "-o", tool, source], check=True)
        monkeypatch.setenv("SIMULATED_HOOK_TOOL", str(tool))
    exec(compile(example, str(README), "exec"), {})
