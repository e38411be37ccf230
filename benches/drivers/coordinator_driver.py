"""Does our package's part of the work that `stores.py` measures; see `measured.py` for the talk."""

from __future__ import annotations

import sys
import threading

from talk import BOUNDARY, Counter, answer_requests, divided, each

import coordinator


class Works:
    """The works of one client, by the names in which `stores.py` asks for them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = coordinator.connect(url)
        self.same = self.client.lock("/bench/python/again")

    def first(self, count: int) -> list[float]:
        """A free lock, by an object that never had it."""

        def cycle() -> None:
            lock = self.client.lock("/bench/python/first")
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
            semaphore = self.client.semaphore("/bench/python/semaphore", max_leases=4)
            semaphore.acquire()
            semaphore.release()

        return each(count, cycle)

    def lease(self, count: int) -> list[float]:
        """Renewals of a lease, by the object that obtained it."""
        lease = self.client.lease("/bench/python/lease", 3600)
        return each(count, lease.renew)

    def lease_anew(self, count: int) -> list[float]:
        """Renewals of a lease, each by an object of its own."""
        return each(count, lambda: self.client.lease("/bench/python/lease", 3600))

    def denied(self, count: int) -> list[float]:
        """Leases that another holds."""
        self.client.lease("/bench/python/denied", 3600, identifier="other")
        return each(count, lambda: self.client.lease("/bench/python/denied", 3600))

    def divide(self, number: int, items: int, members: int) -> list[float]:
        """Division of so many items among so many members; see `divided` in `talk.py`."""
        clients = [coordinator.connect(self.url) for _ in range(members + 1)]

        def join(member: int) -> coordinator.Partitioner:
            return clients[member].partitioner(
                f"/bench/python/divided-{number}",
                range(items),
                partition_func="sticky",
                identifier=str(member),
                time_boundary=BOUNDARY,
            )

        try:
            return divided(join, members)
        finally:
            for client in clients:
                client.close()

    def hand_overs(self, count: int, contenders: int) -> float:
        """Hand-overs of one lock per second; every contender is a thread with its own session."""
        clients = [coordinator.connect(self.url) for _ in range(contenders)]
        counter = Counter(count)
        threads = [threading.Thread(target=contend, args=(client, counter)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()
        return counter.rate()


def contend(client: coordinator.Client, counter: Counter) -> None:
    lock = client.lock("/bench/python/contended")
    more = True
    while more:
        lock.acquire()
        more = counter.grant()
        lock.release()


if __name__ == "__main__":
    answer_requests(Works(f"zookeeper://{sys.argv[1]}"))
