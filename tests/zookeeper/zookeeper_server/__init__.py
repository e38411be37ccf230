"""Real ZooKeeper servers for tests and benches: started, frozen, killed, cut off, and gone after.

    with ZooKeeperServer() as server:            # a single server on loopback
        ...  # server.hosts, server.url
    with Ensemble() as ensemble:                 # three of them
        ...
    with Proxy(server.address) as proxy:         # between a client and a server
        proxy.cut(Point.REPLY, request("create"))

A server ends with the process that started it, also if that process is killed.
"""

from __future__ import annotations

from .certificates import Certificates
from .ensemble import Ensemble
from .fault import Fault, Point
from .installation import Installation, NotInstalled
from .options import Options
from .proxy import Proxy
from .sasl import SaslUser
from .server import NotReady, ZooKeeperServer
from .shared import SharedServer
from .wire import Matcher, Request, request

__all__ = [
    "Certificates",
    "Ensemble",
    "Fault",
    "Installation",
    "Matcher",
    "NotInstalled",
    "NotReady",
    "Options",
    "Point",
    "Proxy",
    "Request",
    "SaslUser",
    "SharedServer",
    "ZooKeeperServer",
    "request",
]
