"""Wait on a condition with a deadline; on failure say what was seen last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], until: Callable[[T], bool], *, within: float = 60.0, what: str = "") -> T:
    """Call `look` until `until(seen)` holds and return what was seen; AssertionError with the last state after that."""
    end = time.monotonic() + within
    while True:
        seen = look()
        if until(seen):
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"{what or look}: not within {within:g} s; last seen: {seen!r}")
        time.sleep(0.1)
