"""A certificate authority of our own, with certificates for a server and for clients."""

from __future__ import annotations

import tempfile
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from .ports import LOOPBACK


class Certificates:
    """PEM files: the authority, the server (for loopback), a client, and a stranger.

    The stranger is signed by another authority: a server or client must not trust it.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or Path(tempfile.mkdtemp(prefix="zookeeper-certificates-"))
        authority, other_authority = trustme.CA(), trustme.CA()
        self.authority = self.directory / "authority.pem"
        authority.cert_pem.write_to_path(self.authority)
        self.other_authority = self.directory / "other-authority.pem"
        other_authority.cert_pem.write_to_path(self.other_authority)
        self.server = Identity(authority, self.directory, "server", LOOPBACK, "localhost")
        self.client = Identity(authority, self.directory, "client", "client.test")
        self.stranger = Identity(other_authority, self.directory, "stranger", "stranger.test")


class Identity:
    """A certificate chain and its key: apart, and in one file as ZooKeeper reads them."""

    def __init__(self, authority: trustme.CA, directory: Path, name: str, *hosts: str) -> None:
        leaf = authority.issue_cert(*hosts)
        self.certificate = directory / f"{name}.pem"
        self.key = directory / f"{name}.key"
        self.both = directory / f"{name}-with-key.pem"
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key = _pkcs8(leaf.private_key_pem.bytes())
        self.key.write_bytes(key)
        self.both.write_bytes(key + self.certificate.read_bytes())
        for secret in (self.key, self.both):
            secret.chmod(0o600)


def _pkcs8(key: bytes) -> bytes:
    """The same key in the only form that ZooKeeper reads."""
    return serialization.load_pem_private_key(key, password=None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
