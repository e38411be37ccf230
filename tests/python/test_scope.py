"""Scopes for plain Python: members under common rules, over the stores that need no server."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import coordinator
from coordinator import Client, aio
from waiting import until

Connect = Callable[[str], Client]


@pytest.fixture(params=["memory", "embedded"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory:{tmp_path}" if request.param == "memory" else f"embedded:{tmp_path}/store"


@pytest.fixture
def connect(url: str) -> Iterator[Connect]:
    """Opens clients of one store, by identifier."""
    with ExitStack() as clients:
        yield lambda name: clients.enter_context(coordinator.connect(url, identifier=name))


def test_members_take_turns_and_the_status_shows_them(connect: Connect) -> None:
    one, other = connect("app/1").scope("kafka"), connect("app/2").scope("kafka")
    with one.acquire("restart") as grant:
        grant.check()
        assert (grant.lock, grant.holder, grant.deadline) == ("restart", "app/1", None)
        assert other.acquire("restart", blocking=False) is None
        with pytest.raises(coordinator.AcquireTimeout, match="restart"):
            other.acquire("restart", timeout=0.02)
        with other.acquire("upgrade"):
            status = one.status()
            assert status["rules"] == "serial"
            assert [(it["member"], it["lock"]) for it in status["holders"]] == [
                ("app/1", "restart"),
                ("app/2", "upgrade"),
            ]
            assert status["holders"][0]["token"] == grant.token
            assert {it["member"] for it in status["members"] if it["present"]} >= {"app/1", "app/2"}
    with other.acquire("restart", timeout=30) as later:
        assert later.token > grant.token
    with pytest.raises(coordinator.NotHeld):
        grant.check()


def test_the_history_tells_how_work_ended(connect: Connect) -> None:
    scope = connect("app/1").scope("kafka", rules="simple")
    with scope.acquire("restart"):
        pass
    with pytest.raises(RuntimeError), scope.acquire("restart"):
        raise RuntimeError("planted")
    held = scope.acquire("restart")
    scope.force_release("app/1", "restart", "the machine is gone")
    until(lambda: "lost" in repr(held))
    ends = [(it["outcome"], it["why"], it.get("reason")) for it in scope.history()]
    assert ends == [
        ("ok", "released", None),
        ("failed", "released", None),
        ("failed", "forced", "the machine is gone"),
    ]


def test_a_grant_that_an_operator_ends_is_lost(connect: Connect) -> None:
    holder, operator = connect("app/1").scope("s"), connect("operator").scope("s")
    grant = holder.acquire("restart")
    assert grant is not None
    with pytest.raises(coordinator.NotHeld, match="app/2"):
        operator.force_release("app/2", "restart", "a slip")
    with pytest.raises(coordinator.Invalid, match="reason"):
        operator.force_release("app/1", "restart", " ")
    operator.force_release("app/1", "restart", "it hangs")
    assert grant.lost.wait(30)
    with pytest.raises(coordinator.LockLost, match="operator"):
        grant.check()
    # Whoever asks here waits until this one is given up, lost as it is.
    assert holder.acquire("restart", blocking=False) is None
    with pytest.raises(coordinator.LockLost):
        grant.release()
    with holder.acquire("restart", timeout=30) as again:
        assert again.token > grant.token


def test_rules_are_agreed_on(connect: Connect) -> None:
    one = connect("a")
    with one.scope("s", rules="at most 2").acquire("x"):
        with pytest.raises(coordinator.Conflict, match="at most 2"):
            connect("b").scope("s", rules="serial").acquire("x")
        with pytest.raises(coordinator.Conflict, match="serial"):
            one.scope("s", rules="serial")
        second = connect("c").scope("s", rules="at most 2").acquire("x", blocking=False)
        assert second is not None
        assert connect("d").scope("s", rules="at most 2").acquire("x", blocking=False) is None
    for rules in ("", "custom", "at most 0", "one by one"):
        with pytest.raises(coordinator.Invalid):
            one.scope("other", rules=rules)
    for name in ("", "a\nb", "x" * 256):
        with pytest.raises(coordinator.Invalid):
            one.scope(name)
    with pytest.raises(coordinator.Invalid, match="no scope"):
        one.scope("never used").status()


def test_threads_of_one_member_go_one_after_the_other(connect: Connect) -> None:
    scope = connect("a").scope("s")
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with scope.acquire("x", timeout=30) as grant:
            inside.append(grant.token)
            most.append(len(inside))
            inside.remove(grant.token)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_a_grant_is_not_pickled(connect: Connect) -> None:
    scope = connect("a").scope("s")
    with scope.acquire("x") as grant, pytest.raises(TypeError):
        pickle.dumps(grant)


def test_the_same_for_asyncio(url: str) -> None:
    async def main() -> None:
        async with (
            await aio.connect(url, identifier="a") as one,
            await aio.connect(url, identifier="b") as two,
        ):
            scope, other = one.scope("s"), two.scope("s")
            async with scope.acquire("x") as grant:
                grant.check()
                assert await other.acquire("x", blocking=False) is None
                waiting = asyncio.ensure_future(_held(other))
                while not (await scope.status())["queue"]:
                    await asyncio.sleep(0.002)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                while (await scope.status())["queue"]:
                    await asyncio.sleep(0.002)
            async with other.acquire("x", timeout=30) as later:
                assert later.token > grant.token
            # One more where the turn came to the one that had just given up.
            history = await scope.history()
            assert len(history) >= 2
            assert {it["outcome"] for it in history} == {"ok"}

    asyncio.run(main())


async def _held(scope: aio.Scope) -> None:
    async with scope.acquire("x"):
        pass


def _hold(url: str, ready: multiprocessing.synchronize.Event) -> None:
    client = coordinator.connect(url, identifier="doomed")
    with client.scope("s").acquire("x"):
        ready.set()
        signal.pause()


def test_a_holder_that_is_killed_gives_way(tmp_path: Path) -> None:
    url = f"embedded:{tmp_path}/store"
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    doomed = spawn.Process(target=_hold, args=(url, ready))
    doomed.start()
    assert ready.wait(60)
    with coordinator.connect(url, identifier="next") as client:
        scope = client.scope("s")
        assert scope.acquire("x", blocking=False) is None
        assert doomed.pid is not None
        os.kill(doomed.pid, signal.SIGKILL)
        with scope.acquire("x", timeout=60):
            assert scope.history()[-1]["why"] == "gone"
    doomed.join()
