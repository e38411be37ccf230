"""kazoo's own tests of its recipes, against `coordinator.kazoo`."""

from __future__ import annotations

import pytest

from kazoo_suite import load, names_of_tests

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp")

# How many tests there are: one that is not collected is not missed otherwise.
MODULES = {
    "test_barrier": 8,
    "test_counter": 5,
    "test_election": 2,
    "test_lease": 12,
    "test_lock": 31,
    "test_partitioner": 8,
    "test_party": 4,
}

# Those that say nothing of what a program sees, and what stands in their place.
NOT_APPLICABLE = {
    "test_old_version": "writes a record of a later format by changing a private constant of the "
    "class: test_kazoo_recipes.py does so by writing the node",
    "test_race_condition_new_partitioner_during_the_lock": "slows down locks that kazoo takes "
    "one by one through client.Lock: test_kazoo_recipes.py lets another member hold an item",
    "test_race_condition_new_partitioner_steals_the_lock": "as the one before it",
}

for _module, _count in MODULES.items():
    _cases = load(_module)
    assert sum(len(names_of_tests(case)) for case in _cases) == _count, _module
    for _case in _cases:
        for _name in NOT_APPLICABLE.keys() & set(names_of_tests(_case)):
            delattr(_case, _name)
        globals()[f"{_module.title().replace('_', '')}{_case.__name__}"] = _case
del _case, _cases
