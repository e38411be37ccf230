"""What `test=True` says of a lock is what a run then does."""

from __future__ import annotations

from collections.abc import Callable

from recipes import PATH, documented, single, wrapped
from salt_minion import Minion
from zookeeper_server.fixtures import MakeOurs


def test_a_test_run_foresees_what_a_run_says(minion: Minion, ours: MakeOurs) -> None:
    other = ours(identifier="other")
    grants = [
        other.semaphore(path, number).acquire()
        for path, number in (("/held", 1), ("/forced", 1), ("/number", 3))
    ]
    for path in ("/kept", "/own", "/left"):
        ours(identifier="minion").semaphore(path, 1, ephemeral=False).acquire()
    text = "".join(
        [
            single("lock", "free", name="/free"),
            # As kazoo takes a path, and in one run with one of ours: the same lock.
            single("lock", "again", name="free/"),
            single("lock", "kept", name="/kept"),
            single("lock", "other_number", name="/number"),
            single("lock", "busy", name="/held", timeout=0),
            single("lock", "forced", name="/forced", force=True, reason="outage"),
            single("lock", "no_reason", name="/held", force=True),
            single("run", "command", name="/run", command="'true'"),
            single("run", "inside", name="/free", command="'true'"),
            single("run", "busy_command", name="/held", command="'true'", timeout=0),
            single("unlock", "give_back", name="/free"),
            single("unlock", "give_back_twice", name="/free"),
            single("unlock", "give_back_kept", name="/kept"),
            single("unlock", "give_back_left", name="/left"),
            single("unlock", "give_back_busy", name="/held"),
            single("unlock", "give_back_nothing", name="/nothing"),
        ]
    )
    foreseen = minion.apply(text, test=True)
    assert ours(identifier="observer").semaphore("/free", 1).status()["max_leases"] is None
    ran = minion.apply(text)
    assert foreseen.results == {
        name: None if result is True and name != "give_back_busy" else result
        for name, result in ran.results.items()
    }
    for name in ("free", "again", "kept", "forced", "give_back", "give_back_left"):
        assert foreseen[name].changes == ran[name].changes, name
    assert {name for name, result in ran.results.items() if result is False} == {
        "other_number",
        "busy",
        "no_reason",
        "busy_command",
        "give_back_twice",
        "give_back_nothing",
    }
    assert all("/free" not in one["inside"].changes for one in (foreseen, ran)), "it is of free"
    assert all(grants)
    assert "max_concurrency is 3 for its members, and 1" in foreseen["other_number"].comment
    assert "give_back has released /free before" in ran["give_back_twice"].comment
    assert ran["command"].changes["/run"]["new"] == "held by minion, and released"

    # An ephemeral lease does not take over a lasting one, so the minion would wait for itself.
    text = single("lock", "behind_itself", name="/own", ephemeral_lease=True, timeout=1)
    hint = "minion itself has a lease that an earlier run left: zk_concurrency.unlock gives it back"
    foreseen, ran = minion.apply(text, test=True), minion.apply(text)
    assert [one["behind_itself"].result for one in (foreseen, ran)] == [None, False]
    assert all(hint in one["behind_itself"].comment for one in (foreseen, ran))


def test_a_test_run_foresees_whom_it_would_wait_behind_and_takes_nothing(
    make_minion: Callable[..., Minion], release: str, ours: MakeOurs
) -> None:
    minion = make_minion(release, service={"lock": PATH})
    others = [ours(identifier=f"other-{n}").semaphore(PATH, 4).acquire() for n in range(3)]
    ran = minion.apply(documented(minion), test=True)
    assert ran["acquire_lock"].result is None
    assert "would be acquired at once: 3 of 4" in ran["acquire_lock"].comment
    assert ran["acquire_lock"].changes == {PATH: {"old": None, "new": "held by minion"}}
    assert ran["release_lock"].result is None
    assert ran["release_lock"].changes == {PATH: {"old": "held by minion", "new": None}}

    others.append(ours(identifier="other-3").semaphore(PATH, 4).acquire())
    ran = minion.apply(wrapped(minion), test=True)
    assert ran["trafficserver_in_turn"].result is None
    assert (
        "Would wait for lock /trafficserver behind other-0, other-1"
        in ran["trafficserver_in_turn"].comment
    )
    assert minion.journaled() == []
    assert len(ours(identifier="observer").semaphore(PATH, 4).lease_holders()) == 4
