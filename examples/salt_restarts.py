"""Four masterless Salt minions of this host restart a service, never more than two at once.

Run it with `.venv/bin/python examples/salt_restarts.py` after `make setup zookeeper salt`. It
starts a real ZooKeeper, writes each minion its states, and runs `salt-call --local state.apply`
on all four at the same time. The service only pretends to restart; how long it takes, and when,
is what you see.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "tests" / kind) for kind in ("salt", "zookeeper")]

from salt_minion import RELEASES, Minion, returned, states  # noqa: E402
from zookeeper_server import ZooKeeperServer  # noqa: E402

STATES = """
trafficserver_in_turn:
  zk_concurrency.run:
    - name: /trafficserver
    - zk_hosts: {hosts}
    - max_concurrency: {at_most}
    - timeout: 120
    - states:
        {target}:
          file.managed:
            - source: salt://records.config
        trafficserver:
          service.running:
            - watch:
              - file: {target}
"""


def prepared(directory: Path, number: int, hosts: str, options: argparse.Namespace) -> Minion:
    minion = Minion(
        options.salt,
        directory / f"web{number}",
        hosts,
        name=f"web{number}",
        service={"takes": options.takes},
    )
    minion.write("records.config", "CONFIG proxy.config.http.server_ports STRING 80\n")
    target = minion.directory / "records.config"
    (minion.states / "top.sls").write_text("base: {'*': [trafficserver]}\n")
    (minion.states / "trafficserver.sls").write_text(
        STATES.format(hosts=hosts, at_most=options.at_most, target=target)
    )
    return minion


def show(minions: list[Minion], began: float) -> int:
    """Draw who restarted when; the most that did at once."""
    events = sorted(
        (line["at"], line["event"], line["minion"]) for one in minions for line in one.journaled()
    )
    busy: set[str] = set()
    most = 0
    for at, event, minion in events:
        (busy.add if event == "begin" else busy.discard)(minion)
        most = max(most, len(busy))
        row = "  ".join(
            f"{one.name} {'restarting' if one.name in busy else '.':<10}" for one in minions
        )
        print(f"{at - began:6.2f} s  {row}  {len(busy)} at once")
    return most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minions", type=int, default=4)
    parser.add_argument("--at-most", type=int, default=2)
    parser.add_argument("--takes", type=float, default=1.0, help="seconds of a restart")
    parser.add_argument("--salt", choices=RELEASES, default=RELEASES[-1])
    options = parser.parse_args()
    with ZooKeeperServer() as server, tempfile.TemporaryDirectory() as directory:
        minions = [
            prepared(Path(directory), number, server.hosts, options)
            for number in range(1, options.minions + 1)
        ]
        began = time.monotonic()
        jobs = [minion.start("state.apply") for minion in minions]
        results = [states(returned(*job.communicate())) for job in jobs]
        most = show(minions, began)
        left = minions[0].call("zk_concurrency.lock_holders", "/trafficserver")
    failed = [
        state.comment for ran in results for state in ran.values() if state.result is not True
    ]
    held = ", ".join(left) or "nobody"
    print(f"{len(results)} minions restarted, at most {most} at once; still held by {held}")
    for comment in failed:
        print(f"failed: {comment}")
    return 1 if failed or left or most > options.at_most else 0


if __name__ == "__main__":
    sys.exit(main())
