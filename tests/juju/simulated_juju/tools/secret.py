"""secret-get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import Arguments, ToolFailureError, Usage, UsageError
from .formats import formatted

if TYPE_CHECKING:
    from . import Call

GET = Usage(
    "secret-get",
    "<ID> [key]",
    "Get the content of a secret.",
    switches=("refresh", "peek"),
    formatted=True,
)


def secret_get(call: Call, parsed: Arguments) -> bytes:
    """Return the revision that the unit keeps to: the newest only when it asks for that."""
    GET.at_most(parsed, 2)
    if not parsed.words:
        raise UsageError("require either a secret URI or label")
    name = parsed.words[0].rpartition("/")[2].rpartition(":")[2]
    context = call.context
    secret = context.controller.secrets.get(name)
    if secret is None:
        raise ToolFailureError(f'secret "{name}" not found')
    if context.application not in secret.granted:
        raise ToolFailureError("permission denied")
    context.controller_reads += 1
    newest = len(secret.revisions)
    shown = newest if parsed.has("refresh") else secret.tracked.get(context.unit, newest)
    if not parsed.has("peek"):
        secret.tracked[context.unit] = shown
    content = secret.revisions[(newest if parsed.has("peek") else shown) - 1]
    if len(parsed.words) > 1:
        key = parsed.words[1]
        if key not in content:
            raise ToolFailureError(f'key "{key}" not found in secret')
        return formatted(content[key], parsed.output)
    return formatted(dict(content), parsed.output)
