"""Members of one side, in a process of their own: they take turns until enough hand-overs are seen.

fleet_member.py SIDE HOSTS RECIPE REGISTER GOAL
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from register import ANY_NUMBER, Register

MEMBERS = 3
LEASES = 2
LIMITS = {"lock": ANY_NUMBER, "rwlock": ANY_NUMBER, "semaphore": LEASES}
BOUND = 120.0

# Holds a recipe at "/contended" for a `with` block; exclusively, if the recipe knows both.
Hold = Callable[[bool], AbstractContextManager[object]]


def kazoo_holds(hosts: str, recipe: str) -> Hold:
    """As a kazoo client does it, with a session of its own."""
    from kazoo.client import KazooClient

    client = KazooClient(hosts)
    client.start(timeout=30)
    if recipe == "semaphore":
        semaphore = client.Semaphore("/contended", max_leases=LEASES)
        return lambda exclusive: semaphore
    write, read = client.WriteLock("/contended"), client.ReadLock("/contended")
    lock = client.Lock("/contended")
    if recipe == "lock":
        return lambda exclusive: lock
    return lambda exclusive: write if exclusive else read


def our_holds(hosts: str, recipe: str) -> Hold:
    """As a client of ours does it, with a session of its own."""
    import coordinator

    client = coordinator.connect(f"zookeeper://{hosts}")
    if recipe == "semaphore":
        return lambda exclusive: client.semaphore("/contended", max_leases=LEASES)
    if recipe == "lock":
        return lambda exclusive: client.lock("/contended")
    return lambda exclusive: (
        client.write_lock("/contended") if exclusive else client.read_lock("/contended")
    )


def rogue_holds(hosts: str, recipe: str) -> Hold:
    """As nobody may: without asking."""

    @contextmanager
    def hold(exclusive: bool) -> Iterator[None]:
        time.sleep(0.01)
        yield

    return hold


SIDES = {"kazoo": kazoo_holds, "ours": our_holds, "rogue": rogue_holds}


def take_turns(side: str, hold: Hold, recipe: str, register: Register, goal: int) -> None:
    """Hold and give back until the goal is reached in both directions, or never."""
    exclusively = {"lock": 1.0, "rwlock": 0.5, "semaphore": 0.0}[recipe]
    while not reached(register, goal):
        exclusive = random.random() < exclusively
        with hold(exclusive):
            register.enter(side, exclusive=exclusive)
            # Long enough for another one to be seen who also believes to hold.
            time.sleep(0.0002)
            register.leave(side, exclusive=exclusive)


def reached(register: Register, goal: int) -> bool:
    """Whether half of the hand-overs were seen in each direction, or something was violated."""
    counts = register.counts()
    return counts.violations > 0 or min(counts.kazoo_to_ours, counts.ours_to_kazoo) >= goal / 2


def main() -> None:
    """Run the members of the command line's side."""
    side, hosts, recipe, path, goal = sys.argv[1:]
    register = Register(Path(path), LIMITS[recipe])
    holds = [SIDES[side](hosts, recipe) for _ in range(MEMBERS)]
    members = [
        threading.Thread(
            target=take_turns, args=(side, hold, recipe, register, int(goal)), daemon=True
        )
        for hold in holds
    ]
    for member in members:
        member.start()
    for member in members:
        member.join(BOUND)
    if not reached(register, int(goal)):
        sys.exit(f"{side}: not reached: {register.counts()}")


if __name__ == "__main__":
    main()
