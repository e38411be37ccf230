"""Thousands of simulated rolls with faults. `make soak` runs more of them."""

from __future__ import annotations

import pytest

from rolls import roll

SEEDS = 2_000
BLOCK = 25


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_rolls_are_safe_and_come_to_an_end(first: int) -> None:
    for seed in range(first, first + BLOCK):
        roll(seed)
