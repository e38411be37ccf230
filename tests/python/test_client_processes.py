"""Signals, forks, threads and the end of the interpreter: real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


def run(program: str, *arguments: str, status: int = 0) -> list[str]:
    """Run a program of its own interpreter; the lines it prints."""
    command = [sys.executable, "-X", "dev", "-c", textwrap.dedent(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stderr
    assert "panic" not in done.stderr
    if status == 0:
        assert not done.stderr
    return done.stdout.splitlines()


@pytest.fixture(params=["memory:shared", "embedded"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"embedded:{tmp_path}/store" if request.param == "embedded" else str(request.param)


def test_ctrl_c_ends_a_wait_and_withdraws(url: str) -> None:
    program = """
        import signal, sys, threading, time, coordinator

        holder = coordinator.connect(sys.argv[1], identifier="holder")
        waiter = coordinator.connect(sys.argv[1], identifier="waiter")
        held = holder.lock("/a").acquire()

        def interrupt():
            while len(holder.lock("/a").contenders()) < 2:
                time.sleep(0.001)
            signal.raise_signal(signal.SIGINT)

        threading.Thread(target=interrupt).start()
        try:
            waiter.lock("/a").acquire()
        except KeyboardInterrupt:
            print("interrupted")
        while holder.lock("/a").contenders() != ["holder"]:
            time.sleep(0.001)
        held.release()
        with waiter.lock("/a", timeout=60):
            print("free")
    """
    assert run(program, url) == ["interrupted", "free"]


def test_a_program_that_is_interrupted_ends(url: str) -> None:
    program = """
        import signal, sys, threading, time, coordinator
        client = coordinator.connect(sys.argv[1])
        held = client.lock("/a").acquire()
        threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
        client.lock("/a").acquire()
    """
    run(program, url, status=-signal.SIGINT)


def test_a_signal_handler_may_close_the_client_and_give_back(url: str) -> None:
    program = """
        import signal, sys, threading, time, coordinator

        holder = coordinator.connect(sys.argv[1], identifier="holder")
        waiter = coordinator.connect(sys.argv[1], identifier="waiter")
        held = holder.lock("/a").acquire()

        def stop(*_):
            waiter.close()
            held.release()
            print(holder.lock("/a").contenders())

        signal.signal(signal.SIGTERM, stop)

        def terminate():
            while len(holder.lock("/a").contenders()) < 2:
                time.sleep(0.001)
            signal.raise_signal(signal.SIGTERM)

        threading.Thread(target=terminate).start()
        try:
            waiter.lock("/a").acquire()
        except coordinator.Unavailable as error:
            print("closed" in str(error))
    """
    assert run(program, url) == ["[]", "True"]


def test_other_threads_run_while_one_waits(url: str) -> None:
    program = """
        import sys, threading, coordinator
        client = coordinator.connect(sys.argv[1])
        held = client.lock("/a").acquire()
        waiting = threading.Thread(target=lambda: client.lock("/a").acquire(timeout=60).release())
        waiting.start()
        while len(client.lock("/a").contenders()) < 2:
            pass
        held.release()
        waiting.join()
        print("both")
    """
    assert run(program, url) == ["both"]


def test_a_forked_child_never_touches_what_its_parent_holds(url: str) -> None:
    program = """
        import gc, os, sys, warnings, coordinator
        warnings.simplefilter("ignore", DeprecationWarning)  # a process with threads forks
        client = coordinator.connect(sys.argv[1], identifier="parent")
        lock, party = client.lock("/a"), client.party("/p")
        grant = lock.acquire()
        party.join()

        def refused(call):
            try:
                call()
            except coordinator.ForkedError as error:
                assert "forked" in str(error) or "child" in str(error), error
            else:
                raise AssertionError(call)

        child = os.fork()
        if child == 0:
            for call in (grant.check, grant.release, lock.acquire, lock.release, party.members):
                refused(call)
            assert "parent" in repr(grant)
            del grant, lock, party, client
            gc.collect()
            own = coordinator.connect(sys.argv[1] if "embedded" in sys.argv[1] else "memory:")
            with own.lock("/b", timeout=60):
                print("child", flush=True)
            if "embedded" in sys.argv[1]:
                assert own.lock("/a").acquire(blocking=False) is None
            sys.exit()
        assert os.waitpid(child, 0)[1] == 0
        grant.check()
        assert party.members() == ["parent"]
        grant.release()
        print("parent")
    """
    assert run(program, url) == ["child", "parent"]


def test_an_event_loop_in_a_forked_child(url: str) -> None:
    program = """
        import asyncio, os, sys, warnings
        from coordinator import aio
        warnings.simplefilter("ignore", DeprecationWarning)

        async def main(path):
            async with await aio.connect(sys.argv[1]) as client:
                async with client.lock(path, timeout=60):
                    print(path, flush=True)

        asyncio.run(main("/parent"))
        child = os.fork()
        if child == 0:
            asyncio.run(main("/child"))
            sys.exit()
        assert os.waitpid(child, 0)[1] == 0
    """
    assert run(program, url) == ["/parent", "/child"]


@pytest.mark.parametrize(
    "end", ["", "sys.exit()", "raise SystemExit", "client.close()", "del grant"]
)
def test_the_end_of_the_interpreter_gives_everything_back(tmp_path: Path, end: str) -> None:
    url = f"embedded:{tmp_path}/store"
    program = f"""
        import contextlib, sys, threading, coordinator
        client = coordinator.connect(sys.argv[1])
        grant = client.lock("/a").acquire()
        party = client.party("/p")
        party.join()
        blocked = client.lock("/a")

        def wait():
            with contextlib.suppress(coordinator.Unavailable):  # closed under its feet
                blocked.acquire()

        threading.Thread(target=wait, daemon=True).start()
        while len(client.lock("/a").contenders()) < 2:
            pass
        {end}
    """
    run(program, url)
    after = """
        import sys, coordinator
        client = coordinator.connect(sys.argv[1])
        print(client.lock("/a").contenders(), client.party("/p").members())
        with client.lock("/a", blocking=False):
            print("free")
    """
    assert run(after, url) == ["[] []", "free"]


def test_dropping_objects_in_any_thread_is_quiet(url: str) -> None:
    program = """
        import gc, sys, threading, coordinator
        client = coordinator.connect(sys.argv[1])
        things = [
            client.lock("/a").acquire(), client.semaphore("/s", 9).acquire(), client.barrier("/g"),
            client.double_barrier("/d", 1), client.lock("/c").acquire().lost,
        ]
        things[3].enter()
        party = client.party("/p")
        party.join()
        things.append(party)
        del party

        def drop():
            while things:
                things.pop()
            gc.collect()

        dropper = threading.Thread(target=drop)
        dropper.start()
        dropper.join()
        for path in ("/a", "/c"):
            client.lock(path).acquire(timeout=60).release()
        while client.party("/p").members():
            pass
        print("given back")
    """
    assert run(program, url) == ["given back"]


def test_many_processes_take_turns(tmp_path: Path) -> None:
    """The counter that each raises without care is right at the end."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    program = """
        import pathlib, sys, coordinator
        client = coordinator.connect(sys.argv[1])
        lock, counter = client.lock("/counter", timeout=100), pathlib.Path(sys.argv[2])
        for _ in range(50):
            with lock:
                counter.write_text(str(int(counter.read_text()) + 1))
    """
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(program),
        f"embedded:{tmp_path}/store",
        str(counter),
    ]
    members = [subprocess.Popen(command) for _ in range(6)]
    assert [member.wait(timeout=120) for member in members] == [0] * 6
    assert counter.read_text() == "300"


def test_a_killed_holder_gives_way_at_once(tmp_path: Path) -> None:
    program = """
        import sys, time, coordinator
        grant = coordinator.connect(sys.argv[1]).lock("/a").acquire()
        print(grant.token, flush=True)
        time.sleep(600)
    """
    url = f"embedded:{tmp_path}/store"
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), url], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    token = int(holder.stdout.readline())
    waiting = """
        import sys, coordinator
        print(coordinator.connect(sys.argv[1]).lock("/a").acquire().token)
    """
    waiter = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(waiting), url], stdout=subprocess.PIPE, text=True
    )
    holder.kill()
    holder.wait()
    holder.stdout.close()
    output, _ = waiter.communicate(timeout=60)
    assert int(output) > token
