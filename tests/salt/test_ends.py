"""However a job ends, nothing is left that others wait behind: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import coordinator
from recipes import PATH, single
from salt_minion import BOUND, Minion
from waiting import until
from zookeeper_server.fixtures import MakeOurs

FORK = Path(__file__).with_name("forking_minion.py")


@pytest.fixture
def observer(ours: MakeOurs) -> coordinator.Semaphore:
    return ours(identifier="observer").semaphore(PATH, 1)


def command(minion: Minion) -> str:
    """What runs until the test says otherwise, a killed parent or not."""
    (minion.directory / "slow").touch()
    runs, slow = minion.directory / "runs", minion.directory / "slow"
    return f'"touch {runs}; while [ -e {slow} ]; do sleep 0.05; done"'


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_is_stopped_while_it_holds_leaves_no_lease(
    make_minion: Callable[..., Minion], observer: coordinator.Semaphore, how: signal.Signals
) -> None:
    minion = make_minion("3008", session_timeout=2)
    (minion.states / "it.sls").write_text(single("run", name=PATH, command=command(minion)))
    job = minion.start("state.apply", "it")
    until(lambda: (minion.directory / "runs").exists(), BOUND)
    assert observer.lease_holders() == ["minion"]
    job.send_signal(how)
    if how is signal.SIGKILL:
        job.wait(BOUND)
    # The next has its turn; after a kill once the session's time is over.
    with observer.acquire(timeout=BOUND):
        assert observer.lease_holders() == ["observer"]
    (minion.directory / "slow").unlink()
    job.communicate(timeout=BOUND)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_job_that_is_stopped_while_it_waits_leaves_the_queue(
    make_minion: Callable[..., Minion],
    observer: coordinator.Semaphore,
    ours: MakeOurs,
    how: signal.Signals,
) -> None:
    minion = make_minion("3006", session_timeout=2)
    grant = observer.acquire()
    assert grant is not None
    job = minion.start("zk_concurrency.lock", PATH)
    until(lambda: observer.status()["waiting"] == ["minion"], BOUND)
    job.send_signal(how)
    _, errors = job.communicate(timeout=BOUND)
    assert "Traceback" not in errors
    until(lambda: observer.status()["waiting"] == [], BOUND)
    grant.release()
    with ours(identifier="next").semaphore(PATH, 1).acquire(timeout=BOUND):
        assert observer.lease_holders() == ["next"]


def test_a_killed_job_with_a_lasting_lease_is_bounded_by_max_hold(
    make_minion: Callable[..., Minion], observer: coordinator.Semaphore
) -> None:
    minion = make_minion("3006", session_timeout=2)
    (minion.states / "it.sls").write_text(
        single("lock", name=PATH, max_hold=3) + f"  cmd.run:\n    - name: {command(minion)}\n"
    )
    job = minion.start("state.apply", "it")
    until(lambda: (minion.directory / "runs").exists(), BOUND)
    assert observer.status()["holders"][0]["max_hold"] == 3
    job.kill()
    with observer.acquire(timeout=BOUND):
        assert observer.lease_holders() == ["observer"]
    (minion.directory / "slow").unlink()
    job.communicate(timeout=BOUND)
    assert "max_hold of 3 s" in observer.status()["forced"][0]["reason"]


def test_the_jobs_of_a_forking_minion_take_turns_and_a_killed_one_lets_the_others_on(
    make_minion: Callable[..., Minion], observer: coordinator.Semaphore, release: str
) -> None:
    minion = make_minion(release, session_timeout=2)
    # Each job is a member of its own: they have one minion, but not one identifier.
    text = single("run", name=PATH, identifier="job-{{ pillar.job }}", command="sleep 0.1")
    (minion.states / "it.sls").write_text(text)
    grant = observer.acquire()
    assert grant is not None
    with subprocess.Popen(
        [minion.python, FORK, minion.directory / "minion", "3", "it"],
        env=minion.environment,
        text=True,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        pids = json.loads(parent.stdout.readline())["pids"]
        until(lambda: len(observer.status()["waiting"]) == 3, BOUND)
        os.kill(pids[0], signal.SIGKILL)
        grant.release()
        lines = [json.loads(parent.stdout.readline()) for _ in range(2)]
    assert [line["results"] for line in lines] == [[True], [True]], lines
    until(lambda: observer.lease_holders() == [], BOUND)
    with observer.acquire(timeout=BOUND):
        assert observer.status()["waiting"] == []
