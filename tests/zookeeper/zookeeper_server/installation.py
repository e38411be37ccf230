"""Where Java and Debian's ZooKeeper are on this machine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

JARS = Path("/usr/share/java")
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
HOW_TO_INSTALL = (
    "install it with `make zookeeper`, or with "
    "`apt-get install --no-install-recommends default-jre-headless libzookeeper-java`"
)


class NotInstalled(RuntimeError):
    """Java or ZooKeeper is not on this machine; the message says what to install."""


@dataclass(frozen=True)
class Installation:
    """The Java to run, and what to run."""

    java: str
    class_path: str

    @classmethod
    def find(cls) -> Installation:
        """What Debian's packages have put on this machine.

        Raises:
            NotInstalled: A part is missing.
        """
        java = shutil.which("java")
        if java is None:
            raise NotInstalled(f"no java on the PATH: {HOW_TO_INSTALL}")
        # zookeeper.jar names what else it needs in its manifest, but no backend for its logger.
        jars = [JARS / "zookeeper.jar", JARS / "slf4j-simple.jar"]
        missing = [str(jar) for jar in jars if not jar.exists()]
        if missing:
            raise NotInstalled(f"{' and '.join(missing)} missing: {HOW_TO_INSTALL}")
        # Nor does it name all of Netty, without which there is no TLS.
        jars += sorted(JARS.glob("netty-*.jar"))
        return cls(java, ":".join(map(str, jars)))
