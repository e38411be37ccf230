"""Fifty rolls in one scope of a real ZooKeeper, with everything dying on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from live_fleet import LiveFleet
from zookeeper_server import Ensemble

ROLLS = 25
UNITS = 5


@pytest.mark.parametrize("seed", [1, 2])
def test_three_applications_roll_one_unit_at_a_time_whatever_dies(
    tmp_path: Path, seed: int
) -> None:
    with Ensemble() as ensemble, LiveFleet(ensemble.servers, tmp_path, seed) as fleet:
        fleet.deploy("kafka", UNITS)
        fleet.deploy("spark", UNITS, through_proxy=True)
        fleet.deploy("zookeeper", UNITS)
        fleet.until(fleet.model.settled)
        faults = [
            fleet.kill_agents,
            fleet.stop_agents,
            fleet.cut_agents_off,
            fleet.kill_hooks,
            fleet.change_leaders,
            fleet.kill_server,
            fleet.freeze_server,
            None,
        ]
        # Each of them a few times, in an order of the seed.
        for fault in fleet.chance.sample(faults * (ROLLS // len(faults) + 1), k=ROLLS):
            fleet.roll(fault)
        print(dict(fleet.counted))
