"""Simulated rolls with faults, as many as wanted: longer runs of the tests of rolls."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import rolls
import scope_rolls

ROLLS = {"peer": rolls.roll, "scope": scope_rolls.roll}


def attempt(kind: str, seed: int) -> tuple[int, Counter[str], str]:
    try:
        return seed, ROLLS[kind](seed), ""
    except AssertionError as error:
        return seed, Counter(), str(error)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", choices=ROLLS, default="peer", help="one application, or several")
    parser.add_argument("--seeds", type=int, default=20_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--stop-at", type=int, default=20, help="end after so many bad seeds")
    arguments = parser.parse_args()
    counted: Counter[str] = Counter()
    bad: list[int] = []
    with ProcessPoolExecutor(arguments.jobs, max_tasks_per_child=500) as pool:
        seeds = range(arguments.first, arguments.first + arguments.seeds)
        attempts = pool.map(partial(attempt, arguments.of), seeds, chunksize=20)
        for done, (seed, happened, problem) in enumerate(attempts, 1):
            counted += happened
            if problem:
                bad.append(seed)
                print(problem, flush=True)
                if len(bad) >= arguments.stop_at:
                    pool.shutdown(cancel_futures=True)
                    break
            if done % 500 == 0:
                print(f"{done} seeds, {len(bad)} bad", file=sys.stderr, flush=True)
    for name, count in sorted(counted.items()):
        if not name.startswith(("app/", "hooks app/")):
            print(f"{count:12,}  {name}")
    print(f"{arguments.seeds} seeds from {arguments.first}, bad: {bad or 'none'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
