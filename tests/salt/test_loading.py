"""Salt loads all of our modules or none, whoever else offers the same name."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from salt_minion import BESIDE, BOUND, OURS, Minion

# Both loaders in one process: where their functions come from.
ASK = """
import json, sys, inspect
import salt.config, salt.loader
opts = salt.config.minion_config(sys.argv[1])
opts["grains"] = {"id": opts["id"]}
functions = salt.loader.minion_mods(opts)
states = salt.loader.states(opts, functions, None, None)
found = {}
for kind, loader in (("functions", functions), ("states", states)):
    loader["zk_concurrency.lock"]
    names = sorted(name for name in loader if name.startswith("zk_concurrency."))
    codes = [inspect.unwrap(getattr(loader[name], "func", loader[name])).__code__ for name in names]
    found[kind] = {name: code.co_filename for name, code in zip(names, codes)}
print(json.dumps(found))
"""
FUNCTIONS = {"force_release", "lock", "lock_holders", "party_members", "status", "unlock"}
STATES = {"lock", "min_party", "run", "unlock"}


def loaded(minion: Minion, **environment: str) -> dict[str, dict[str, str]]:
    done = subprocess.run(
        [minion.python, "-c", ASK, minion.directory / "minion"],
        env={**minion.environment, **environment},
        text=True,
        capture_output=True,
        timeout=BOUND,
        check=True,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return {
        kind: {key.partition(".")[2]: file for key, file in names.items()}
        for kind, names in answer.items()
    }


@pytest.mark.parametrize(
    "providers",
    [[OURS], [OURS, BESIDE], [BESIDE, OURS]],
    ids=["beside the core's", "before saltext-zookeeper", "after saltext-zookeeper"],
)
def test_ours_are_loaded_and_nothing_else_of_the_name(
    make_minion: Callable[..., Minion], release: str, providers: Sequence[Path]
) -> None:
    found = loaded(make_minion(release, providers=providers))
    assert found.keys() == {"functions", "states"}
    assert (set(found["functions"]), set(found["states"])) == (FUNCTIONS, STATES)
    files = {*found["functions"].values(), *found["states"].values()}
    assert all(str(OURS) in file for file in files), files


def test_ours_yield_where_the_environment_says_so(
    make_minion: Callable[..., Minion], release: str
) -> None:
    found = loaded(make_minion(release, providers=[OURS, BESIDE]), COORDINATOR_SALTEXT="off")
    assert set(found["states"]) == {"lock", "min_party", "unlock"}
    files = {*found["functions"].values(), *found["states"].values()}
    assert not any(str(OURS) in file for file in files), files
