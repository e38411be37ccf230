from __future__ import annotations

from zookeeper_server.fixtures import (
    kazoo,
    named,
    ours,
    own_server,
    proxy,
    root_kazoo,
    zookeeper,
    zookeeper_server,
)

__all__ = [
    "kazoo",
    "named",
    "ours",
    "own_server",
    "proxy",
    "root_kazoo",
    "zookeeper",
    "zookeeper_server",
]
