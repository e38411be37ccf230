"""The wrapper runs states as an SLS file would, and leaves the run around it as it was."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from salt_minion import BESIDE, BOUND, OURS, Minion, states

# What a minion with `multiprocessing: False` does: all jobs in one process.
TWO_JOBS = """
import json, sys
import salt.config, salt.minion
minion = salt.minion.SMinion(salt.config.minion_config(sys.argv[1]))
for sls in sys.argv[2:]:
    returned = minion.functions["state.apply"](sls)
print(json.dumps({"local": returned}))
"""


def test_states_run_in_the_order_and_the_environment_in_which_they_are_written(
    make_minion: Callable[..., Minion], release: str, tmp_path: Path
) -> None:
    order, records = tmp_path / "order", tmp_path / "records.config"
    roots = tmp_path / "development"
    roots.mkdir()
    (roots / "records.config").write_text("of development\n")
    (roots / "more.sls").write_text("more: test.succeed_with_changes\n")
    (roots / "it.sls").write_text(f"""
in_turn:
  zk_concurrency.run:
    - name: /in-turn
    - states:
        ends: {{cmd.run: [name: echo last >> {order}, order: last]}}
        second: {{cmd.run: [name: echo one >> {order}]}}
        first: {{cmd.run: [name: echo two >> {order}]}}
        {records}:
          file.managed:
            - source: salt://records.config
more_in_turn:
  zk_concurrency.run:
    - name: /in-turn
    - sls: more
""")
    # As they are loaded where another provider's come first.
    minion = make_minion(
        release,
        providers=(BESIDE, OURS),
        options={"file_roots": {"development": [str(roots)]}},
    )
    ran = states(minion.call("state.apply", "it", saltenv="development"))
    assert set(ran.results.values()) == {True}, ran
    assert order.read_text().split() == ["one", "two", "last"]
    assert records.read_text() == "of development\n"
    assert "more" in ran["more_in_turn"].changes


# What a nested run asks for is loaded anew; what Salt does not know it looks for everywhere.
@pytest.mark.parametrize(
    ("nested", "comment"),
    [
        ("file.manged: []", "under lock /in-turn: nested: State 'file.manged' was not found"),
        ("zk_concurrency.run: [states: {deep: test.nop}]", "lock /in-turn is not needed"),
    ],
)
def test_that_states_are_tried_first_makes_no_test_of_what_follows(
    make_minion: Callable[..., Minion], release: str, tmp_path: Path, nested: str, comment: str
) -> None:
    minion, first, second = make_minion(release), tmp_path / "first", tmp_path / "second"
    for file in (first, second):
        file.touch(0o644)
    (minion.states / "it.sls").write_text(f"""
in_turn:
  zk_concurrency.run:
    - name: /in-turn
    - states:
        nested: {{{nested}}}
{first}: {{file.managed: [contents: is written, mode: '0600']}}
in_turn_again:
  zk_concurrency.run:
    - name: /in-turn
    - states:
        nested: test.succeed_with_changes
aside: {{zk_concurrency.run: [name: /aside, command: 'true', parallel: True]}}
""")
    (minion.states / "next.sls").write_text(
        f"{second}: {{file.managed: [contents: is written, mode: '0600']}}"
    )
    ran = states(minion.call("state.apply", "it"))
    assert comment in ran["in_turn"].comment, ran
    assert ran["in_turn_again"].result is True
    assert ran["aside"].result is False
    assert "leave `parallel` out" in ran["aside"].comment
    done = subprocess.run(
        [minion.python, "-c", TWO_JOBS, minion.directory / "minion", "it", "next"],
        env=minion.environment,
        text=True,
        capture_output=True,
        timeout=BOUND,
        check=True,
    )
    ran |= states(json.loads(done.stdout.splitlines()[-1])["local"])
    for file in (first, second):
        assert ran[str(file)].result is True
        assert (file.read_text(), file.stat().st_mode & 0o777) == ("is written\n", 0o600)
