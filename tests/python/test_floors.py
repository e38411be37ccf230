"""The floors of the house: the core decides and knows nothing of the outside."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = PROJECT / "src"
CORE = sorted(
    path
    for name in (
        "error.rs",
        "model.rs",
        "rules.rs",
        "ledger.rs",
        "ledger",
        "recipe.rs",
        "scope.rs",
        "scope",
        "recipe",
        "tree.rs",
        "tree",
        "sim.rs",
        "sim",
    )
    for path in ([SOURCES / name] if name.endswith(".rs") else (SOURCES / name).rglob("*.rs"))
)
ALLOWED_CRATES = {"core", "std", "serde", "serde_json", "crate", "super", "self"}
FORBIDDEN_IN_CORE = re.compile(
    r"\bstd::(fs|net|env|process|thread|time|io)\b"
    r"|\bcrate::(juju|python|store|session|driver|client)\b|\b(tokio|pyo3)::"
)


def code(path: Path) -> str:
    """The source without its tests and comments."""
    text = path.read_text().partition("#[cfg(test)]")[0]
    return re.sub(r"//.*", "", text)


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_imports_only_std_and_serde(path: Path) -> None:
    crates = re.findall(r"^\s*(?:pub )?use (?:::)?([a-z_]+)::", code(path), flags=re.M)
    modules = re.findall(r"^\s*(?:pub )?mod ([a-z_]+);", code(path), flags=re.M)
    assert set(crates) <= ALLOWED_CRATES | set(modules), path
    assert not FORBIDDEN_IN_CORE.search(code(path)), path


@pytest.mark.parametrize("floor", ["juju", "store", "client", "recipe"])
def test_only_the_face_knows_of_python(floor: str) -> None:
    paths = [SOURCES / f"{floor}.rs", *SOURCES.glob(f"{floor}/**/*.rs")]
    for path in paths:
        assert not re.search(r"\bpyo3\b|crate::python", code(path)), path


def test_stores_know_nothing_of_clients_and_recipes_of_their_own() -> None:
    for path in [SOURCES / "store.rs", *SOURCES.glob("store/**/*.rs")]:
        assert not re.search(
            r"crate::(client|driver|recipe::(lock|semaphore|party|barrier))", code(path)
        )


@pytest.mark.parametrize(
    ("features", "forbidden"),
    [
        ([], {"pyo3", "tokio", "zookeeper-client", "rusqlite"}),
        (["--features", "sim"], {"pyo3", "tokio", "zookeeper-client", "rusqlite"}),
        (["--features", "juju"], {"pyo3", "zookeeper-client", "rusqlite"}),
        (["--features", "embedded"], {"pyo3", "zookeeper-client"}),
        (["--features", "zookeeper"], {"pyo3", "rusqlite"}),
    ],
)
def test_the_dependencies_of_a_floor(features: list[str], forbidden: set[str]) -> None:
    tree = subprocess.run(
        [
            "cargo",
            "tree",
            "--locked",
            "--no-default-features",
            "-e",
            "normal",
            "--prefix",
            "none",
            *features,
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    crates = {line.split()[0] for line in tree.stdout.splitlines() if line}
    assert "serde" in crates
    assert not crates & forbidden


def test_the_faces_decide_nothing() -> None:
    """The rules stand in the core; the package repeats only the policies that charms override."""
    text = "\n".join(path.read_text() for path in (PROJECT / "layer").rglob("*.py"))
    assert "default_grant" not in text
    assert 'unsafe_code = "forbid"' in (PROJECT / "Cargo.toml").read_text()
