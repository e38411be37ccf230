"""The one in ``modules``, in a form that Salt prefers to another provider's file."""

from pathlib import Path

# Not an import: Salt gives each module that it loads its own ``__salt__`` and ``__opts__``.
_SOURCE = Path(__file__).parents[3] / "modules" / "zk_concurrency.py"
exec(compile(_SOURCE.read_text(encoding="utf-8"), str(_SOURCE), "exec"))
