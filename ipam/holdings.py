"""Who holds which addresses, where no two hold the same: found by bisection, however many there are.

Not safe for several threads. One object serves one address family.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

Span = tuple[int, int]
"""First and last address, both included."""


class Holdings:
    """Disjoint spans with their holders' names, sorted by address."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int, str]] = []

    def add(self, name: str, spans: Iterable[Span]) -> None:
        """`name` holds these from now on; nobody else may hold any of them."""
        for first, last in spans:
            insort(self._spans, (first, last, name))

    def remove(self, spans: Iterable[Span]) -> None:
        """Nobody holds these any more; each is a span that was added as it is."""
        for first, last in spans:
            index = bisect_left(self._spans, (first, last))
            del self._spans[index]

    def sharing(self, spans: Iterable[Span]) -> Iterator[tuple[str, Span]]:
        """Who holds some of the addresses, and which of them; ascending within each span."""
        for first, last in spans:
            index = bisect_left(self._spans, (first,))
            if index and self._spans[index - 1][1] >= first:
                index -= 1
            while index < len(self._spans) and self._spans[index][0] <= last:
                start, end, name = self._spans[index]
                yield name, (max(first, start), min(last, end))
                index += 1
