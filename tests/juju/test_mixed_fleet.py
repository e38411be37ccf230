"""Applications in which some units run charmhelpers' coordinator and some run ours.

Units are upgraded, come and go, fail and die, and leadership changes hands. While one of our units
leads, nobody ever acts beside a holder. charmhelpers' own leader takes held locks back, whoever
holds them; what it brings about so is counted, and nothing else is allowed.
"""

from __future__ import annotations

from collections import Counter

import pytest

from mixed_fleet import MixedFleet, fleet_model

SEEDS = 240
BLOCK = 20
RULES = ("simple", "serial")


def roll(seed: int, *, only_ours_lead: bool) -> MixedFleet:
    """One history, on Juju 2.9 for even seeds and on 3.6 for odd ones, with either policy."""
    with fleet_model(seed) as model:
        fleet = MixedFleet(model, only_ours_lead, RULES[seed // 2 % 2])
        fleet.live()
        fleet.recover()
        unexplained = fleet.unexplained()
        assert not unexplained, f"{unexplained}\n{model.describe(120)}"
        return fleet


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_nobody_acts_beside_a_holder_while_our_units_lead(first: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + BLOCK):
        fleet = roll(seed, only_ours_lead=True)
        assert not fleet.verdicts, f"{fleet.verdicts}\n{fleet.model.describe(120)}"
        counts += fleet.counts
    print(dict(counts))
    assert not counts["old leaders"]
    assert counts["works of old units"]
    assert counts["works of ours"]


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_only_an_old_leader_lets_two_units_act_at_once(first: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + BLOCK):
        fleet = roll(seed, only_ours_lead=False)
        counts += fleet.counts
        counts.update(f"because {verdict.reason}" for verdict in fleet.verdicts)
    print(dict(counts))
    assert counts["old leaders"]
    assert counts["our leaders"]


def test_an_old_leader_does_let_two_units_act_at_once() -> None:
    reasons = Counter(
        verdict.reason
        for seed in range(1000, 1040)
        for verdict in roll(seed, only_ours_lead=False).verdicts
    )
    print(dict(reasons))
    assert sum(reasons.values()), "these histories are too tame to show anything"
