"""What a hook may cost: hook tools, each a process that talks to the agent, however many peers.

Counted in real hooks of a built charm. Besides the coordinator's own calls, charms.reactive makes
five in any hook and four or so for each handler and flag.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import build_charm
import measured_charms
import rolling
from coordinator import juju
from measured_hooks import (
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

FEW, MANY = 3, 40
# How many hook tools a hook calls at the most, those of charms.reactive included.
MOST = {
    (UPDATE_STATUS, FOLLOWER): 8,
    (CHANGED, FOLLOWER): 8,
    (ASKS, FOLLOWER): 10,
    (GRANTED, FOLLOWER): 11,
    (UPDATE_STATUS, LEADER): 9,
    (CHANGED, LEADER): 10,
    (REQUEST, LEADER): 12,
    (CROWD, LEADER): 12,
    # Two handlers run: the leader is granted its lock at once.
    (ASKS, LEADER): 16,
    # And each peer is read, once.
    (ELECTED, LEADER): 12,
}
# What a charm without a coordinator does not call in any hook.
MOST_OWN = {UPDATE_STATUS: 3, CHANGED: 4}


def coordinator() -> juju.SimpleCoordinator:
    return juju.SimpleCoordinator(peer_relation_name="coordinator")


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled hook tool: the one that is named, or one compiled here."""
    named = os.environ.get("SIMULATED_HOOK_TOOL")
    if named:
        return Path(named)
    target = tmp_path_factory.mktemp("tool") / "simulated-hook-tool"
    source = Path(__file__).with_name("hook_tool.rs")
    subprocess.run(["rustc", "--edition=2024", "-O", "-o", target, source], check=True)
    return target


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory, tool: Path) -> dict[int, Costs]:
    """What the hooks of one unit call, by the number of units."""
    charm = measured_charms.ours(build_charm.example_charm(), tmp_path_factory.mktemp("charms"))
    return {
        units: measure(
            charm,
            rolling.our_charm(),
            coordinator,
            units=units,
            version="3.6.0",
            tool=tool,
            every_arrival=False,
        )
        for units in (FEW, MANY)
    }


@pytest.fixture(scope="module")
def reactive(tmp_path_factory: pytest.TempPathFactory, tool: Path) -> Costs:
    """What the same hooks call without a coordinator."""
    charm = measured_charms.bare(build_charm.example_charm(), tmp_path_factory.mktemp("charms"))
    return measure(charm, None, None, units=FEW, version="3.6.0", tool=tool)


@pytest.mark.parametrize(("what", "role"), MOST)
def test_a_hook_calls_few_tools(what: str, role: str, costs: dict[int, Costs]) -> None:
    for units, each in costs.items():
        most = MOST[what, role] + (units - 1 if what == ELECTED else 0)
        calls = each[what, role].calls
        assert len(calls) <= most, calls


@pytest.mark.parametrize(("what", "role"), [key for key in MOST if key[0] != ELECTED])
def test_the_number_of_units_does_not_matter(what: str, role: str, costs: dict[int, Costs]) -> None:
    few, many = (costs[units][what, role].calls for units in (FEW, MANY))
    assert [call[0] for call in few] == [call[0] for call in many]


def test_only_a_new_leader_reads_every_peer(costs: dict[int, Costs]) -> None:
    for units, each in costs.items():
        for (what, _), cost in each.items():
            read = {call[-1] for call in cost.calls if call[0] == "relation-get"}
            peers = {name for name in read if "/" in name} - {"app/0"}
            if what == ELECTED:
                assert len(peers) == units - 1
            else:
                assert len(peers) <= 1, what


@pytest.mark.parametrize("what", MOST_OWN)
def test_a_hook_without_news_costs_little_more_than_without_a_coordinator(
    what: str, costs: dict[int, Costs], reactive: Costs
) -> None:
    for role in (FOLLOWER, LEADER):
        own = len(costs[MANY][what, role].calls) - len(reactive[what, role].calls)
        assert own <= MOST_OWN[what], costs[MANY][what, role].calls
