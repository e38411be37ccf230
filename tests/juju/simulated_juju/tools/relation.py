"""relation-ids, relation-list, relation-get, relation-set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from simulated_juju.controller import RelationRecord

from .arguments import (
    Arguments,
    NeedsStandardInput,
    ToolFailureError,
    Usage,
    UsageError,
    key_values,
)
from .formats import formatted

if TYPE_CHECKING:
    from . import Call

RELATION = {"r": "relation"}

IDS = Usage(
    "relation-ids", "[name]", "List all relation IDs for the given endpoint.", formatted=True
)
LIST = Usage(
    "relation-list",
    "",
    "List relation units.",
    switches=("app",),
    options=("relation",),
    aliases=RELATION,
    formatted=True,
)
GET = Usage(
    "relation-get",
    "<key> <unit id>",
    "Get relation settings.",
    switches=("app",),
    options=("relation",),
    aliases=RELATION,
    formatted=True,
)
SET = Usage(
    "relation-set",
    "key=value [key=value ...]",
    "Set relation settings.",
    switches=("app",),
    options=("relation", "file"),
    aliases=RELATION,
)


def relation_ids(call: Call, parsed: Arguments) -> bytes:
    """Return the relations of one endpoint."""
    IDS.at_most(parsed, 1)
    context = call.context
    name = parsed.words[0] if parsed.words else context.info.endpoint
    if not name:
        raise UsageError("no endpoint name specified")
    found = [
        relation.name_for(context.application)
        for relation in context.controller.relations_of(context.application)
        if relation.endpoints[context.application] == name
    ]
    return formatted(sorted(found), parsed.output)


def chosen(call: Call, parsed: Arguments) -> RelationRecord:
    """Return the relation a command line means: the given one, or that of the hook."""
    context = call.context
    name = parsed.flags.get("relation") or context.info.relation_name
    if not name:
        raise UsageError("no relation id specified")
    relation = context.controller.relation_named(context.unit, name)
    if relation is None:
        raise UsageError(
            f'invalid value "{name}" for option -r: relation not found'
            if name.rpartition(":")[2].isdecimal()
            else f'invalid value "{name}" for option -r: invalid relation id'
        )
    return relation


def relation_list(call: Call, parsed: Arguments) -> bytes:
    """Return the remote units this unit has met, or the remote application."""
    LIST.at_most(parsed, 0)
    relation = chosen(call, parsed)
    if parsed.has("app"):
        return formatted(relation.remote_application(call.context.application), parsed.output)
    return formatted(call.context.members(relation), parsed.output)


def relation_get(call: Call, parsed: Arguments) -> bytes:
    """Return settings of a unit or of an application."""
    GET.at_most(parsed, 2)
    relation = chosen(call, parsed)
    context = call.context
    key = parsed.words[0] if parsed.words else "-"
    who = parsed.words[1] if len(parsed.words) > 1 else ""
    settings: dict[str, str]
    if parsed.has("app"):
        settings = application_settings(call, relation, who)
    else:
        who = who or context.info.remote_unit
        if not who:
            raise UsageError("no unit id specified")
        if who.count("/") != 1:
            raise UsageError(f'invalid value "{who}": not a unit name')
        if who == context.unit:
            settings = context.own_settings(relation)
        else:
            known = context.peer_settings(relation, who)
            if known is None:
                raise ToolFailureError(
                    f'permission denied (unauthorized access): settings of "{who}"'
                )
            settings = known
    return formatted(dict(settings) if key == "-" else settings.get(key), parsed.output)


def application_settings(call: Call, relation: RelationRecord, who: str) -> dict[str, str]:
    """Return an application's databag.

    The leader sees its own pending changes; others may read the own application's databag on a
    peer relation only.
    """
    context = call.context
    application = who.partition("/")[0] or context.info.remote_application
    if not application:
        raise UsageError("no unit or application specified")
    if application not in relation.endpoints:
        raise ToolFailureError(
            f'permission denied (unauthorized access): settings of "{application}"'
        )
    if application != context.application:
        return context.remote_application_settings(relation, application)
    if context.is_leader():
        return context.application_settings(relation)
    if not relation.is_peer:
        raise ToolFailureError("permission denied (unauthorized access)")
    return context.remote_application_settings(relation, application)


def relation_set(call: Call, parsed: Arguments) -> bytes:
    """Buffer changes of the own unit's or the own application's databag."""
    relation = chosen(call, parsed)
    changes: dict[str, str] = {}
    source = parsed.flags.get("file")
    if source is not None:
        changes.update(file_settings(call, source))
    changes.update(key_values(parsed.words))
    context = call.context
    if parsed.has("app"):
        if not context.is_leader():
            raise ToolFailureError("cannot write relation settings")
        context.change_application(relation, changes)
    else:
        context.change_unit(relation, changes)
    return b""


def file_settings(call: Call, source: str) -> dict[str, str]:
    """Return settings from a YAML file, which the agent itself opens, or from standard input."""
    if source == "-":
        if call.stdin is None:
            raise NeedsStandardInput
        raw = call.stdin
    else:
        try:
            raw = (Path(call.directory) / source).read_bytes()
        except OSError as error:
            raise ToolFailureError(
                f"open {source}: {(error.strerror or 'unreadable').lower()}"
            ) from error
    try:
        settings = yaml.load(raw, Loader=SafeLoader)
    except yaml.YAMLError as error:
        raise ToolFailureError(f"yaml: {error}") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict) or any(
        isinstance(value, (dict, list)) for value in settings.values()
    ):
        raise ToolFailureError("yaml: settings must be a map of strings")
    return {str(key): "" if value is None else str(value) for key, value in settings.items()}


SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
