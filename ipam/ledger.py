"""Which addresses of one pool are free, in the order in which they are given out.

Never-used addresses first, lowest first; released ones last, in the order of their release, so that stale neighbours,
connections and firewall sessions die first. Nothing is materialised: a pool of 2**64 addresses costs as much as one of eight.
"""

from __future__ import annotations

from collections import OrderedDict

from ipam.prefix import RangeSet


class PoolLedger:
    """Free and held addresses of one pool; single-threaded, no I/O. Held addresses may lie outside after a shrink."""

    def __init__(self, addresses: RangeSet) -> None:
        """All of `addresses` are free and never used."""
        self.addresses = addresses
        self.held: set[int] = set()
        self.released: OrderedDict[int, None] = OrderedDict()
        self.recycled: set[int] = set()
        self.cursor = 0
        self._size, self._held_inside = addresses.size, 0

    @property
    def free(self) -> int:
        """Number of addresses that `take` can still give."""
        return self._size - self._held_inside

    def take(self) -> int | None:
        """The next free address, now held; nothing if the pool is full."""
        value = self.next_unused()
        if value is not None:
            self.hold(value)
            return value
        value = next((old for old in self.released if old in self.addresses), None)
        if value is None:
            return None
        self.hold(value)
        self.recycled.add(value)
        return value

    def next_unused(self) -> int | None:
        """The lowest address at or behind the cursor that was never used."""
        for first, last in self.addresses.spans:
            value = max(first, self.cursor)
            while value <= last:
                if value not in self.held and value not in self.released:
                    self.cursor = value
                    return value
                value += 1
        if self.addresses.spans:
            self.cursor = self.addresses.spans[-1][1] + 1
        return None

    def hold(self, value: int) -> None:
        """Somebody has the address (seen in the API, or just taken)."""
        if value not in self.held:
            self.held.add(value)
            self._held_inside += value in self.addresses
        self.released.pop(value, None)

    def release(self, value: int) -> None:
        """The address is free again; it will be given out last."""
        if self._drop(value):
            self.released[value] = None

    def give_back(self, value: int) -> None:
        """A take that came to nothing: the address is again what it was, never used or the first of the released."""
        was_recycled = value in self.recycled
        if not self._drop(value):
            return
        if was_recycled:
            self.released[value] = None
            self.released.move_to_end(value, last=False)
        else:
            self.cursor = min(self.cursor, value)

    def resize(self, addresses: RangeSet) -> None:
        """The pool has other ranges now; who holds what does not change."""
        self.addresses = addresses
        self.cursor = 0
        self._size, self._held_inside = addresses.size, sum(1 for value in self.held if value in addresses)

    def _drop(self, value: int) -> bool:
        """Nobody holds the address any more; False if nobody did."""
        if value not in self.held:
            return False
        self.held.discard(value)
        self.recycled.discard(value)
        self._held_inside -= value in self.addresses
        return True
