"""What a server is started with, and the files that say so to ZooKeeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .certificates import Certificates
from .ports import LOOPBACK
from .sasl import SaslUser, login_configuration


@dataclass(frozen=True)
class Options:
    """How a server is to be.

    Attributes:
        tick: ZooKeeper's tick in seconds: sessions expire at whole ticks, so tests want it short.
        heap: The largest Java heap. A server needs about 45 MB beside it.
        java_options: More for the command line of Java. By default only its quick compiler runs,
            which starts sooner; benches may want `()`.
        certificates: Adds a TLS port with these.
        client_certificate: `none`, `want` or `need`: whether TLS clients must show one.
        sasl_users: Adds SASL DIGEST-MD5 with these.
        settings: More for zoo.cfg, or others instead.
    """

    tick: float = 0.1
    heap: str = "64m"
    java_options: Sequence[str] = ("-XX:TieredStopAtLevel=1",)
    certificates: Certificates | None = None
    client_certificate: str = "none"
    sasl_users: Sequence[SaslUser] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


def zoo_cfg(
    options: Options, directory: Path, port: int, secure_port: int | None, peers: Mapping[int, str]
) -> str:
    """The text of zoo.cfg for a server in `directory`."""
    settings = {
        "tickTime": str(round(options.tick * 1000)),
        "dataDir": str(directory / "data"),
        "clientPort": str(port),
        "clientPortAddress": LOOPBACK,
        "minSessionTimeout": "200",
        "maxSessionTimeout": "120000",
        "maxClientCnxns": "0",
        "4lw.commands.whitelist": "*",
        # An HTTP server that nobody asks.
        "admin.enableServer": "false",
        # Log files grow by this many KiB: the default of 64 MB is much for memory.
        "preAllocSize": "1024",
        "extendedTypesEnabled": "true",
        # A quorum waits this many ticks for a member, whatever the tick is.
        "initLimit": str(max(5, round(10 / options.tick))),
        "syncLimit": str(max(2, round(5 / options.tick))),
    }
    settings |= {f"server.{member}": address for member, address in peers.items()}
    if options.certificates is not None:
        server, authority = options.certificates.server, options.certificates.authority
        settings |= {
            "secureClientPort": str(secure_port),
            "secureClientPortAddress": LOOPBACK,
            "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
            "ssl.keyStore.location": str(server.both),
            "ssl.trustStore.location": str(authority),
            "ssl.clientAuth": options.client_certificate,
        }
    if options.sasl_users:
        provider = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
        settings["authProvider.sasl"] = provider
    settings |= options.settings
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def java_arguments(options: Options, directory: Path) -> list[str]:
    """Arguments of Java before the class path; writes the files that they name."""
    arguments = [
        f"-Xmx{options.heap}",
        "-Xss512k",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        *options.java_options,
    ]
    if options.sasl_users:
        file = directory / "login.conf"
        file.write_text(login_configuration(options.sasl_users))
        arguments.append(f"-Djava.security.auth.login.config={file}")
    return arguments
