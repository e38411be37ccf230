"""How many hook tools a hook calls: processes that each talk to the agent."""

from __future__ import annotations

import tempfile
from pathlib import Path

import build_charm
import measured_charms
import rolling
from coordinator import juju
from measured_hooks import (
    ARRIVING,
    ASKS,
    CHANGED,
    CROWD,
    ELECTED,
    FOLLOWER,
    GRANTED,
    LEADER,
    REQUEST,
    UPDATE_STATUS,
    Costs,
    measure,
)
from report import table

SIZES = (1, 10, 100)
VERSION = "3.6.0"
ROWS = (
    (UPDATE_STATUS, FOLLOWER),
    (CHANGED, FOLLOWER),
    (ASKS, FOLLOWER),
    (GRANTED, FOLLOWER),
    (ELECTED, LEADER),
    (UPDATE_STATUS, LEADER),
    (CHANGED, LEADER),
    (REQUEST, LEADER),
    (ASKS, LEADER),
    (ARRIVING, LEADER),
    (CROWD, LEADER),
)
MOST = {FOLLOWER: 8, LEADER: 12}
EXPLANATION = f"""\
Hook tool processes per hook, Juju {VERSION}, one lock, real hook processes of a built charm.
"Theirs" is a stand-in for the older reactive layer: charmhelpers 1.2.1's own coordinator with an
Endpoint on the peer relation. "Reactive" is the same charm without any coordinator, one handler
included where a handler runs. "Ours alone" and "theirs alone" are the difference to it. The target
is what a hook may call in all, however many units there are: {MOST[FOLLOWER]}, or {MOST[LEADER]} on
the leader. A newly elected leader may read each peer once.
"""


def our_coordinator() -> juju.SimpleCoordinator:
    """Return our coordinator as the layer makes it."""
    return juju.SimpleCoordinator(peer_relation_name="coordinator")


def their_coordinator() -> rolling.OldSimple:
    """Return charmhelpers' coordinator with the policy of the older layer."""
    return rolling.OldSimple(peer_relation_name="coordinator")


def collected(tool: Path) -> dict[tuple[str, int], Costs]:
    """Measure the three charms; what charms.reactive does by itself depends on no number."""
    built = build_charm.example_charm()
    costs: dict[tuple[str, int], Costs] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        bare = measured_charms.bare(built, directory)
        ours = measured_charms.ours(built, directory)
        theirs = measured_charms.stand_in(built, directory)
        costs["bare", 0] = measure(bare, None, None, units=3, version=VERSION, tool=tool)
        for units in SIZES:
            costs["ours", units] = measure(
                ours, rolling.our_charm(), our_coordinator, units=units, version=VERSION, tool=tool
            )
            costs["theirs", units] = measure(
                theirs,
                rolling.old_charm(),
                their_coordinator,
                units=units,
                version=VERSION,
                tool=tool,
                every_arrival=False,
            )
    return costs


def own_calls(bare: Costs, what: str) -> int:
    """Return how many tools charms.reactive itself calls in such a hook, its handlers included."""
    idle = len(bare[UPDATE_STATUS, FOLLOWER].calls)
    asking = len(bare[ASKS, FOLLOWER].calls)
    # In both of these one handler of the charm runs, and charms.reactive logs that.
    return asking if what in (ASKS, GRANTED) else idle


def limit(what: str, role: str, units: int) -> int:
    """Return how many tools a hook should call at the most."""
    return MOST[role] + (units - 1 if what == ELECTED else 0)


def report(tool: Path) -> str:
    """Measure, and return the tables."""
    costs = collected(tool)
    parts = [EXPLANATION]
    header = ("hook", "theirs", "ours", "reactive", "theirs alone", "ours alone", "target")
    over: list[str] = []
    for units in SIZES:
        rows = []
        for what, role in ROWS:
            ours = costs["ours", units].get((what, role))
            theirs = costs["theirs", units].get((what, role))
            if ours is None:
                continue
            reactive = own_calls(costs["bare", 0], what)
            most = limit(what, role, units)
            met = "met" if len(ours.calls) <= most else f"**missed by {len(ours.calls) - most}**"
            rows.append(
                (
                    f"{what} ({role})",
                    len(theirs.calls) if theirs else None,
                    len(ours.calls),
                    reactive,
                    len(theirs.calls) - reactive if theirs else None,
                    len(ours.calls) - reactive,
                    f"{most}, {met}",
                )
            )
            if len(ours.calls) > most and units == SIZES[-1]:
                over.append(f"\n{what} ({role}), {ours.hook}, our charm calls:\n")
                over += [f"    {shortened(call)}" for call in ours.calls]
        parts.append(f"\n{units} units\n\n{table(header, rows)}")
    return "\n".join([*parts, *over])


def shortened(call: tuple[str, ...]) -> str:
    """Return a call as one line of text."""
    text = " ".join(call).replace("\n", " / ")
    return text if len(text) <= 150 else text[:150] + "..."
