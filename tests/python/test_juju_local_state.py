"""Requests that are made before there is a peer relation."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator import juju
from fresh_juju import Hook, World, swapped_globals

CONFIG = Hook("app/0", "config-changed")


@pytest.fixture(autouse=True)
def _swapped() -> Iterator[None]:
    with swapped_globals():
        yield


def serial() -> juju.Serial:
    return juju.Serial(peer_relation_name="coordinator")


def test_requests_wait_in_a_local_file_until_there_is_a_relation(tmp_path: Path) -> None:
    made = World(["app/0", "app/1"], serial, tmp_path)
    made.related = False
    made.ask("app/1", "restart")
    asked = made.coordinator.request_timestamp("restart")
    assert made.databags["app/1"] == {}
    with made.hook(Hook("app/1", "config-changed")) as coordinator:
        assert coordinator.request_timestamp("restart") == asked
    made.related = True
    made.idle("app/0")
    made.idle("app/1")
    assert "restart" in json.loads(made.databags["app/1"]["coordinator"])
    made.hear("app/1")
    with made.hook(Hook("app/1", "update-status")) as coordinator:
        assert coordinator.granted("restart")
        assert coordinator.request_timestamp("restart") == asked
    # What was kept locally is not asked for again.
    made.idle("app/1")
    assert not made.coordinator.requested("restart")


def test_a_leader_without_relation_acts_at_once(tmp_path: Path) -> None:
    made = World(["app/0"], serial, tmp_path)
    made.related = False
    assert made.ask("app/0", "restart").answers == [True]
    with made.hook(CONFIG) as coordinator:
        assert not coordinator.requested("restart")


@pytest.mark.parametrize("related", [True, False])
def test_a_file_left_by_charmhelpers_is_taken_over(related: bool, tmp_path: Path) -> None:
    made = World(["app/0", "app/1"], serial, tmp_path)
    made.related = related
    time = "2020-05-01 12:30:15.123456Z"
    made.idle("app/0")
    with made.hook(Hook("app/1", "install", fails=True)):
        pass
    file = tmp_path / "app-1" / ".charmhelpers.coordinator.Serial"
    file.write_text(json.dumps({"restart": time}))
    with made.hook(Hook("app/1", "upgrade-charm")) as coordinator:
        assert coordinator.requested("restart")
        assert coordinator.request_timestamp("restart") == dt.datetime(
            2020, 5, 1, 12, 30, 15, 123456
        )
    made.related = True
    made.idle("app/1")
    made.hear("app/1")
    assert set(made.idle("app/1").at_start) == {"restart"}
    # The file is still there, but it has been taken over once.
    assert made.idle("app/1").at_start == {}
    assert not made.coordinator.requested("restart")


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"restart": 1}', '{"restart": "now"}', "\0"])
def test_a_damaged_file_of_charmhelpers_counts_as_empty(damaged: str, tmp_path: Path) -> None:
    made = World(["app/0"], serial, tmp_path)
    with made.hook(Hook("app/0", "install", fails=True)):
        pass
    (tmp_path / "app-0" / ".charmhelpers.coordinator.Serial").write_text(damaged)
    with made.hook(CONFIG) as coordinator:
        assert coordinator.requests == {"app/0": {}}
