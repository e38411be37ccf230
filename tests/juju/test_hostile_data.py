"""One unit publishes data that is damaged, huge or false, and the others go on without it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from scenes import LOCK, behind, deploy, ledger, operable, ours
from simulated_juju import Application, FunctionCharm, Hook, Model

KEY = "coordinator-ledger"


def record(**fields: Any) -> str:
    """A record of one request, as a unit of ours writes it, with some fields changed."""
    whole = {"version": 1, "sequence": 1, "clock": TIME, "requests": {LOCK: REQUEST}}
    return json.dumps(whole | fields)


TIME = "2023-11-14 22:13:30.000000Z"
REQUEST = {"request": 1, "at": TIME}
GRANT = {"token": 99, "member": "app/3", "lock": LOCK, "request": 1, "at": TIME, "turn": "all"}
MANY = {f"lock {number}": REQUEST for number in range(10_000)}

UNREADABLE = {
    "no JSON": "{not json",
    "an empty list": "[]",
    "a number": "7",
    "null": "null",
    "cut off": record()[:-9],
    "wrong types": record(sequence="one", requests=[]),
    "unknown outcome": record(released={LOCK: {"request": 1, "outcome": "exploded"}}),
    "one MiB": record(padding="x" * 1024 * 1024),
    "10,000 locks": record(requests=MANY),
    "10,000 levels": record(deep=0)[:-2] + "[" * 10_000 + "]" * 10_000 + "}",
    "twice the same key": record()[:-1] + ', "sequence": 2, "version": 1}',
    "not a number": record(sequence=float("nan")),
    "a number beyond all": record()[:-1] + ', "heard": 1e999}',
    "400 digits": record(sequence=int("9" * 400)),
    "negative": record(sequence=-1),
    "a negative request": record(requests={LOCK: {"request": -5, "at": TIME}}),
    "NUL in a lock": record(requests={"restart\0": REQUEST}),
    "NUL in a time": record(clock="\0"),
    "half a character": record()[:-1] + ', "x": "\\ud800"}',
    "a later format": record(version=2),
    "a request from its future": record(requests={LOCK: {"request": 5, "at": TIME}}),
    "a lock without a name": record(requests={"": REQUEST}),
    "a lock with a long name": record(requests={"x" * 70_000: REQUEST}),
}
"""What is set aside."""

IDLE = {"sequence": 3, "requests": {}}
BELIEVED = {
    "another unit's name": record(**IDLE, member="app/0", unit="app/0"),
    "forged grants": record(**IDLE, grants=[GRANT], leader="app/3", last_token=10_000),
    "forged releases": record(**IDLE, released={LOCK: {"request": 3, "token": 10_000}}),
    "the year 1": record(sequence=3, requests={}, clock="0001-01-01 00:00:00.000000Z"),
    "the year 9999": record(sequence=3, requests={}, clock="9999-12-31 23:59:59.999999Z"),
    "a call that nobody made": record(**IDLE, answered=77, heard=88, unsettled=99),
}
"""What a unit may say of itself, and what nobody reads."""

LEGACY = {
    "no JSON": "{not json",
    "a list": "[1, 2]",
    "times that are none": json.dumps({LOCK: "soon"}),
    "numbers": json.dumps({LOCK: 7}),
    "10,000 locks": json.dumps(dict.fromkeys(MANY, TIME)),
    "10,000 levels": "[" * 10_000 + "]" * 10_000,
}


def spoiling(**values: str) -> FunctionCharm:
    """A charm that publishes `values` in every hook and does nothing else."""

    def function(hook: Hook) -> None:
        relation = json.loads(hook.tool(["relation-ids", "--format=json", "coordinator"]).stdout)
        if relation:
            text = json.dumps(values).encode()
            result = hook.tool(["relation-set", "-r", relation[0], "--file", "-"], text)
            assert result.code == 0, result.stderr

    return FunctionCharm(function)


def good() -> FunctionCharm:
    charm = ours(5)
    charm.function = operable(charm.function)
    return charm


def roll_beside(bad: FunctionCharm, version: str) -> tuple[Model, Application, str]:
    """Three good units roll while a fourth one publishes what `bad` does."""
    model, app = deploy(good(), version=version)
    spoiler = app.add_unit(bad).name
    model.settle()
    app.configure(revision=1)
    model.run(minutes=15)
    return model, app, spoiler


def shown(model: Model) -> dict[str, Any]:
    action = model.unit(model.leader("app") or "").run_action("show-locks")
    assert model.run_until(lambda: action.status not in ("pending", "running"), 600)
    assert action.status == "completed", action.message
    locks: dict[str, Any] = json.loads(action.results["locks"])
    return locks


def warnings(model: Model) -> str:
    calls = [call for call in model.tool_calls if call.argv[:3] == ("juju-log", "-l", "WARNING")]
    return "\n".join(call.argv[3] for call in calls)


def assert_others_rolled(model: Model, app: Application, spoiler: str) -> None:
    assert behind(app) == [spoiler], model.describe()
    done = Counter(item.unit for item in model.work)
    assert done == Counter(unit.name for unit in app.units if unit.name != spoiler)
    assert model.most_at_once(LOCK) == 1
    assert {item.outcome for item in model.hooks_run} == {"ok"}, model.describe()
    assert max(item.tool_calls for item in model.hooks_run) < 20


def assert_recovers(model: Model, app: Application, spoiler: str) -> None:
    """Its data becomes good again, and it takes its turn too."""
    model.unit(spoiler).agent.charm = app.charm
    model.run(minutes=20)
    assert not behind(app), model.describe()
    assert not shown(model)["quarantined"]
    assert model.most_at_once(LOCK) == 1
    assert len(model.work) == len(app.units)


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_unit_whose_data_cannot_be_read_is_set_aside(kind: str) -> None:
    version = ("3.6.0", "4.0.0")[len(kind) % 2]
    model, app, spoiler = roll_beside(spoiling(**{KEY: UNREADABLE[kind]}), version)
    with model:
        assert_others_rolled(model, app, spoiler)
        assert list(shown(model)["quarantined"]) == [spoiler]
        assert spoiler in warnings(model)
        assert len(json.dumps(ledger(app))) < 2_000
        assert_recovers(model, app, spoiler)


@pytest.mark.parametrize("kind", BELIEVED)
def test_a_unit_speaks_for_itself_alone(kind: str) -> None:
    version = ("3.6.0", "4.0.0")[len(kind) % 2]
    model, app, spoiler = roll_beside(
        spoiling(**{KEY: BELIEVED[kind], "coordinator": "{}"}), version
    )
    with model:
        assert_others_rolled(model, app, spoiler)
        assert ledger(app)["leader"] == model.leader("app")
        assert ledger(app)["last_token"] < 20
        assert spoiler not in {grant["unit"] for grant in shown(model)["grants"]}
        assert_recovers(model, app, spoiler)


@pytest.mark.parametrize("beside", ["", record(**IDLE)], ids=["alone", "beside a record"])
@pytest.mark.parametrize("kind", LEGACY)
def test_garbage_where_charmhelpers_reads(kind: str, beside: str) -> None:
    bad = spoiling(**{"coordinator": LEGACY[kind], KEY: beside})
    model, app, spoiler = roll_beside(bad, "3.6.0")
    with model:
        assert_others_rolled(model, app, spoiler)
        # Who has a record is read by that, and by nothing else.
        assert list(shown(model)["quarantined"]) == ([] if beside else [spoiler])
        assert_recovers(model, app, spoiler)


@pytest.mark.parametrize("version", ["3.6.0", "4.0.0"])
@pytest.mark.parametrize("kind", ["no JSON", "one MiB", "a later format"])
def test_data_that_turns_bad_while_the_unit_works(kind: str, version: str) -> None:
    # It may still be at work, for all that anybody knows: only an operator can end its turn.
    model, app = deploy(good(), version=version, units=4)
    with model:
        leader = model.leader("app") or ""
        app.configure(revision=1)
        assert model.run_until(lambda: any(item.unit != leader for item in model.working()))
        spoiler = model.working()[0].unit
        model.unit(spoiler).kill_agent(restart_after=5)
        model.unit(spoiler).agent.charm = spoiling(**{KEY: UNREADABLE[kind]})
        model.run(minutes=20)
        assert spoiler in behind(app)
        action = model.unit(leader).run_action("release-lock", unit=spoiler)
        model.run(minutes=20)
        assert action.status == "completed", action.message
        assert behind(app) == [spoiler], model.describe()
        assert spoiler in shown(model)["quarantined"]
        assert model.most_at_once(LOCK) == 1


def void(result: object) -> None:
    """Let a hook function end without an answer."""


@pytest.mark.parametrize("version", ["3.6.0", "4.0.0"])
@pytest.mark.parametrize(
    ("text", "reason"), [("{broken", "cannot be read"), ('{"version": 9}', "format 9")]
)
def test_a_ledger_that_cannot_be_read_is_left_alone(version: str, text: str, reason: str) -> None:
    model, app = deploy(good(), version=version)
    with model:
        relation = model.world.controller.relations[0]
        leader = model.leader("app") or ""
        model.world.controller.write_application_bag(relation, leader, {KEY: text})
        app.configure(revision=1)
        model.run(minutes=30)
        assert not model.work
        assert app.databag("coordinator")[KEY] == text
        assert {unit.status[0] for unit in app.units} == {"error"}
        said = model.hooks_run[-1].output
        for word in (KEY, "app databag", "coordinator:0", reason):
            assert word in said, said
        # What the message says to do for one that is damaged.
        advice = ["relation-set", "-r", "coordinator:0", "--app", f"{KEY}="]
        assert " ".join(advice) in said
        model.juju_exec(leader, lambda hook: void(hook.tool(advice)))
        model.run(minutes=30)
        assert not behind(app), model.describe()
        assert model.most_at_once(LOCK) == 1
