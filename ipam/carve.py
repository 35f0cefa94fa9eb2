"""Carving ranges for pools out of a subnet: aligned, contiguous, with room to grow; grown in place, shrunk from the tail.

An address that a pool holds never moves while the pool lives. A new pool is placed at the start of a free aligned block
twice its size, outside the blocks that other pools may still grow into; where the subnet has none, in a block of its size, then
inside others' room to grow, then in any contiguous range, then in whatever is free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ipam.prefix import RangeSet, merge


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetBook:
    """Addresses of a subnet (exclusions taken off) and the ranges that each pool has of it."""

    name: str
    addresses: RangeSet
    pools: Mapping[str, RangeSet]

    def free(self) -> RangeSet:
        """Addresses that no pool has."""
        taken = merge(span for ranges in self.pools.values() for span in ranges.spans)
        return self.addresses.subtract(RangeSet(self.addresses.family, taken))


@dataclass(frozen=True, slots=True)
class Carved:
    """The ranges that the pool shall have; `pending` addresses too many are still held and leave later."""

    ranges: RangeSet
    pending: int = 0


@dataclass(frozen=True, slots=True)
class CarveShortage:
    """The subnet has not enough free addresses; nothing is carved."""

    subnet: str
    wanted: int
    free: int

    def __str__(self) -> str:
        return (
            f"SpiderSubnet {self.subnet} has {self.free} free addresses, {self.wanted} more are needed; "
            f"add ranges to its spec.ips, lower ipam.spidernet.io/ippool-ip-number, or delete pools of it"
        )


def plan_carve(book: SubnetBook, pool: str, size: int, in_use: frozenset[int]) -> Carved | CarveShortage:
    """Ranges for a pool of `size` addresses; `in_use` are those that Pods hold and that cannot be taken away."""
    have = book.pools.get(pool, RangeSet(book.addresses.family))
    if size <= have.size:
        return shrink(have, size, in_use)
    free = book.free()
    missing = size - have.size
    if missing > free.size:
        return CarveShortage(book.name, missing, free.size)
    apart = free.subtract(room_of_others(book, pool))
    if not have.spans:
        return Carved(place(free, apart, size))
    return Carved(have.union(extend(have, free, apart, missing)))


def room_of_others(book: SubnetBook, pool: str) -> RangeSet:
    """The blocks that the other pools grow into: twice the size of each span that begins where `place` would have put it."""
    rooms = []
    for name, ranges in book.pools.items():
        for first, last in ranges.spans if name != pool else ():
            room = 2 * block_of(last - first + 1)
            if first % room == 0:
                rooms.append((first, first + room - 1))
    return RangeSet(book.addresses.family, merge(rooms))


def block_of(size: int) -> int:
    """The power of two that holds `size` addresses."""
    return 1 << (size - 1).bit_length()


def shrink(have: RangeSet, size: int, in_use: frozenset[int]) -> Carved:
    """Without addresses from the tail, as long as the tail is free. Costs as much as `in_use`, not as the pool."""
    highest = max((value for value in in_use if value in have), default=-1)
    spans = list(have.spans)
    surplus = have.size - size
    while surplus and spans and spans[-1][1] > highest:
        first, last = spans.pop()
        keep = max(first, highest + 1, last - surplus + 1)
        surplus -= last - keep + 1
        if keep > first:
            spans.append((first, keep - 1))
    return Carved(RangeSet(have.family, tuple(spans)), pending=surplus)


def extend(have: RangeSet, free: RangeSet, apart: RangeSet, missing: int) -> RangeSet:
    """Addresses right behind the pool's last one if they are free, then the rest placed anew."""
    end = have.spans[-1][1]
    following = next(((first, last) for first, last in free.spans if first == end + 1), None)
    taken = 0 if following is None else min(missing, following[1] - following[0] + 1)
    behind = RangeSet(have.family, ((end + 1, end + taken),) if taken else ())
    if taken == missing:
        return behind
    return behind.union(place(free.subtract(behind), apart.subtract(behind), missing - taken))


def place(free: RangeSet, apart: RangeSet, size: int) -> RangeSet:
    """The best free range of `size` addresses, which `free` must hold; `apart` is its part outside others' room to grow."""
    block = block_of(size)
    for source, room in ((apart, 2 * block), (apart, block), (free, 2 * block), (free, block)):
        for first, last in source.spans:
            start = -(-first // room) * room
            if start + room - 1 <= last:
                return RangeSet(free.family, ((start, start + size - 1),))
    for first, last in free.spans:
        if last - first + 1 >= size:
            return RangeSet(free.family, ((first, first + size - 1),))
    return scattered(free, size)


def scattered(free: RangeSet, size: int) -> RangeSet:
    """The largest free ranges first, so that few prefixes result."""
    taken: list[tuple[int, int]] = []
    left = size
    for first, last in sorted(free.spans, key=lambda span: (span[0] - span[1], span[0])):
        count = min(left, last - first + 1)
        taken.append((first, first + count - 1))
        left -= count
        if not left:
            break
    return RangeSet(free.family, tuple(sorted(taken)))
