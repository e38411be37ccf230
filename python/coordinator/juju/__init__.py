"""The units of a Juju application take turns.

``BaseCoordinator``, ``Serial`` and ``SimpleCoordinator`` have the interface of
``charmhelpers.coordinator``, so that a charm changes one import line::

    from coordinator import juju

    serial = juju.Serial()  # before the hook framework runs

    def maybe_restart():
        if needs_restart():
            serial.acquire("restart")
        if serial.granted("restart"):
            restart()

A lock is released at the end of the hook in which it was granted. Where charmhelpers is installed,
``initialize``, ``handle`` and ``finish`` are registered with ``hookenv.atstart`` and
``hookenv.atexit``; elsewhere the charm calls them: ``initialize`` and ``handle`` at the start of
every hook, and ``finish`` at the end of every hook that succeeds.

What differs from charmhelpers, on purpose:

* Grants live in the peer relation's application data, so that Juju 4 and Kubernetes work. Leader
  settings are read and written where units of charmhelpers' coordinator take part.
* A grant ends when its holder has released it, has left, or when an operator says so. A leader
  whose view of a unit is old takes nothing away.
* Requests are served in the order in which they arrive at the leader, not by the clocks of units.
* A unit goes on when the one before it has released, whether or not the leader has a hook then.
* Under ``SimpleCoordinator`` a unit whose turn it is holds at once what else it asks for.
* ``requests`` has of other units what the leader has taken up: their data is not read in each hook.
* A leader acts on its own new grant in the same hook only once every later leader would know of
  it: with leader settings at once, on Juju 4 in a hook soon after, unless it is the only unit.
"""

from __future__ import annotations

from coordinator.juju.adapt import adapt
from coordinator.juju.backend import Backend
from coordinator.juju.base import BaseCoordinator, Serial, SimpleCoordinator, Singleton
from coordinator.juju.operator import release_lock, show_locks

__all__ = [
    "Backend",
    "BaseCoordinator",
    "Serial",
    "SimpleCoordinator",
    "Singleton",
    "adapt",
    "release_lock",
    "show_locks",
]
