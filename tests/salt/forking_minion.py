"""What a minion with `multiprocessing: True` does: loads Salt once, and forks for each job.

Run as: forking_minion.py <configuration> <number of jobs> <sls>. Each job prints its result as a
line; the one whose number is 0 is killed by the test.
"""

import json
import multiprocessing
import os
import sys

import salt.config
import salt.minion


def job(minion, number, sls):
    returned = minion.functions["state.apply"](sls, pillar={"job": number})
    results = (
        [state["result"] for state in returned.values()] if isinstance(returned, dict) else returned
    )
    print(json.dumps({"job": number, "pid": os.getpid(), "results": results}), flush=True)
    os._exit(0)  # as Salt's own processes end: nothing of the interpreter is run at exit


if __name__ == "__main__":
    opts = salt.config.minion_config(sys.argv[1])
    minion = salt.minion.SMinion(opts)
    # Loaded before the fork, as a minion does; not connected.
    assert "zk_concurrency.lock" in minion.functions
    context = multiprocessing.get_context("fork")
    jobs = [
        context.Process(target=job, args=(minion, n, sys.argv[3])) for n in range(int(sys.argv[2]))
    ]
    for one in jobs:
        one.start()
    print(json.dumps({"pids": [one.pid for one in jobs]}), flush=True)
    for one in jobs:
        one.join()
