"""Bound Pods without all their addresses, and what each of them waits for. No I/O.

An event must not cost as much as there are Pods that wait for something else: a Pod names what could help it (a pool, its
application's pools), and is looked at when that has changed. A Pod that names nothing is looked at with every event.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

ANYTHING = ""


def for_pool(name: str) -> str:
    """An address of a pool, or another spec of it."""
    return f"pool/{name}"


def for_application(book_key: str) -> str:
    """The pools of an application, or what is told about them."""
    return f"application/{book_key}"


class Waiting:
    """`reasons` by the Pod's key: the word that the Pod was told, empty until it was told one."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self._hopes: dict[str, tuple[str, ...]] = {}
        self._by_hope: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def __contains__(self, key: object) -> bool:
        return key in self.reasons

    def __iter__(self) -> Iterator[str]:
        return iter(self.reasons)

    def __len__(self) -> int:
        return len(self.reasons)

    def put(self, key: str, reason: str = "", hopes: Iterable[str] = ()) -> None:
        """A Pod waits; `hopes` are made by `for_pool` and `for_application`."""
        self._drop(key)
        self.reasons[key] = reason
        self._hopes[key] = tuple(hopes) or (ANYTHING,)
        for hope in self._hopes[key]:
            self._by_hope[hope][key] = None

    def end(self, key: str) -> None:
        """It has its addresses, or needs none."""
        self._drop(key)
        self.reasons.pop(key, None)

    def concerned(self, *hopes: str) -> list[str]:
        """Who waits for one of these, in the order in which they came, and who waits for anything."""
        found: dict[str, None] = {}
        for hope in (*hopes, ANYTHING):
            found |= self._by_hope.get(hope, {})
        return list(found)

    def hoping(self, hope: str) -> list[str]:
        """Who waits for this very thing."""
        return list(self._by_hope.get(hope, ()))

    def _drop(self, key: str) -> None:
        for hope in self._hopes.pop(key, ()):
            self._by_hope[hope].pop(key, None)
            if not self._by_hope[hope]:
                del self._by_hope[hope]
