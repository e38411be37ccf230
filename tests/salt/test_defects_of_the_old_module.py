"""Mistakes of the older modules, each by its number in the list of those that were observed."""

from __future__ import annotations

from kazoo.client import KazooClient

from recipes import PATH, lasting, single
from salt_minion import Minion
from waiting import BOUND, Stopwatch, until
from zookeeper_server.fixtures import MakeKazoo, MakeOurs


def test_s1_a_lease_under_a_misspelt_path_is_told_and_seen_and_expires_if_asked_to(
    minion: Minion, ours: MakeOurs
) -> None:
    ran = minion.apply(lasting(minion, "/trafficeserver", "- max_hold: 2"))
    assert ran["release_lock"].result is False
    assert "acquire_lock of this run took /trafficeserver" in ran["release_lock"].comment
    (holder,) = minion.call("zk_concurrency.status", "/trafficeserver")["holders"]
    assert (holder["identifier"], holder["max_hold"], holder["ephemeral"]) == ("minion", 2, False)
    assert holder["held_for"] > 0

    other = ours(identifier="other").semaphore("/trafficeserver", 4)
    pool = [ours(identifier=f"more-{n}").semaphore("/trafficeserver", 4) for n in range(3)]
    grants = [one.acquire() for one in pool]
    with other.acquire(timeout=BOUND):
        assert "minion" not in other.lease_holders()
    assert "max_hold of 2 s" in other.status()["forced"][0]["reason"]
    assert all(grants)


def test_s2_a_lease_that_an_earlier_run_left_is_taken_again_and_released(
    minion: Minion, ours: MakeOurs
) -> None:
    ours(identifier="minion").semaphore(PATH, 4, ephemeral=False).acquire()
    ran = minion.apply(lasting(minion))
    assert set(ran.results.values()) == {True}, ran
    assert ran["acquire_lock"].changes == {PATH: {"old": "held by minion", "new": "held by minion"}}
    assert ours(identifier="observer").semaphore(PATH, 4).lease_holders() == []


def test_s3_unlocking_what_is_not_held_fails_with_a_comment(minion: Minion, ours: MakeOurs) -> None:
    grant = ours(identifier="other").semaphore(PATH, 1).acquire()
    unlocked = minion.apply(single("unlock", name=PATH))["it"]
    assert unlocked.result is False
    assert "minion holds none" in unlocked.comment
    assert "held by other" in unlocked.comment
    assert grant is not None
    grant.check()
    # The same from the command line: with the same identifier by default.
    assert minion.call("zk_concurrency.unlock", PATH) is False
    assert minion.call("zk_concurrency.lock_holders", PATH) == ["other"]


def test_s4_a_timeout_is_a_failed_state(minion: Minion, ours: MakeOurs) -> None:
    grant = ours(identifier="other").semaphore(PATH, 1).acquire()
    locked = minion.apply(single("lock", name=PATH, timeout=1))["it"]
    assert locked.result is False
    assert locked.comment.startswith("Unable to acquire lock /trafficserver:")
    assert locked.comment.endswith("; behind other")
    told = minion.run("zk_concurrency.lock", PATH, timeout=1)
    assert told.returncode != 0
    assert "not acquired within 1 s" in told.stderr + told.stdout
    assert "Traceback" not in told.stderr + told.stdout
    assert grant is not None
    grant.check()


def test_s5_force_takes_a_lease_and_keeps_the_reason(minion: Minion, ours: MakeOurs) -> None:
    observer = ours(identifier="other").semaphore(PATH, 1)
    observer.acquire()
    refused = minion.apply(single("lock", name=PATH, force=True))["it"]
    assert (refused.result, "needs a reason" in refused.comment) == (False, True)
    forced = minion.apply(single("lock", name=PATH, force=True, reason="outage"))["it"]
    assert forced.result is True, forced
    assert sorted(observer.lease_holders()) == ["minion", "other"]
    (record,) = observer.status()["forced"]
    assert (record["what"], record["by"], record["reason"]) == ("acquired", "minion", "outage")

    assert minion.call("zk_concurrency.unlock", PATH) is True
    assert observer.lease_holders() == ["other"]
    taken = minion.call("zk_concurrency.force_release", PATH, "other", "machine lost")
    assert taken == ["other"]
    assert observer.status()["forced"][-1]["reason"] == "machine lost"


def test_s6_a_blocking_party_waits_for_real_members_and_leaves_nothing(
    minion: Minion, ours: MakeOurs, kazoo: MakeKazoo
) -> None:
    client: KazooClient = kazoo()
    client.ShallowParty("/party", "one").join()
    before = client.get_children("/party")
    text = single("min_party", name="/party", min_nodes=2, blocking=True, timeout=1)
    waited = minion.apply(text)["it"]
    assert (waited.result, "Currently 1 nodes, which is < 2" in waited.comment) == (False, True)
    assert client.get_children("/party") == before

    job = minion.start("zk_concurrency.party_members", "/party", min_nodes=2, blocking=True)
    party = ours(identifier="two").shallow_party("/party")
    party.join()
    assert '"one"' in job.communicate(timeout=BOUND * 2)[0]
    assert minion.apply(single("min_party", name="/party", min_nodes=2))["it"].result is True


def test_s7_a_server_that_is_down_is_a_failed_state_that_names_it(minion: Minion) -> None:
    text = "".join(
        single(function, function, name=PATH, zk_hosts="127.0.0.1:1", **more)
        for function, more in {
            "lock": {},
            "unlock": {},
            "min_party": {"min_nodes": 1},
            "run": {"command": "touch ran"},
        }.items()
    )
    with Stopwatch() as watch:
        ran = minion.apply(text)
    assert set(ran.results.values()) == {False}, ran
    assert all("127.0.0.1:1" in state.comment for state in ran.values()), ran
    # Ten seconds for the first, none for the others, and the start of Salt.
    assert watch.elapsed < 30 + 10 * watch.delay
    assert not (minion.directory / "ran").exists()


def test_s8_an_ephemeral_lease_ends_with_the_call_and_a_lasting_one_does_not(
    minion: Minion, ours: MakeOurs
) -> None:
    observer = ours(identifier="observer").semaphore(PATH, 1)
    assert minion.call("zk_concurrency.lock", PATH, ephemeral_lease=True) is True
    until(lambda: observer.lease_holders() == [])
    assert minion.call("zk_concurrency.lock", PATH) is True
    assert minion.call("zk_concurrency.lock", PATH) is True, "the same identifier has it already"
    assert observer.lease_holders() == ["minion"]
    assert minion.call("zk_concurrency.unlock", PATH) is True
    assert observer.lease_holders() == []
