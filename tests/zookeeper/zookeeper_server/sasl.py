"""Users that a server knows by SASL DIGEST-MD5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SaslUser:
    """A name and its password."""

    name: str
    password: str = field(repr=False)


def login_configuration(users: Sequence[SaslUser]) -> str:
    """The JAAS section by which a server knows these users."""
    lines = "\n".join(f'    user_{user.name}="{user.password}"' for user in users)
    return (
        "Server {\n"
        "    org.apache.zookeeper.server.auth.DigestLoginModule required\n"
        f"{lines};\n"
        "};\n"
    )
