"""The tools about the unit itself: config, status, stored state, network, goal state, actions."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from .arguments import Arguments, ToolFailureError, Usage, UsageError, key_values
from .formats import formatted

if TYPE_CHECKING:
    from . import Call

MAXIMUM_STATE_KEY_BYTES = 256
MAXIMUM_STATE_VALUE_BYTES = 64 * 1024
STATUSES = ("maintenance", "blocked", "waiting", "active")

CONFIG = Usage(
    "config-get",
    "[<key>]",
    "Print application configuration.",
    switches=("all",),
    aliases={"a": "all"},
    formatted=True,
)
STATUS_GET = Usage(
    "status-get",
    "",
    "Print status information.",
    switches=("application", "include-data"),
    formatted=True,
)
STATUS_SET = Usage(
    "status-set",
    "<maintenance | blocked | waiting | active> [message]",
    "Set status information.",
    switches=("application",),
)
GOAL = Usage(
    "goal-state", "", "Print the status of the charm's peers and related units.", formatted=True
)
LOG = Usage(
    "juju-log",
    "<message>",
    "Write a message to the juju log.",
    switches=("debug",),
    options=("log-level", "format"),
    aliases={"l": "log-level"},
)
STATE_GET = Usage(
    "state-get", "[<key>]", "Print server-side-state value.", switches=("strict",), formatted=True
)
STATE_SET = Usage(
    "state-set", "key=value [key=value ...]", "Set server-side-state values.", options=("file",)
)
STATE_DELETE = Usage(
    "state-delete", "<key>", "Delete server-side-state key value pair.", switches=("strict",)
)
UNIT_GET = Usage(
    "unit-get", "<setting>", "Print public-address or private-address.", formatted=True
)
NETWORK = Usage(
    "network-get",
    "<binding-name>",
    "Get network config.",
    switches=("bind-address", "egress-subnets", "ingress-address", "primary-address"),
    options=("relation",),
    aliases={"r": "relation"},
    formatted=True,
)
VERSION = Usage("application-version-set", "<new-version>", "Specify the application's version.")
ACTION_GET = Usage(
    "action-get", "[<key>[.<key>.<key>...]]", "Get action parameters.", formatted=True
)
ACTION_SET = Usage("action-set", "<key>=<value> [<key>=<value> ...]", "Set action results.")
ACTION_FAIL = Usage("action-fail", '["<failure message>"]', "Set action fail status.")
ACTION_LOG = Usage("action-log", "<message>", "Record a progress message for the action.")


def config_get(call: Call, parsed: Arguments) -> bytes:
    """One option, or all; options without a value only with --all."""
    CONFIG.at_most(parsed, 1)
    if parsed.words and parsed.has("all"):
        raise UsageError("cannot use argument --all together with argument <key>")
    config = call.context.config()
    if parsed.words:
        return formatted(config.get(parsed.words[0]), parsed.output)
    shown = {key: value for key, value in config.items() if parsed.has("all") or value is not None}
    return formatted(shown, parsed.output)


def status_get(call: Call, parsed: Arguments) -> bytes:
    """Return the status this unit has set."""
    STATUS_GET.at_most(parsed, 0)
    record = call.context.controller.units[call.context.unit]
    if parsed.has("include-data"):
        shown = {"status": record.status, "message": record.message, "status-data": {}}
        return formatted(shown, parsed.output)
    return formatted(record.status, parsed.output)


def status_set(call: Call, parsed: Arguments) -> bytes:
    """Set the status at once."""
    STATUS_SET.at_most(parsed, 2)
    if not parsed.words:
        raise UsageError("invalid args, require <status> [message]")
    if parsed.words[0] not in STATUSES:
        raise UsageError(
            f'invalid status "{parsed.words[0]}", expected one of [{" ".join(STATUSES)}]'
        )
    message = parsed.words[1] if len(parsed.words) > 1 else ""
    context = call.context
    if parsed.has("application"):
        if not context.is_leader():
            raise ToolFailureError("this unit is not the leader")
        context.controller.applications[context.application].status = parsed.words[0]
        context.controller.writes += 1
        return b""
    context.controller.set_status(context.unit, parsed.words[0], message)
    return b""


def goal_state(call: Call, parsed: Arguments) -> bytes:
    """Return the units that are or will be there, read from the controller each time.

    A peer relation is not listed; a relation to another application lists that and its units.
    """
    GOAL.at_most(parsed, 0)
    context = call.context
    controller = context.controller
    context.controller_reads += 1

    def stamp(seconds: float) -> str:
        moment = dt.datetime.fromtimestamp(call.epoch + seconds, dt.timezone.utc)
        return moment.strftime("%Y-%m-%d %H:%M:%SZ")

    def units(application: str) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for unit in controller.units_of(application):
            if unit.life == "dead":
                continue
            status = "error" if unit.in_error else unit.status
            status = "dying" if unit.life == "dying" else status
            shown[unit.name] = {"since": stamp(unit.since), "status": status}
        return shown

    relations: dict[str, Any] = {}
    for relation in controller.relations_of(context.application):
        if relation.is_peer:
            continue
        other = relation.remote_application(context.application)
        entry = relations.setdefault(relation.endpoints[context.application], {})
        entry[other] = {"since": stamp(0), "status": "joined"}
        entry.update(units(other))
    return formatted({"relations": relations, "units": units(context.application)}, parsed.output)


def juju_log(call: Call, parsed: Arguments) -> bytes:
    """Write to the log, which is the history."""
    if not parsed.words:
        raise UsageError("no message specified")
    return b""


def state_get(call: Call, parsed: Arguments) -> bytes:
    """One stored value, or all."""
    STATE_GET.at_most(parsed, 1)
    state = call.context.state()
    if not parsed.words:
        return formatted(dict(state), parsed.output)
    key = parsed.words[0]
    if key not in state and parsed.has("strict"):
        raise ToolFailureError(f'"{key}" not found')
    return formatted(state.get(key), parsed.output)


def state_set(call: Call, parsed: Arguments) -> bytes:
    """Buffer stored values; they are committed together with the databags."""
    from .relation import file_settings

    changes: dict[str, str] = {}
    if "file" in parsed.flags:
        changes.update(file_settings(call, parsed.flags["file"]))
    changes.update(key_values(parsed.words))
    for key, value in changes.items():
        if len(key.encode()) > MAXIMUM_STATE_KEY_BYTES:
            raise ToolFailureError(f"max allowed key length ({MAXIMUM_STATE_KEY_BYTES}) exceeded")
        if len(value.encode()) > MAXIMUM_STATE_VALUE_BYTES:
            raise ToolFailureError(
                f"max allowed value length ({MAXIMUM_STATE_VALUE_BYTES}) exceeded"
            )
    call.context.state().update(changes)
    return b""


def state_delete(call: Call, parsed: Arguments) -> bytes:
    """Buffer the deletion of a stored value."""
    STATE_DELETE.at_most(parsed, 1)
    if not parsed.words:
        raise UsageError("missing required key argument")
    key = parsed.words[0]
    if key not in call.context.state() and parsed.has("strict"):
        raise ToolFailureError(f'"{key}" not found')
    call.context.state().pop(key, None)
    return b""


def unit_get(call: Call, parsed: Arguments) -> bytes:
    """Return the unit's address."""
    UNIT_GET.at_most(parsed, 1)
    if not parsed.words:
        raise UsageError("no setting specified")
    if parsed.words[0] not in ("private-address", "public-address"):
        raise UsageError(f'unknown setting "{parsed.words[0]}"')
    context = call.context
    return formatted(context.controller.units[context.unit].address, parsed.output)


def network_get(call: Call, parsed: Arguments) -> bytes:
    """Return the addresses of a binding: every binding has the unit's one address."""
    NETWORK.at_most(parsed, 1)
    if not parsed.words:
        raise UsageError("no arguments specified")
    context = call.context
    address = context.controller.units[context.unit].address
    if any(parsed.has(flag) for flag in ("primary-address", "bind-address", "ingress-address")):
        return formatted(address, parsed.output)
    if parsed.has("egress-subnets"):
        return formatted(f"{address}/32", parsed.output)
    entry = {"cidr": "10.0.0.0/16", "hostname": "", "value": address}
    shown = {
        "bind-addresses": [
            {"addresses": [entry], "interface-name": "eth0", "mac-address": "00:16:3e:00:00:01"}
        ],
        "egress-subnets": [f"{address}/32"],
        "ingress-addresses": [address],
    }
    return formatted(shown, "yaml" if parsed.output == "smart" else parsed.output)


def application_version_set(call: Call, parsed: Arguments) -> bytes:
    """Accept the version; nothing reads it."""
    VERSION.at_most(parsed, 1)
    if not parsed.words:
        raise UsageError("no version specified")
    return b""


def action_get(call: Call, parsed: Arguments) -> bytes:
    """Return the action's parameters, or one of them by its dotted name."""
    ACTION_GET.at_most(parsed, 1)
    value: Any = in_action(call)
    if parsed.words:
        for key in parsed.words[0].split("."):
            value = value.get(key) if isinstance(value, dict) else None
    return formatted(value, parsed.output)


def action_set(call: Call, parsed: Arguments) -> bytes:
    """Set results; dots in a key nest."""
    in_action(call)
    for key, value in key_values(parsed.words).items():
        place = call.context.action_results
        *parents, last = key.split(".")
        for parent in parents:
            child = place.setdefault(parent, {})
            if not isinstance(child, dict):
                raise ToolFailureError(f'key "{key}" conflicts with an earlier result')
            place = child
        place[last] = value
    return b""


def action_fail(call: Call, parsed: Arguments) -> bytes:
    """Mark the action as failed."""
    ACTION_FAIL.at_most(parsed, 1)
    in_action(call)
    call.context.action_failure = (
        parsed.words[0] if parsed.words else "action failed without reason"
    )
    return b""


def action_log(call: Call, parsed: Arguments) -> bytes:
    """Accept a message inside an action."""
    in_action(call)
    return b""


def in_action(call: Call) -> dict[str, Any]:
    """Return the action's parameters; refuse outside an action."""
    parameters = call.context.action_parameters
    if parameters is None:
        raise ToolFailureError("not running an action")
    return parameters
