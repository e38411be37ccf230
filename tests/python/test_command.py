"""The command `coordinator`, as operators and scripts meet it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import coordinator
from coordinator import _core
from waiting import until

PLANTED = "planted-password"
DONE, FAILED, USAGE, UNAVAILABLE, SETTINGS = 0, 1, 64, 69, 78
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command and return what it says and how it ends."""
    environment = {name: value for name, value in os.environ.items() if "COORDINATOR" not in name}
    return subprocess.run(
        [sys.executable, "-m", "coordinator", *words],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def ended(status: int, *words: str, **variables: str) -> str:
    """Run the command, which ends with this status; return what it says, which is no secret."""
    done = run(*words, **variables)
    assert done.returncode == status, done
    said = done.stdout + done.stderr
    assert PLANTED not in said
    assert "\x1b" not in said, "no colours where nobody looks"
    if status != DONE:
        assert done.stdout == "", "standard output is for what was asked for"
    return said


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"embedded:{tmp_path}/store"


@pytest.fixture
def fleet(store: str) -> Iterator[coordinator.Client]:
    """A scope `racks` in which web1 holds, web2 waits, app/0 has an agent and app/1 is away."""
    clients = [coordinator.connect(store, identifier=f"web{number}") for number in (1, 2)]
    first, second = (client.scope("racks", rules="simple") for client in clients)
    held = first.acquire("restart")
    assert held is not None
    withdrawn: list[object] = []
    waiting = threading.Thread(target=lambda: withdrawn.append(second.acquire("reload")))
    waiting.start()
    until(lambda: first.status()["queue"])
    for member in ("prod%3Aapp%2F0", "prod%3Aapp%2F1"):
        path = f"/coordinator/scopes/racks/members/{member}"
        _core.nodes(clients[0]).call(("create", path, b"", False, False, True))
    agent = _core.Agent(clients[1], "racks", "prod:app/0")
    agent.turn(0.0)
    yield clients[0]
    held.release()
    waiting.join()
    assert withdrawn
    for client in clients:
        client.close()


def test_help_tells_what_there_is() -> None:
    said = ended(DONE, "--help")
    for word in ("agent", "status", "--version", "--help"):
        assert re.search(rf"^ +(-\w, )?{word}\b", said, re.MULTILINE), said
    assert ended(DONE, "--version").strip() == f"coordinator {coordinator.__version__}"
    assert ended(DONE, "status", "--version").split()[-1] == coordinator.__version__
    said = ended(DONE, "agent", "--help")
    for word in ("--config", "--scope", "--member", "--supervise", "--url", "COORDINATOR_LOCKS"):
        assert word in said
    assert "--supervised" not in said, "that is between the supervisor and its agent"
    assert "status" in run().stderr
    assert run().returncode == USAGE


def test_help_shows_no_secret_of_the_environment() -> None:
    variables = {
        "COORDINATOR_AUTH": f"sasl:deployer:{PLANTED}",
        "COORDINATOR_URL": f"zookeeper://deployer:{PLANTED}@zk1:2181",
    }
    for words in (["--help"], ["agent", "--help"], ["status", "--help"], ["status", "--what"]):
        ended(USAGE if words[-1] == "--what" else DONE, *words, **variables)


def test_the_table_says_who_holds_who_waits_and_whose_agent_lives(
    store: str, fleet: coordinator.Client
) -> None:
    for words in (["racks", "--url", store], ["--url", store]):
        lines = [line.rstrip() for line in ended(DONE, "status", *words).splitlines()]
        assert lines[0] == f'scope "racks" on {fleet.address}, simple'
        (holds,) = [line for line in lines if re.match(r" ?web1 ", line)]
        assert re.search(rf"web1 +restart +{TIME} +{TIME} +\d+$", holds), holds
        (waits,) = [line for line in lines if re.match(r" ?web2 ", line)]
        assert re.search(rf"web2 +reload +{TIME}$", waits), waits
        assert "4 members, 3 present" in lines
        assert "away, without an agent: prod:app/1" in lines
    assert ended(DONE, "status", COORDINATOR_URL=store).startswith('scope "racks"')


def test_json_says_the_same_to_programs(store: str, fleet: coordinator.Client) -> None:
    done = run("status", "--json", "--url", store)
    shown: dict[str, Any] = json.loads(done.stdout)
    assert (shown["version"], shown["store"]) == (1, fleet.address)
    (scope,) = shown["scopes"]
    assert scope == fleet.scope("racks", rules="simple").status()
    assert set(scope) == {"scope", "rules", "holders", "queue", "members"}
    (holder,) = scope["holders"]
    assert (holder["member"], holder["lock"]) == ("web1", "restart")
    assert holder["token"] > 0
    for time in (holder["asked"], holder["since"], scope["queue"][0]["asked"]):
        assert re.fullmatch(rf"{TIME}\.\d{{6}}Z", time)
    assert [waiting["member"] for waiting in scope["queue"]] == ["web2"]
    members = {member["member"]: member for member in scope["members"]}
    states = {name: (it["present"], it["lasting"], it["agent"]) for name, it in members.items()}
    assert states == {
        "web1": (True, False, False),
        "web2": (True, False, False),
        "prod:app/0": (True, True, True),
        "prod:app/1": (False, True, False),
    }


def test_an_empty_scope_and_an_empty_store(store: str) -> None:
    assert "has no scope yet" in ended(DONE, "status", "--url", store)
    shown = json.loads(ended(DONE, "status", "--json", "--url", store))
    assert shown["scopes"] == []
    with coordinator.connect(store, identifier="web1") as client:
        with client.scope("racks").acquire("restart"):
            pass
        said = ended(DONE, "status", "racks", "--url", store)
        assert "nobody holds" in said
        assert "nobody waits" in said
        assert "1 member, 1 present" in said
        said = ended(USAGE, "status", "rack", "--url", store)
        assert 'there is no scope "rack"' in said
        assert "racks" in said
        # Looking at it has not made it.
        assert [
            scope["scope"]
            for scope in json.loads(ended(DONE, "status", "--json", "--url", store))["scopes"]
        ] == ["racks"]


@pytest.mark.parametrize(
    ("status", "words", "complaint"),
    [
        (USAGE, ["status"], "--url"),
        (USAGE, ["status", "--url", "postgres://db"], "zookeeper://host:port"),
        (USAGE, ["status", "--url", "zookeeper://zk1:port"], "host:port"),
        (USAGE, ["status", "--url", f"zookeeper://u:{PLANTED}@zk1:2181"], "give them as auth"),
        (
            USAGE,
            ["status", "--url", "memory:", "--auth", f"sasl:u:{PLANTED}"],
            "sasl:deployer:file",
        ),
        (USAGE, ["status", "--url", "memory:", "--connect-timeout", "0"], "seconds above 0"),
        (USAGE, ["status", "--url", "zookeeper://zk1", "--tls-ca", "/no/ca.pem"], "/no/ca.pem"),
        (
            UNAVAILABLE,
            ["status", "--url", "zookeeper://127.0.0.1:9", "--connect-timeout", "0.1"],
            "127.0.0.1:9",
        ),
        (SETTINGS, ["status", "--config", "/no/agent.json"], "/no/agent.json"),
        (SETTINGS, ["agent", "--config", "/no/agent.json"], "/no/agent.json"),
        (USAGE, ["agent"], "--config"),
        (USAGE, ["agent", "--url", "memory:", "--scope", "s", "--", "true"], "--member"),
        (USAGE, ["agent", "--url", "memory:", "--scope", "s", "--member", "m"], "COMMAND"),
        (USAGE, ["agent", "--config", "a", "--scope", "s"], "cannot be used with"),
        (
            USAGE,
            ["agent", "--url", "u", "--scope", "s", "--member", "m", "--supervise", "--", "true"],
            "cannot be used with",
        ),
        (USAGE, ["state"], "status"),
    ],
)
def test_what_makes_no_sense_is_told_and_has_a_status(
    status: int, words: list[str], complaint: str
) -> None:
    assert complaint in ended(status, *words)


def test_settings_of_an_agent_name_the_store_and_its_scope(tmp_path: Path, store: str) -> None:
    config = tmp_path / "agent.json"
    settings = {"version": 1, "url": store, "scope": "racks", "member": "m", "command": ["true"]}
    config.write_text(json.dumps(settings))
    with coordinator.connect(store, identifier="web1") as client:
        for name in ("racks", "rows"):
            with client.scope(name).acquire("restart"):
                pass
    assert ended(DONE, "status", "--config", str(config)).startswith('scope "racks"')
    assert ended(DONE, "status", "rows", "--config", str(config)).startswith('scope "rows"')
    for broken, complaint in (
        ("{", "EOF"),
        (json.dumps({**settings, "version": 2}), "upgrade"),
        (json.dumps({**settings, "command": []}), "command"),
    ):
        config.write_text(broken)
        said = ended(SETTINGS, "status", "--config", str(config))
        assert str(config) in said
        assert complaint in said
    config.write_text(json.dumps({**settings, "url": "zookeeper://zk1", "auth": PLANTED}))
    ended(USAGE, "status", "--config", str(config))


def test_a_reader_that_has_seen_enough_is_no_failure(store: str) -> None:
    command = [sys.executable, "-m", "coordinator", "status", "--url", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as looking:
        assert looking.stdout is not None
        looking.stdout.close()
        assert looking.stderr is not None
        assert looking.stderr.read() == b""
        assert looking.wait(60) == DONE


def test_a_terminal_shows_the_same_table(store: str, fleet: coordinator.Client) -> None:
    expected = ended(DONE, "status", "--url", store)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "coordinator", "status", "--url", store]
    done = subprocess.run(command, stdout=theirs, check=True, timeout=60)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:
        pass  # that is how the end of a terminal is told
    os.close(ours)
    assert done.returncode == DONE
    assert shown.decode().replace("\r\n", "\n") == expected
