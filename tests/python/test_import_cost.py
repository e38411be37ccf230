"""A charm imports this package in every hook, so it brings in little."""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import pytest

HEAVY = ("asyncio", "charmhelpers", "charms", "logging", "yaml")


@functools.cache
def modules_after(statement: str) -> set[str]:
    program = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    return set(json.loads(result.stdout))


@pytest.mark.parametrize("module", ["coordinator", "coordinator.juju"])
@pytest.mark.parametrize("heavy", HEAVY)
def test_importing_the_package_does_not_import(module: str, heavy: str) -> None:
    after = modules_after(f"import {module}")
    assert module in after
    # A .pth file of some other package may have loaded something before.
    ours = after - modules_after("pass")
    assert not {name for name in ours if name.split(".")[0] == heavy}


def test_the_bare_package_leaves_the_juju_face_alone() -> None:
    assert not {name for name in modules_after("import coordinator") if name.endswith(".juju")}


def test_the_heavy_modules_would_be_noticed() -> None:
    assert set(HEAVY) <= modules_after(f"import {', '.join(HEAVY)}")
