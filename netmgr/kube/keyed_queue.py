"""Work by key: each key at most once in the queue and at most once under way, urgent keys first, failures later again.

I/O: none but the event loop's clock.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from netmgr.kube.errors import ApiError

K = TypeVar("K", bound=Hashable)
log = logging.getLogger(__name__)
FIRST_DELAY, LONGEST_DELAY = 0.02, 15.0


class KeyedQueue(Generic[K]):
    """A deduplicating queue with workers; `handle(key)` is level-triggered and may be called at any time."""

    def __init__(self, handle: Callable[[K], Awaitable[None]], *, workers: int = 16) -> None:
        """`workers` keys are handled at the same time."""
        self.handle = handle
        self.workers = workers
        self.ready: tuple[OrderedDict[K, None], OrderedDict[K, None]] = (OrderedDict(), OrderedDict())
        self.under_way: set[K] = set()
        self.again: set[K] = set()
        self.failures: dict[K, int] = {}
        self.timers: dict[K, asyncio.TimerHandle] = {}
        self.wake = asyncio.Semaphore(0)
        self.closing = False

    def __len__(self) -> int:
        return len(self.ready[0]) + len(self.ready[1]) + len(self.under_way)

    def add(self, key: K, *, urgent: bool = False) -> None:
        """Handle the key as soon as a worker is free; a key under way is handled once more afterwards."""
        if key in self.under_way:
            self.again.add(key)
            return
        lane = self.ready[0 if urgent else 1]
        if key in self.ready[0] or key in self.ready[1]:
            return
        lane[key] = None
        self.wake.release()

    def add_later(self, key: K, delay: float) -> None:
        """Handle the key after `delay` seconds, or earlier if it was to be handled earlier."""
        loop = asyncio.get_running_loop()
        pending = self.timers.get(key)
        if pending is not None and pending.when() <= loop.time() + delay:
            return
        if pending is not None:
            pending.cancel()
        self.timers[key] = loop.call_later(delay, self.due, key)

    def due(self, key: K) -> None:
        """A timer ran out."""
        self.timers.pop(key, None)
        self.add(key)

    async def run(self) -> None:
        """Workers until `close`."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.workers):
                group.create_task(self.work())

    async def close(self) -> None:
        """Take no more keys; what is under way is finished by `run`."""
        self.closing = True
        for _ in range(self.workers):
            self.wake.release()

    async def work(self) -> None:
        """One worker."""
        while True:
            await self.wake.acquire()
            if self.closing:
                return
            key = self.next()
            if key is None:
                continue
            self.under_way.add(key)
            try:
                await self.handle(key)
                self.failures.pop(key, None)
            except ApiError as error:
                self.fail(key, error)
            except Exception:
                log.exception("handler failed", extra={"key": str(key)})
                self.fail(key, None)
            finally:
                self.under_way.discard(key)
                if key in self.again:
                    self.again.discard(key)
                    self.add(key)

    def next(self) -> K | None:
        """The oldest urgent key, else the oldest."""
        for lane in self.ready:
            if lane:
                return lane.popitem(last=False)[0]
        return None

    def fail(self, key: K, error: ApiError | None) -> None:
        """Once more after a growing, jittered delay."""
        count = self.failures.get(key, 0)
        self.failures[key] = count + 1
        delay = min(FIRST_DELAY * 2**count, LONGEST_DELAY) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        if error is not None:
            log.info("handler retries", extra={"key": str(key), "error": str(error), "delay": delay})
        self.add_later(key, delay)
