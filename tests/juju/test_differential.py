"""Random histories give the same grants as with charmhelpers' own coordinator.

What must differ has a test of its own in test_differences_from_charmhelpers.py. Here each step is
one hook, of which the leader hears before the next one: so order of arrival is order of time, and
nobody goes on ahead of the leader. Everything that a unit sees has to be equal: what it holds when
its hook begins and ends, since when, what acquire answers, who holds between the hooks, and what
the leader hears of releases.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import comparison
from fresh_juju import Hook, swapped_globals

BLOCKS = 6
HISTORIES = 210
"""In each block; with the kinds of coordinators that makes over 10,000."""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    with swapped_globals():
        yield tmp_path


def histories(kind: str, seeds: range, directory: Path) -> int:
    return sum(comparison.history(kind, seed, directory) for seed in seeds)


def test_there_are_ten_thousand_histories() -> None:
    assert len(comparison.KINDS) * BLOCKS * HISTORIES >= 10_000


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("kind", comparison.KINDS)
def test_random_histories_give_the_same_grants(kind: str, block: int, directory: Path) -> None:
    first = block * HISTORIES
    grants = histories(kind, range(first, first + HISTORIES), directory)
    assert grants > 2 * HISTORIES, "too little was granted to compare anything"


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("serial", comparison.OurSimple),
        ("simple", comparison.OurSerial),
        ("custom", comparison.OurSerial),
    ],
)
def test_the_comparison_notices_other_rules(
    kind: str, wrong: type, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(comparison.KINDS, kind, (wrong, comparison.KINDS[kind][1]))
    with pytest.raises(AssertionError, match="seed"):
        histories(kind, range(HISTORIES), directory)


def test_grants_announced_ahead_are_part_of_the_comparison(directory: Path) -> None:
    pair = comparison.Pair("serial", 4, directory, [])
    for unit in pair.units:
        pair.step(Hook(unit, "start"))
    for unit in pair.units[1:]:
        pair.step(Hook(unit, "config-changed", ("restart",)))
    ledger = pair.ours.application["coordinator-ledger"]
    assert '"turn":"lock"' in ledger
    assert '"queue":[]' in ledger
