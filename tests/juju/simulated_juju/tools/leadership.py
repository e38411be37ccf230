"""is-leader, leader-get, leader-set. Juju 4 has only the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import Arguments, Usage, key_values
from .formats import formatted

if TYPE_CHECKING:
    from . import Call

IS_LEADER = Usage("is-leader", "", "Print application leadership status.", formatted=True)
GET = Usage("leader-get", "[<key>]", "Print application leadership settings.", formatted=True)
SET = Usage("leader-set", "<key>=<value> [...]", "Write application leadership settings.")


def is_leader(call: Call, parsed: Arguments) -> bytes:
    """Whether this unit leads for the next 30 s at least."""
    IS_LEADER.at_most(parsed, 0)
    return formatted(call.context.is_leader(), parsed.output)


def leader_get(call: Call, parsed: Arguments) -> bytes:
    """One leader setting or all of them."""
    GET.at_most(parsed, 1)
    settings = call.context.leader_settings()
    key = parsed.words[0] if parsed.words else "-"
    return formatted(dict(settings) if key == "-" else settings.get(key), parsed.output)


def leader_set(call: Call, parsed: Arguments) -> bytes:
    """Write leader settings at once."""
    call.context.write_leader_settings(key_values(parsed.words))
    return b""
