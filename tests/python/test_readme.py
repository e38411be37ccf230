"""The examples of the README and of the crate run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import coordinator
from coordinator import juju
from coordinator.juju import framework

PROJECT = Path(__file__).resolve().parents[2]
README = (PROJECT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.S)


def alone(arguments: list[str], stdin: bytes | None) -> tuple[int, bytes, bytes]:
    """The hook tools of a unit that leads an application of one."""
    answers = {"is-leader": b"true", "relation-ids": b"[]"}
    return 0, answers.get(arguments[0], b"{}"), b""


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUJU_UNIT_NAME", "app/0")
    monkeypatch.setenv("JUJU_CHARM_DIR", str(tmp_path))
    monkeypatch.setattr(framework, "simulation", {"tools": alone})
    monkeypatch.setattr(juju.Singleton, "_instances", {})


def test_the_first_screen_says_what_it_is_and_what_to_run() -> None:
    first = README.splitlines()[:12]
    assert first[0] == "# coordinator"
    assert any(line.startswith("make demo") for line in first)
    assert any(line.startswith("make test") for line in first)


def test_the_five_minutes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS if "client.lock" in block and "embedded:" in block)
    asked: list[str] = []
    names: dict[str, Any] = {"input": asked.append}
    exec(block.replace("/tmp/coordinator", str(tmp_path / "store")), names)
    assert asked
    assert names["client"].lock("/deploy").contenders() == []
    names["client"].close()


@pytest.mark.parametrize("call", ["client.lease(", "client.partitioner("])
def test_the_examples_of_leases_and_partitioners(
    call: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = (block for block in BLOCKS if call in block)
    names: dict[str, Any] = {"coordinator": coordinator, "input": lambda _: ""}
    exec(block.replace("/tmp/coordinator", str(tmp_path / "store")), names)
    said = capsys.readouterr().out
    assert "ours until" in said or said == "mine: ['mail', 'print', 'scan']\n"


def test_the_example_of_a_plain_charm_restarts_once(hook: None) -> None:
    restarts: list[str] = []
    names: dict[str, Any] = {
        "needs_restart": lambda: not restarts,
        "restart_service": lambda: restarts.append("restart"),
    }
    (block,) = (block for block in BLOCKS if "juju.Serial" in block)
    exec(block, names)
    for _ in range(2):
        names["serial"].initialize()
        names["serial"].handle()
        names["maybe_restart"]()
        names["serial"].finish()
    assert restarts == ["restart"]


def test_the_example_of_a_reactive_charm_asks_and_restarts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    layer, reactive = ModuleType("charms.coordinator"), ModuleType("charms.reactive")
    layer.acquire = lambda lock: done.append(f"acquire {lock}")  # type: ignore[attr-defined]
    handlers: dict[str, Any] = {}

    def when(flag: str) -> Any:
        return lambda handler: handlers.setdefault(flag, handler)

    reactive.when = when  # type: ignore[attr-defined]
    charms = ModuleType("charms")
    charms.coordinator, charms.reactive = layer, reactive  # type: ignore[attr-defined]
    modules = {"charms": charms, "charms.coordinator": layer, "charms.reactive": reactive}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    names: dict[str, Any] = {
        "write_configuration": lambda: done.append("write"),
        "restart_service": lambda: done.append("restart"),
    }
    (block,) = (block for block in BLOCKS if "charms.reactive" in block)
    exec(block, names)
    handlers["config.changed"]()
    handlers["coordinator.granted.restart"]()
    assert done == ["write", "acquire restart", "restart"]
