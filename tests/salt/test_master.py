"""A real master with two minions, which fork for each job."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from kazoo.client import KazooClient

import coordinator
from recipes import PATH, single
from salt_master import Master
from salt_minion import BOUND, RELEASES, states
from waiting import until
from zookeeper_server.shared import SharedServer

SERVICE = """
in_turn:
  zk_concurrency.run:
    - name: /trafficserver
    - timeout: 60
    - states:
        trafficserver:
          service.running:
            - watch:
              - test: changed
        changed: test.succeed_with_changes
"""


@pytest.fixture(scope="module", params=RELEASES)
def hosts(
    request: pytest.FixtureRequest,
    zookeeper_server: SharedServer,
    root_kazoo: KazooClient,
) -> tuple[str, str]:
    path = f"/master-{uuid4()}"
    root_kazoo.create(path)
    return request.param, f"{zookeeper_server.hosts}{path}"


@pytest.fixture(scope="module")
def master(hosts: tuple[str, str]) -> Iterator[Master]:
    with (
        tempfile.TemporaryDirectory(prefix="salt-") as directory,
        Master(
            hosts[0],
            Path(directory),
            hosts[1],
            ["web1", "web2"],
            session_timeout=2,
            service={"takes": 0.2},
        ) as master,
    ):
        yield master


@pytest.fixture
def observer(hosts: tuple[str, str]) -> Iterator[coordinator.Semaphore]:
    with coordinator.connect(f"zookeeper://{hosts[1]}", identifier="observer") as client:
        yield client.semaphore(PATH, 1)


def waiting(observer: coordinator.Semaphore) -> list[str]:
    return sorted(observer.status()["waiting"])


def test_never_more_minions_restart_at_once_than_may(
    master: Master, observer: coordinator.Semaphore
) -> None:
    (master.states / "it.sls").write_text(SERVICE)
    with observer.acquire():
        job = master.begin("state.apply", "it")
        until(lambda: waiting(observer) == ["web1", "web2"], BOUND)
    until(lambda: all(len(list(minion.journaled())) == 2 for minion in master.minions), BOUND)
    lines = [line for minion in master.minions for line in minion.journaled()]
    events = [line["event"] for line in sorted(lines, key=lambda line: line["at"])]
    assert events == ["begin", "end", "begin", "end"]
    until(lambda: observer.lease_holders() == [])
    done = master.run("salt-run", "--out=json", "jobs.lookup_jid", job)
    assert done.stdout.count("under lock /trafficserver") == 2, done.stdout


@pytest.mark.parametrize("function", ["kill_job", "term_job"])
def test_a_job_that_is_killed_leaves_neither_a_lease_nor_a_place_in_the_queue(
    master: Master, observer: coordinator.Semaphore, function: str
) -> None:
    slow = master.directory / "slow"
    slow.touch()
    command = f'"while [ -e {slow} ]; do sleep 0.05; done"'
    (master.states / "slow.sls").write_text(single("run", name=PATH, command=command))
    job = master.begin("state.apply", "slow")
    until(lambda: len(observer.lease_holders() + waiting(observer)) == 2, BOUND)
    master.salt("*", f"saltutil.{function}", job)
    with observer.acquire(timeout=BOUND):
        assert waiting(observer) == []
    slow.unlink()
    # The minions themselves have not ended, and their next jobs connect.
    (master.states / "next.sls").write_text(single("run", name=PATH, command="'true'"))
    answers = master.salt("*", "state.apply", "next")
    assert {name: states(one)["it"].result for name, one in answers.items()} == {
        "web1": True,
        "web2": True,
    }


def test_an_operator_sees_and_steers_from_the_master(
    master: Master, observer: coordinator.Semaphore
) -> None:
    grant = observer.acquire()
    assert grant is not None
    status = master.run("salt-run", "--out=json", "zk_concurrency.status", PATH)
    assert '"identifier": "observer"' in status.stdout
    refused = master.run("salt-run", "zk_concurrency.force_release", PATH, "nobody", "gone")
    assert (refused.returncode, "Traceback" in refused.stdout) == (1, False)
    assert 'no lease of "nobody" is held' in refused.stdout
    taken = master.run("salt-run", "zk_concurrency.force_release", PATH, "observer", "gone")
    assert taken.returncode == 0
    with pytest.raises(coordinator.LockLost):
        grant.release()
    record = observer.status()["forced"][-1]
    assert (record["by"], record["reason"]) == ("the-master", "gone")
