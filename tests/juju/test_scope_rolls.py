"""A thousand simulated fleets of applications in one scope, with faults; `make soak` runs more."""

from __future__ import annotations

import pytest

from scope_rolls import roll

SEEDS = 1_000
BLOCK = 20


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_three_applications_in_one_scope_are_safe_and_come_to_an_end(first: int) -> None:
    for seed in range(first, first + BLOCK):
        roll(seed)
