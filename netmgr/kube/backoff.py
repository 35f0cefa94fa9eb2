"""Waiting times that double up to a bound, with jitter, so that a thousand clients do not come back together."""

from __future__ import annotations

import random


class Backoff:
    """`next()` gives seconds: half to whole of `first` doubled with each call, bounded by `longest`."""

    def __init__(self, first: float, longest: float) -> None:
        self.first, self.longest = first, longest
        self.failures = 0

    def next(self) -> float:
        """The next waiting time in seconds."""
        bound: float = min(self.longest, self.first * 2.0 ** float(min(self.failures, 32)))
        self.failures += 1
        return bound * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret

    def reset(self) -> None:
        """Begin anew after a success."""
        self.failures = 0
