"""A password that is planted: it is found nowhere but in the one file that has it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import coordinator
from agent_process import (
    SCOPE,
    AgentProcess,
    JujuUnit,
    await_present,
    children_of,
    environment_of,
    without_session,
)
from coordinator import juju
from coordinator.juju import agent as layer_agent
from coordinator.juju import settings
from coordinator.kazoo import KazooClient
from rolling import PEERS, Work, our_charm, restarted
from simulated_juju import Hook, Model
from waiting import BOUND, until
from zookeeper_server import Options, SaslUser, ZooKeeperServer

SECRET = "a-planted-secret"
FLEET = SaslUser("fleet", SECRET)


@pytest.fixture(scope="module")
def server() -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer(Options(sasl_users=[FLEET])) as server:
        yield server


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    return path


def connected(server: ZooKeeperServer) -> coordinator.Client:
    return coordinator.connect(server.url, identifier="operator", auth=f"sasl:fleet:{SECRET}")


def status(*words: str, **variables: str) -> str:
    """All that the command says, well or not."""
    command = [sys.executable, "-m", "coordinator", "status", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    return f"{done.returncode} {done.stdout} {done.stderr}"


def all_nodes(server: ZooKeeperServer) -> str:
    """Every path and all data, as the user sees them whose nodes they are."""
    sasl = {"mechanism": "DIGEST-MD5", "username": "fleet", "password": SECRET}
    client = KazooClient(server.hosts, sasl_options=sasl)
    client.start(timeout=BOUND)
    found: list[str] = []

    def walk(path: str) -> None:
        found.append(f"{path} {client.get(path)[0]!r}")
        for child in client.get_children(path):
            walk(f"{path}/{child}")

    walk("/coordinator")
    client.stop()
    return "\n".join(found)


def test_an_agent_and_the_command_show_no_password(
    server: ZooKeeperServer, password: Path, tmp_path: Path
) -> None:
    auth = f"sasl:fleet:file:{password}"
    call = ["/bin/sh", "-c", f"env > {tmp_path}/environment; cat /proc/$PPID/cmdline; exit 3"]
    with (
        connected(server) as client,
        AgentProcess(tmp_path, server.url, auth=auth, command=call) as agent,
    ):
        await_present(client)
        assert agent.process is not None
        held = client.scope(SCOPE).acquire("restart", timeout=BOUND)
        assert held is not None
        shown = [
            *children_of(agent.process.pid),
            environment_of(agent.process.pid),
            status(SCOPE, "--config", str(agent.config)),
            status("--json", "--config", str(agent.config)),
            status("--url", server.url, "--auth", "sasl:fleet:env:PASSWORD", PASSWORD=SECRET),
            agent.config.read_text(),
            repr(client),
            repr(held),
        ]
        assert all(text.startswith("0 ") for text in shown if "members" in text)
        assert sum("operator" in text for text in shown) >= 3, "they have got in"
        # Calls fail, and are told of.
        with JujuUnit(server.url, auth) as unit:
            unit.ask()
            held.release()
            until(lambda: "the call failed: exit status: 3" in agent.log())
            shown.append((tmp_path / "environment").read_text())
            assert unit.works() == 1
        # With another password it is refused, which is told, and tries on.
        password.write_text(f"{SECRET}-but-wrong")
        agent.configure(url=server.url, auth=auth, command=call, secrets="another")
        until(lambda: "refuse who we are" in agent.log())
        shown.append(status("--config", str(agent.config)))
        assert shown[-1].startswith("64 ")
        password.write_text(SECRET)
        await_present(client)
        shown.append(agent.log())
        shown.append(all_nodes(server))
        for text in shown:
            assert SECRET not in text


def test_a_roll_leaves_no_password_in_any_databag_or_log(
    server: ZooKeeperServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    made: list[juju.Backend] = []

    def make(**arguments: Any) -> Any:
        return juju.Serial(backend=made.pop(), **arguments)

    base = our_charm(make, work=Work((1.0, 1.0), long_share=0.0))

    def function(hook: Hook) -> None:
        config = json.loads(hook.tool(["config-get", "--format=json"]).stdout)
        directory = tmp_path / hook.unit.replace("/", "-")
        backend = settings.backend(settings.chosen({}, config), directory, "own")
        assert backend is not None
        made.append(backend)
        seen.append(repr(backend))
        seen.append(layer_agent._settings(backend, SCOPE, hook.unit, hook.unit))
        without_session(base)(hook)
        seen.extend(str(serial.trouble) for serial in hook.local["instances"].values())

    juju_exec = tmp_path / "juju-exec"
    juju_exec.touch(mode=0o755)
    with Model(seed=1) as model, pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_agent, "_juju_exec", lambda: str(juju_exec))
        secret = model.add_secret("app", username="fleet", password=SECRET)
        config = {
            "revision": 0,
            "coordinator-backend": "zookeeper",
            "coordinator-scope": SCOPE,
            "coordinator-hosts": f"{server.hosts}",
            "coordinator-auth": secret.uri,
        }
        app = model.deploy(
            "app", replace(base, function=function), units=2, peers=PEERS, config=config
        )
        model.settle()
        app.configure(revision=1)

        def done() -> bool:
            return all(restarted(unit.agent.charm_dir) == app_revision for unit in app.units)

        app_revision = 1
        assert model.run_until(done, 3600), model.describe()
        assert "elsewhere" in app.databag("coordinator")["coordinator-ledger"]
        # The password is not right any more: that is trouble, which is shown to everybody.
        model.update_secret(secret, username="fleet", password=f"{SECRET}-but-wrong")
        app_revision = 2
        app.configure(revision=app_revision)
        model.run(minutes=5)
        assert not done()
        assert "refuse who we are" in "".join(seen)
        seen += [str(call.argv) for call in model.tool_calls]
        for relation in model.world.controller.relations.values():
            bags = (*relation.units.values(), *relation.applications.values())
            seen += [json.dumps(bag.settings) for bag in bags]
        seen += [hook.output for hook in model.hooks_run]
        seen += [json.dumps(app.leader_settings), model.describe(1000)]
    seen.append(all_nodes(server))
    seen += capfd.readouterr()
    for text in seen:
        assert SECRET not in text
    keeps = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET in path.read_text()]
    assert sorted({path.name for path in keeps}) == ["password"]
    assert {path.stat().st_mode & 0o777 for path in keeps} == {0o600}
