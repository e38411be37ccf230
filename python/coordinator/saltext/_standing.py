"""What the status of a semaphore says of one member: what it holds, and whom it waits behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# What `Semaphore.status` returns.
Status = dict[str, Any]


def lasting(status: Status, identifier: str) -> int | None:
    """The token of the lease that an earlier process of this member took and kept."""
    for holder in status["holders"]:
        if holder["identifier"] == identifier and not holder["ephemeral"]:
            return int(holder["token"])
    return None


def is_free(status: Status, number: int) -> bool:
    """Whether one of so many leases can be had at once."""
    return len(status["holders"]) < number and not status["waiting"]


def behind(status: Status, identifier: str) -> str:
    """Whom it would wait behind, for messages."""
    held_by = [holder["identifier"] for holder in status["holders"]]
    told = names([*held_by, *status["waiting"]])
    if lasting(status, identifier) is None:
        return told
    # Only who asks for an ephemeral lease comes to wait behind its own.
    return (
        f"{told}, where {identifier} itself has a lease that an earlier run left: "
        "zk_concurrency.unlock gives it back"
    )


def names(several: Iterable[str]) -> str:
    """Names of members, for messages."""
    return ", ".join(sorted(several)) or "nobody"
