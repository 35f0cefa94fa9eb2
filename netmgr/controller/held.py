"""Allocations by what is asked about them: pool, Pod, node, an ordinal's claim and its owner. No I/O.

`put` and `drop` follow the watch. Whoever reads an index gets a mapping by allocation name, empty where there is none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from typing import Any

from ipam.prefix import AddressFamily
from netmgr.api.allocation import IPAllocation
from netmgr.controller import codec

Claim = tuple[str, int, str, AddressFamily]
"""What an ordinal's address belongs to: the owner's UID, the ordinal, interface and family."""

Index = defaultdict[Any, dict[str, IPAllocation]]


class Held:
    """The indexes of all allocations in the copy."""

    def __init__(self) -> None:
        self.by_pool: defaultdict[str, dict[str, IPAllocation]] = defaultdict(dict)
        self.by_pod: defaultdict[str, dict[str, IPAllocation]] = defaultdict(dict)
        self.by_node: defaultdict[str, dict[str, IPAllocation]] = defaultdict(dict)
        self.by_claim: defaultdict[Claim, dict[str, IPAllocation]] = defaultdict(dict)
        self.by_owner: defaultdict[str, dict[str, IPAllocation]] = defaultdict(dict)

    def put(self, one: IPAllocation) -> None:
        """An allocation is there."""
        for index, key in self._places(one):
            index[key][one.metadata.name] = one

    def drop(self, one: IPAllocation) -> None:
        """It is not, or not as it was."""
        for index, key in self._places(one):
            drop(index, key, one.metadata.name)

    def _places(self, one: IPAllocation) -> Iterator[tuple[Index, object]]:
        spec = one.spec
        yield self.by_pool, spec.pool
        yield self.by_pod, spec.pod.uid
        yield self.by_node, spec.node_name
        if (claim := codec.claim_of(one)) is not None:
            yield self.by_claim, claim
            yield self.by_owner, claim[0]


def is_partial(held: Collection[IPAllocation]) -> bool:
    """Whether an interface lacks the address of a family, of all that one Pod holds."""
    found = {(one.spec.interface, codec.family_of(one.spec.address)) for one in held}
    count = Counter(interface for interface, _ in found)
    return any(count[one.spec.interface] < one.spec.siblings for one in held)


def drop(index: dict[Any, dict[str, Any]], key: object, name: str) -> None:
    """Take a name out of an index, and the key with its last one."""
    if key in index:
        index[key].pop(name, None)
        if not index[key]:
            del index[key]
