"""The hook tools: each reads a command line and answers from the hook's context.

Exit codes are Juju's: 0 done, 1 refused or failed, 2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulated_juju.controller import RefusedError
from simulated_juju.hook_context import HookContext

from . import leadership, relation, secret, unit
from .arguments import Arguments, NeedsStandardInput, ToolFailureError, Usage, UsageError

__all__ = ["Call", "NeedsStandardInput", "ToolResult", "run_tool", "tool_names"]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a hook tool gives back."""

    code: int
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(slots=True)
class Call:
    """One call in the middle of being answered."""

    context: HookContext
    directory: str
    stdin: bytes | None
    epoch: float


Tool = Callable[[Call, Arguments], bytes]

TOOLS: dict[str, tuple[Usage, Tool]] = {
    usage.name: (usage, tool)
    for usage, tool in (
        (relation.IDS, relation.relation_ids),
        (relation.LIST, relation.relation_list),
        (relation.GET, relation.relation_get),
        (relation.SET, relation.relation_set),
        (leadership.IS_LEADER, leadership.is_leader),
        (leadership.GET, leadership.leader_get),
        (leadership.SET, leadership.leader_set),
        (secret.GET, secret.secret_get),
        (unit.CONFIG, unit.config_get),
        (unit.STATUS_GET, unit.status_get),
        (unit.STATUS_SET, unit.status_set),
        (unit.GOAL, unit.goal_state),
        (unit.LOG, unit.juju_log),
        (unit.STATE_GET, unit.state_get),
        (unit.STATE_SET, unit.state_set),
        (unit.STATE_DELETE, unit.state_delete),
        (unit.UNIT_GET, unit.unit_get),
        (unit.NETWORK, unit.network_get),
        (unit.VERSION, unit.application_version_set),
        (unit.ACTION_GET, unit.action_get),
        (unit.ACTION_SET, unit.action_set),
        (unit.ACTION_FAIL, unit.action_fail),
        (unit.ACTION_LOG, unit.action_log),
    )
}
ONLY_BEFORE_JUJU_4 = frozenset({"leader-get", "leader-set"})
ONLY_FROM_JUJU_3 = frozenset({"secret-get"})


def tool_names(major: int) -> list[str]:
    """Return the tools a Juju of this major version has."""
    missing = ONLY_BEFORE_JUJU_4 if major >= 4 else frozenset()
    missing |= ONLY_FROM_JUJU_3 if major < 3 else frozenset()
    return sorted(TOOLS.keys() - missing)


def run_tool(call: Call, argv: list[str]) -> ToolResult:
    """Run one tool; `argv[0]` is its name. May raise NeedsStandardInput."""
    usage, tool = TOOLS[argv[0]]
    try:
        parsed = usage.parse(argv[1:])
        if parsed is None:
            return ToolResult(0, usage.help())
        return ToolResult(0, tool(call, parsed))
    except UsageError as error:
        return ToolResult(2, b"", f"ERROR {error}\n".encode())
    except (ToolFailureError, RefusedError) as error:
        return ToolResult(1, b"", f"ERROR {error}\n".encode())
