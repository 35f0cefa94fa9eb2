from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from netmgr.kube.errors import Status, Unavailable
from netmgr.kube.keyed_queue import KeyedQueue


async def working(
    queue: KeyedQueue[str], handler: Callable[[str], Awaitable[float | None]], scene: Awaitable[None], workers: int = 1
) -> None:
    task = asyncio.create_task(queue.run(handler, workers))
    try:
        async with asyncio.timeout(5):
            await scene
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_a_key_waits_once_and_urgent_keys_go_first() -> None:
    done: list[str] = []

    async def handle(key: str) -> None:
        done.append(key)

    async def scene() -> None:
        queue: KeyedQueue[str] = KeyedQueue("test")
        for key in ("a", "b", "a", "c"):
            queue.add(key)
        queue.add("c", urgent=True)
        await working(queue, handle, asyncio.sleep(0.02))

    asyncio.run(scene())
    assert done == ["c", "a", "b"]


def test_a_key_added_while_it_is_worked_on_is_worked_on_again_and_never_twice_at_a_time() -> None:
    under_way, most, done = 0, 0, 0

    async def scene() -> None:
        queue: KeyedQueue[str] = KeyedQueue("test")

        async def handle(key: str) -> None:
            nonlocal under_way, most, done
            under_way += 1
            most = max(most, under_way)
            if done == 0:
                queue.add(key)
            await asyncio.sleep(0.01)
            under_way -= 1
            done += 1

        queue.add("a")
        await working(queue, handle, asyncio.sleep(0.1), workers=4)

    asyncio.run(scene())
    assert (most, done) == (1, 2)


def test_a_failed_key_is_tried_again() -> None:
    attempts = 0

    async def scene() -> None:
        queue: KeyedQueue[str] = KeyedQueue("test", first=0.001)
        succeeded = asyncio.Event()

        async def handle(key: str) -> None:
            nonlocal attempts
            attempts += 1
            if attempts < 4:
                raise Unavailable("get /x", Status(code=503))
            succeeded.set()

        async def wait() -> None:
            await succeeded.wait()

        queue.add("a")
        await working(queue, handle, wait())

    asyncio.run(scene())
    assert attempts == 4


def test_a_handler_may_ask_for_another_turn() -> None:
    times: list[float] = []

    async def scene() -> None:
        queue: KeyedQueue[str] = KeyedQueue("test")
        second = asyncio.Event()

        async def handle(key: str) -> float | None:
            times.append(asyncio.get_running_loop().time())
            if len(times) == 2:
                second.set()
                return None
            return 0.05

        async def wait() -> None:
            await second.wait()

        queue.add("a")
        await working(queue, handle, wait())

    asyncio.run(scene())
    assert times[1] - times[0] >= 0.045


def test_draining_waits_for_the_handlers_under_way_and_starts_no_other() -> None:
    done: list[str] = []

    async def handle(key: str) -> None:
        await asyncio.sleep(0.03)
        done.append(key)

    async def scene() -> None:
        queue: KeyedQueue[str] = KeyedQueue("test")
        queue.add("a")
        queue.add("b")

        async def drain() -> None:
            await asyncio.sleep(0.01)
            await queue.drain()

        await working(queue, handle, drain())

    asyncio.run(scene())
    assert done == ["a"]


def test_keys_that_come_again_and_again_leave_everybody_else_a_turn() -> None:
    async def scene() -> None:
        queue: KeyedQueue[str] = KeyedQueue("test")

        async def handle(key: str) -> None:
            queue.add(key)

        queue.add("again")
        await working(queue, handle, asyncio.sleep(0.02))

    asyncio.run(scene())
