"""``zk_concurrency`` for Salt: minions take turns, and each state tells the truth about it.

Installed into a minion's Python, the package offers Salt an execution module and a state module
of this name through the entry point ``salt.loader``, and to a master a runner. They take the place
of Salt's own and of those of ``saltext.zookeeper``, the states and the functions together. Where
the environment of the minion has ``COORDINATOR_SALTEXT=off`` they stay away, together too.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["directories"]

OTHERS = "saltext.zookeeper"


def directories() -> dict[str, list[str]]:
    """Tell Salt's loader where the modules are: none, if the environment says so."""
    if os.environ.get("COORDINATOR_SALTEXT", "").lower() in ("off", "0", "no", "false"):
        return {}
    here = Path(__file__).parent
    # Of files of one name Salt takes the one that is listed first, and entry points are listed in
    # the order of a directory: by chance. A package comes before a file wherever it is listed.
    root = here / "first" if _others_are_listed_first() else here
    found = {kind: [str(root / kind)] for kind in ("modules", "states")}
    # Nobody else offers this one.
    return {**found, "runners": [str(here / "runners")]}


def _others_are_listed_first() -> bool:
    # Salt's own listing: its order is what counts, and beside the copy of importlib_metadata that
    # Salt 3006 may bring along, the one of Python does not work.
    from salt.utils.entrypoints import iter_entry_points

    for entry_point in iter_entry_points("salt.loader"):
        package = entry_point.value.partition(":")[0]
        if package == __name__:
            return False
        if package == OTHERS:
            return True
    return False
