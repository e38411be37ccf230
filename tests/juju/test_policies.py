"""Policies of a charm, in whole rolls."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from coordinator import juju
from rolling import PEERS, our_charm
from simulated_juju import Model


class Half(juju.BaseCoordinator):
    """Half of the units at a time, less one: the example of the reactive layer's first README."""

    def default_grant(
        self, lock: str, unit: str, granted: Collection[str], queue: Sequence[str]
    ) -> bool:
        assert len(self.requests) == UNITS
        return len(granted) < UNITS // 2 - 1


UNITS = 6


@pytest.mark.parametrize("version", ["2.9.51", "3.6.0", "4.0.0"])
def test_a_policy_may_take_a_share_of_the_units(version: str) -> None:
    with Model(seed=1, version=version) as model:
        app = model.deploy("app", our_charm(Half), units=UNITS, peers=PEERS, config={"revision": 0})
        model.settle()
        app.configure(revision=1)
        model.settle()
        assert model.most_at_once() == UNITS // 2 - 1
        assert {work.unit for work in model.work} == {unit.name for unit in app.units}
