"""Does kazoo's part of the work that `stores.py` measures; see `measured.py` for the talk."""

from __future__ import annotations

import sys
import threading
from datetime import timedelta

from kazoo.client import KazooClient
from kazoo.recipe.partitioner import SetPartitioner
from talk import BOUNDARY, Counter, answer_requests, divided, each


class Works:
    """The works of one client, by the names in which `stores.py` asks for them."""

    def __init__(self, hosts: str) -> None:
        self.hosts = hosts
        self.client = started(hosts)
        self.client.ensure_path("/bench/kazoo/first")
        self.client.ensure_path("/bench/kazoo/again")
        self.same = self.client.Lock("/bench/kazoo/again")

    def first(self, count: int) -> list[float]:
        """A free lock, by an object that never had it."""

        def cycle() -> None:
            lock = self.client.Lock("/bench/kazoo/first")
            lock.acquire()
            lock.release()

        return each(count, cycle)

    def again(self, count: int) -> list[float]:
        """A free lock, by the object that had it last."""

        def cycle() -> None:
            self.same.acquire()
            self.same.release()

        return each(count, cycle)

    def semaphore(self, count: int) -> list[float]:
        """A free semaphore, by an object that never had it."""

        def cycle() -> None:
            semaphore = self.client.Semaphore("/bench/kazoo/semaphore", max_leases=4)
            semaphore.acquire()
            semaphore.release()

        return each(count, cycle)

    def lease(self, count: int) -> list[float]:
        """Renewals of a lease, which takes an object of its own each time."""
        hour = timedelta(hours=1)
        return each(count, lambda: self.client.NonBlockingLease("/bench/kazoo/lease", hour))

    lease_anew = lease

    def denied(self, count: int) -> list[float]:
        """Leases that another holds."""
        hour = timedelta(hours=1)
        self.client.NonBlockingLease("/bench/kazoo/denied", hour, identifier="other")
        return each(count, lambda: self.client.NonBlockingLease("/bench/kazoo/denied", hour))

    def divide(self, number: int, items: int, members: int) -> list[float]:
        """Division of so many items among so many members; see `divided` in `talk.py`."""
        clients = [started(self.hosts) for _ in range(members + 1)]

        def join(member: int) -> SetPartitioner:
            return clients[member].SetPartitioner(
                f"/bench/kazoo/divided-{number}",
                set(range(items)),
                identifier=str(member),
                time_boundary=BOUNDARY,
            )

        try:
            return divided(join, members)
        finally:
            for client in clients:
                client.stop()
                client.close()

    def hand_overs(self, count: int, contenders: int) -> float:
        """Hand-overs of one lock per second; every contender is a thread with its own session."""
        clients = [started(self.hosts) for _ in range(contenders)]
        self.client.ensure_path("/bench/kazoo/contended")
        counter = Counter(count)
        threads = [threading.Thread(target=contend, args=(client, counter)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            client.stop()
            client.close()
        return counter.rate()


def contend(client: KazooClient, counter: Counter) -> None:
    lock = client.Lock("/bench/kazoo/contended")
    more = True
    while more:
        lock.acquire()
        more = counter.grant()
        lock.release()


def started(hosts: str) -> KazooClient:
    client = KazooClient(hosts=hosts)
    client.start(timeout=30)
    return client


if __name__ == "__main__":
    answer_requests(Works(sys.argv[1]))
