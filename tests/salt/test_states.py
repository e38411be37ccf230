"""The README's states on real Salt, its configuration too, and the old form."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import coordinator
from recipes import PAIR, PARTY, PATH, RUN, configuration, documented, old_form, wrapped
from salt_minion import PROJECT, Minion
from zookeeper_server.fixtures import Chroot, MakeOurs

FORMS = {"documented": documented, "in one state": wrapped}
PASSWORD = "of-the-minions"


@pytest.fixture
def minion(
    make_minion: Callable[..., Minion], release: str, zookeeper: Chroot, tmp_path: Path
) -> Minion:
    password = tmp_path / "zookeeper.password"
    password.write_text(f"{PASSWORD}\n")
    text = configuration(zookeeper.hosts, password)
    return make_minion(release, service={"lock": PATH}, zookeeper=text)


@pytest.fixture
def member(ours: MakeOurs) -> Callable[[str], coordinator.Client]:
    return lambda identifier: ours(identifier=identifier, auth=f"digest:salt:{PASSWORD}")


@pytest.fixture
def pool(member: Callable[[str], coordinator.Client]) -> coordinator.Semaphore:
    return member("observer").semaphore(PATH, 4)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_lock_is_held_while_the_service_restarts_and_released_after(
    minion: Minion,
    member: Callable[[str], coordinator.Client],
    pool: coordinator.Semaphore,
    form: Callable[..., str],
) -> None:
    parties = [member(f"proxy-{number}").party("/proxies") for number in range(3)]
    for party in parties:
        party.join()
    ran = minion.apply(PARTY + form(minion))
    assert set(ran.results.values()) == {True}, ran
    assert (minion.directory / "etc-records.config").read_text() == "first"
    assert [(line["event"], line["holders"]) for line in minion.journaled()] == [
        ("begin", ["minion"]),
        ("end", ["minion"]),
    ]
    assert pool.lease_holders() == []

    # Nothing to do: nothing is taken, and nothing fails.
    ran = minion.apply(form(minion))
    assert set(ran.results.values()) == {True}, ran
    assert not any(state.changes for state in ran.values())
    assert len(minion.journaled()) == 2

    # S2: a restart that fails does not keep the lock.
    (minion.directory / "broken").touch()
    ran = minion.apply(form(minion, "second"))
    assert False in ran.results.values(), ran
    assert [line["holders"] for line in minion.journaled()[2:]] == [["minion"], ["minion"]]
    assert pool.lease_holders() == []


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_without_the_lock_nothing_changes_and_the_next_run_tries_again(
    minion: Minion,
    member: Callable[[str], coordinator.Client],
    form: Callable[..., str],
) -> None:
    grants = [member(f"other-{n}").semaphore(PATH, 4).acquire() for n in range(4)]
    ran = minion.apply(form(minion, more="- timeout: 1"))
    failed = [state.comment for state in ran.values() if state.result is False]
    assert any("not acquired within 1 s" in comment for comment in failed), ran
    assert minion.journaled() == []
    assert not (minion.directory / "etc-records.config").exists()

    grants[0].release()
    ran = minion.apply(form(minion))
    assert set(ran.results.values()) == {True}, ran
    assert len(minion.journaled()) == 2


def test_s0_prereq_on_a_watching_service_takes_the_lock_or_says_that_it_did_not(
    minion: Minion, pool: coordinator.Semaphore
) -> None:
    foreseen = minion.apply(old_form(minion), test=True)
    ran = minion.apply(old_form(minion))
    held = [line["holders"] for line in minion.journaled()]
    if minion.release == "3006":
        assert held == [["minion"], ["minion"]]
        assert set(ran.results.values()) == {True}, ran
    else:
        assert held == [[], []]
        assert ran["release_lock"].result is foreseen["release_lock"].result is False
        assert "changed WITHOUT lock /trafficserver" in ran["release_lock"].comment
        assert "would change WITHOUT lock /traff" in foreseen["release_lock"].comment
    assert pool.lease_holders() == []

    ran = minion.apply(old_form(minion))
    assert set(ran.results.values()) == {True}, "nothing to do is no failure"


def test_the_states_that_salt_documents_are_those_of_the_readme() -> None:
    source = PROJECT / "python" / "coordinator" / "saltext" / "states" / "zk_concurrency.py"
    shown = re.findall(r"code-block:: yaml\n\n((?:    .*\n|\n)+)", source.read_text())
    assert [_without_hosts(yaml.safe_load(text)) for text in shown] == [
        yaml.safe_load(PAIR),
        yaml.safe_load(RUN),
    ]


def _without_hosts(states: dict[str, Any]) -> dict[str, Any]:
    for body in states.values():
        for arguments in body.values():
            arguments[:] = [argument for argument in arguments if "zk_hosts" not in argument]
    return states
