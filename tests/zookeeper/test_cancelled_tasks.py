"""Tasks that are cancelled while they wait: they leave the queue, wherever it hits them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from coordinator import aio
from waiting import BOUND
from zookeeper_server import Point, Proxy
from zookeeper_server.fixtures import Chroot, MakeKazoo

RECIPES: dict[str, Callable[[Any], Any]] = {
    "lock": lambda client: client.lock("/path"),
    "write lock": lambda client: client.write_lock("/path"),
    "semaphore": lambda client: client.semaphore("/path", max_leases=1),
}


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, f"not within {BOUND} s"
        await asyncio.sleep(0.005)


def entries(look: Any) -> list[str]:
    """Everything that is in the queue or holds, of whatever recipe."""
    found = []
    for directory in ("/path", "/path-__lock__"):
        if look.exists(directory):
            found += look.get_children(directory)
    return found


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("point", Point, ids=lambda point: point.name.lower())
def test_cancelled_at_each_request(
    zookeeper: Chroot, proxy: Proxy, kazoo: MakeKazoo, recipe: Callable[[Any], Any], point: Point
) -> None:
    look = kazoo()

    async def cancel_at(client: Any, number: int) -> bool:
        """Cancel while that request is held up; whether there was one."""
        proxy.forget()
        fault = proxy.hold(point, skip=number)
        task = asyncio.ensure_future(recipe(client).acquire())
        await until(lambda: fault.struck.is_set() or task.done())
        if task.done():
            fault.release()
            await task.result().release()
            return False
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        fault.release()
        await until(lambda: entries(look) == [])
        return True

    async def main() -> int:
        url = zookeeper.through(proxy).url
        async with await aio.connect(url) as client:
            number = 0
            while await cancel_at(client, number):
                number += 1
            return number

    assert asyncio.run(main()) >= 1
