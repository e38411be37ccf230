"""Members of a fleet take turns.

Modules:

* :mod:`coordinator.juju`: the units of a Juju application take turns, with the interface of
  charmhelpers' coordinator.
* :mod:`coordinator.exceptions`: the errors, which are exported here too.
"""

from __future__ import annotations

from coordinator._core import __version__
from coordinator.exceptions import CoordinatorError, Corrupt, Invalid, NotHeld, Unavailable

__all__ = [
    "CoordinatorError",
    "Corrupt",
    "Invalid",
    "NotHeld",
    "Unavailable",
    "__version__",
]
