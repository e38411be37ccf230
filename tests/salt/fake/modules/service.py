"""A service that only pretends, for the real ``service`` state: it journals who held the lock."""

import json
import time
from pathlib import Path


def _note(name, event):
    options = __opts__["fake_service"]
    line = {"event": event, "minion": __opts__["id"], "at": time.monotonic()}
    path = options.get("lock")
    if path:
        line["holders"] = sorted(__salt__["zk_concurrency.lock_holders"](path))
    with Path(options["journal"]).open("a") as journal:
        journal.write(json.dumps(line) + "\n")


def available(name):
    return True


def missing(name):
    return False


def get_all():
    return ["trafficserver"]


def status(name, sig=None):
    return True


def enabled(name, **kwargs):
    return True


def _act(name):
    directory = Path(__opts__["fake_service"]["directory"])
    _note(name, "begin")
    deadline = time.monotonic() + 60
    while (directory / "slow").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(__opts__["fake_service"].get("takes", 0))
    _note(name, "end")
    return not (directory / "broken").exists()


def start(name, **kwargs):
    return _act(name)


def stop(name, **kwargs):
    return True


def restart(name, **kwargs):
    return _act(name)


def reload(name, **kwargs):
    return _act(name)
