"""Agents of units on a real ZooKeeper, which goes away and comes back, and so do they."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from agent_process import MEMBER, SCOPE, AgentProcess, JujuUnit, await_present, is_present
from waiting import BOUND, until
from zookeeper_server import Proxy, ZooKeeperServer
from zookeeper_server.fixtures import Chroot, MakeOurs


def test_an_agent_waits_for_a_store_that_is_not_there_yet(
    own_server: ZooKeeperServer, ours: MakeOurs, tmp_path: Path
) -> None:
    own_server.kill()
    with AgentProcess(tmp_path, own_server.url, connect_timeout=0.2) as agent:
        until(lambda: "within 200ms" in agent.log())
        # For a few more tries.
        time.sleep(2)
        assert agent.is_alive()
        assert "the member is present" not in agent.log()
        own_server.start()
        own_server.wait_until_serving()
        await_present(ours(own_server.hosts))
        # Once, however often it has tried.
        assert agent.log().count("within 200ms") == 1


def test_an_agent_outlives_the_servers_and_what_came_meanwhile_is_not_lost(
    own_server: ZooKeeperServer, ours: MakeOurs, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path, own_server.url) as agent:
        client = ours(own_server.hosts, identifier="web1", session_timeout=2.0)
        await_present(client)
        for _ in range(2):
            own_server.kill()
            said = len(agent.log())
            until(lambda said=said: "WARN" in agent.log()[said:])  # type: ignore[misc]
            own_server.start()
            own_server.wait_until_serving()
            until(lambda said=said: "the store answers again" in agent.log()[said:])  # type: ignore[misc]
            await_present(client)
        assert agent.is_alive()
        # Its member is called as before, and nothing is lost until it makes use of that.
        held = client.scope(SCOPE).acquire("restart", timeout=BOUND)
        assert held is not None
        with JujuUnit(own_server.url) as unit:
            unit.ask()
            assert agent.calls() == []
            held.release()
            until(agent.calls)
            assert agent.calls() == ["restart"]
            until(lambda: "the lock was not taken up; it stays granted" in agent.log())
            (holder,) = client.scope(SCOPE).status()["holders"]
            assert (holder["member"], holder["used"]) == (MEMBER, None)
            assert client.scope(SCOPE).acquire("restart", blocking=False) is None
            assert unit.works() == 1
            assert client.scope(SCOPE).status()["holders"] == []


def test_the_member_of_an_agent_that_is_killed_is_away_when_its_session_ends(
    zookeeper: Chroot, ours: MakeOurs, tmp_path: Path
) -> None:
    client = ours()
    with AgentProcess(tmp_path, zookeeper.url) as agent:
        await_present(client)
        agent.end()
        assert is_present(client), "nobody has told the servers"
        await_present(client, present=False)
        # One that is told to end says so at once, long before a session of two minutes ends.
        agent.configure(url=zookeeper.url, session_timeout=120.0)
        agent.start()
        await_present(client)
        agent.signal(signal.SIGTERM)
        assert agent.process is not None
        assert agent.process.wait(BOUND) == 0
        assert not is_present(client)


@pytest.mark.parametrize("how", ["stopped", "cut off"])
def test_an_agent_that_was_gone_for_longer_than_its_session_is_back(
    zookeeper: Chroot, proxy: Proxy, ours: MakeOurs, tmp_path: Path, how: str
) -> None:
    client = ours()
    url = zookeeper.through(proxy).url if how == "cut off" else zookeeper.url
    with AgentProcess(tmp_path, url) as agent:
        await_present(client)
        if how == "cut off":
            proxy.freeze()
        else:
            agent.signal(signal.SIGSTOP)
        await_present(client, present=False)
        if how == "cut off":
            proxy.thaw()
        else:
            agent.signal(signal.SIGCONT)
        await_present(client)
        assert agent.is_alive()
