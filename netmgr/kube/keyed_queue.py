"""Work to be done, by key: a key waits at most once, is never worked on twice at a time, and is tried again after failures.

A key that is added while it is being worked on is worked on again afterwards. Urgent keys go first. The clock is the
event loop's; what is to be done with a key is the handler's business.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from netmgr.kube.backoff import Backoff
from netmgr.kube.errors import ApiError, LeaseLost

log = logging.getLogger(__name__)
K = TypeVar("K", bound=Hashable)
TURN = 64
"""Keys after which the event loop has its turn: handlers that wait for nothing would keep watches and the Lease from theirs."""

Handler = Callable[[K], Awaitable[float | None]]
"""Works on one key; gives the seconds after which the key is to come back, or None. An exception means: try again."""


class KeyedQueue(Generic[K]):
    """`add`, `add_after` from anywhere in the event loop; `run(handler, workers)` as a task; `drain()` before the end."""

    def __init__(self, name: str, *, first: float = 0.05, longest: float = 30.0) -> None:
        self.name = name
        self.retries = self._handled = 0
        self._first, self._longest = first, longest
        self._urgent: deque[K] = deque()
        self._normal: deque[K] = deque()
        self._waiting: dict[K, bool] = {}
        self._working: set[K] = set()
        self._again: dict[K, bool] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._backoffs: dict[K, Backoff] = {}
        self._sleepers: deque[asyncio.Future[None]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def __len__(self) -> int:
        """Keys waiting or being worked on, without delayed ones."""
        return len(self._waiting) + len(self._working)

    def keys(self) -> list[K]:
        """Keys waiting or being worked on, without delayed ones."""
        return [*self._waiting, *self._working]

    def add(self, key: K, *, urgent: bool = False) -> None:
        """Have the key worked on soon; a delayed add of the same key is thereby done."""
        self._cancel_timer(key)
        if key in self._working:
            self._again[key] = urgent or self._again.get(key, False)
            return
        if key in self._waiting:
            if urgent and not self._waiting[key]:
                self._waiting[key] = True
                self._urgent.append(key)
                self._rouse()
            return
        self._waiting[key] = urgent
        (self._urgent if urgent else self._normal).append(key)
        self._rouse()

    def add_after(self, key: K, seconds: float) -> None:
        """Have the key worked on in that many seconds, unless it comes earlier by another way."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_later(seconds, self.add, key)

    async def run(self, handler: Handler[K], workers: int = 1) -> None:
        """Work until cancelled; at most `workers` keys at a time."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work(handler))

    async def drain(self) -> None:
        """Take up no further key, and wait until the handlers under way have ended."""
        self._closed = True
        for key in list(self._timers):
            self._cancel_timer(key)
        await self._idle.wait()

    async def _work(self, handler: Handler[K]) -> None:
        while True:
            key = await self._take()
            try:
                after = await self._handle(key, handler)
            finally:
                self._done(key)
            if after is not None:
                self.add_after(key, after)
            self._handled += 1
            if self._handled % TURN == 0:
                await asyncio.sleep(0)

    async def _handle(self, key: K, handler: Handler[K]) -> float | None:
        """Seconds until the key's next turn; None where it has none."""
        try:
            after = await handler(key)
        except LeaseLost:
            raise
        except ApiError as error:
            log.warning("retry queue=%s key=%s error=%s", self.name, key, error)
        except Exception:
            log.exception("handler_failed queue=%s key=%s", self.name, key)
        else:
            self._backoffs.pop(key, None)
            return after
        self.retries += 1
        return self._backoffs.setdefault(key, Backoff(self._first, self._longest)).next()

    async def _take(self) -> K:
        while True:
            while not self._closed and (self._urgent or self._normal):
                lane = self._urgent or self._normal
                key = lane.popleft()
                if self._waiting.get(key) == (lane is self._urgent):
                    del self._waiting[key]
                    self._working.add(key)
                    self._idle.clear()
                    return key
            await self._sleep()

    async def _sleep(self) -> None:
        """Until there may be a key for this worker. One that is cancelled after it was roused passes that on."""
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        try:
            await sleeper
        except asyncio.CancelledError:
            if sleeper.done() and not sleeper.cancelled():
                self._rouse()
            raise

    def _rouse(self) -> None:
        """One worker for one key: were all of them woken, most would find nothing."""
        while self._sleepers:
            sleeper = self._sleepers.popleft()
            if not sleeper.done():
                sleeper.set_result(None)
                return

    def _done(self, key: K) -> None:
        self._working.discard(key)
        if not self._working:
            self._idle.set()
        if key in self._again:
            self.add(key, urgent=self._again.pop(key))

    def _cancel_timer(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
