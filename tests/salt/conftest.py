from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from salt_minion import RELEASES, Minion
from zookeeper_server.fixtures import (
    Chroot,
    kazoo,
    ours,
    own_server,
    root_kazoo,
    zookeeper,
    zookeeper_server,
)

__all__ = ["kazoo", "ours", "own_server", "root_kazoo", "zookeeper", "zookeeper_server"]

MakeMinion = Callable[..., Minion]


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Each release of Salt in turn."""
    return str(request.param)


@pytest.fixture
def make_minion(tmp_path: Path, zookeeper: Chroot) -> MakeMinion:
    """Makes minions on the test's own part of ZooKeeper."""

    def make(release: str, name: str = "minion", **arguments: Any) -> Minion:
        arguments.setdefault("hosts", zookeeper.hosts)
        return Minion(release, tmp_path / name, name=name, **arguments)

    return make


@pytest.fixture
def minion(make_minion: MakeMinion, release: str) -> Minion:
    """A minion of each release."""
    return make_minion(release)
