"""An event loop whose clock stands still while there is work and jumps to the next timer when there is none.

Minutes of back-off, heartbeats and cooldowns pass in milliseconds, and the same input gives the same order of events.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

T = TypeVar("T")
BUSY = 20_000


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual. Threads are waited for, so that they cost no virtual time."""

    def __init__(self) -> None:
        self.jumps = Jumping()
        super().__init__(self.jumps)
        self.executor = Awaited(1)
        self.set_default_executor(self.executor)

    def time(self) -> float:
        """Seconds that have passed on this loop."""
        return self.jumps.now


class Jumping(selectors.DefaultSelector):
    """Never waits: where no file is ready, the time-out has passed."""

    now = 1000.0
    looks, since = 0, 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; else the time-out is over at once."""
        ready = super().select(0)
        self.looks += 1
        if self.now - self.since >= 1.0:
            self.looks, self.since = 0, self.now
        if self.looks > BUSY:
            self.looks = 0
            raise RuntimeError(f"more than {BUSY} turns of the loop in a second: somebody is busy with nothing")
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("nothing can happen any more: everything waits, and no timer runs")
        self.now += timeout
        return []


class Awaited(ThreadPoolExecutor):
    """Runs in a real thread, and gives the result when it is there."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """A finished future."""
        future = super().submit(fn, *args, **kwargs)
        wait([future])
        return future
