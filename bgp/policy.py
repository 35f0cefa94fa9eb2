"""What one node announces, and to whom: frozen values, checked once at birth. Pure.

Nothing outside the pools is ever announced: the cover of the accepted ranges is the only thing that a rendered configuration
permits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bgp.errors import PolicyError
from ipam.prefix import Address, AddressFamily, Prefix, RangeSet

LARGEST_ASN = 4294967294
"""RFC 6793; 4294967295 is reserved (RFC 7300), as are 0 (RFC 7607) and 23456 (AS_TRANS)."""
RESERVED_ASNS = frozenset({0, 23456, 65535})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """Seconds: keepalive, hold (0 or 3 to 65535, RFC 4271 §4.2) and connect retry."""

    keepalive: int = 3
    hold: int = 9
    connect: int = 1

    def __post_init__(self) -> None:
        if self.hold != 0 and not 3 <= self.hold <= 65535:
            raise PolicyError(f"hold time {self.hold} is not 0 or 3 to 65535 seconds (RFC 4271); write one of those")
        if not 0 <= self.keepalive <= max(0, self.hold):
            raise PolicyError(f"keepalive {self.keepalive} is longer than the hold time {self.hold}; write a third of it")
        if not 1 <= self.connect <= 65535:
            raise PolicyError(f"connect retry {self.connect} is not 1 to 65535 seconds; write 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbor:
    """A router as one node sees it: `address` is resolved, `asn` and `local_asn` are four-octet numbers.

    `only` are the pools that go to it, where these are not all that the node announces.
    """

    name: str
    address: Address
    asn: int
    local_asn: int
    families: tuple[AddressFamily, ...]
    timers: Timers = Timers()
    graceful_restart: bool = True
    multihop: int | None = None
    import_pools: bool = False
    only: tuple[RangeSet, ...] | None = None

    def __post_init__(self) -> None:
        for what, number in (("asn", self.asn), ("localASN", self.local_asn)):
            if not 1 <= number <= LARGEST_ASN or number in RESERVED_ASNS:
                raise PolicyError(f"BGPNeighbor {self.name}: {what} {number} is reserved or out of range; use 1 to {LARGEST_ASN}")
        if not self.families:
            raise PolicyError(f"BGPNeighbor {self.name}: families is empty; name IPv4, IPv6 or both")
        if self.multihop is not None and not 1 <= self.multihop <= 255:
            raise PolicyError(f"BGPNeighbor {self.name}: ebgpMultihop {self.multihop} is not 1 to 255; write the hops in between")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePolicy:
    """Everything that a node's speaker is to do. `router_id` is an IPv4 address (RFC 4271 §4.2, RFC 6286)."""

    router_id: Address
    local_asn: int
    neighbors: tuple[Neighbor, ...]
    pools: tuple[RangeSet, ...]

    def __post_init__(self) -> None:
        if self.router_id.family is not AddressFamily.IPV4:
            raise PolicyError(f"router id {self.router_id} is not an IPv4 address; give the node one, or set it explicitly")
        for one in self.neighbors:
            if one.local_asn != self.local_asn:
                words = f"BGPNeighbor {one.name}: localASN {one.local_asn} differs from {self.local_asn} of the node's others"
                raise PolicyError(f"{words}; use one localASN for all neighbors of a node")

    def cover(self, family: AddressFamily) -> tuple[Prefix, ...]:
        """The minimal prefixes that hold exactly the pools' addresses of a family."""
        return cover(self.pools, family)


def cover(pools: Iterable[RangeSet], family: AddressFamily) -> tuple[Prefix, ...]:
    """The minimal prefixes that hold exactly these pools' addresses of a family."""
    union = RangeSet(family)
    for ranges in pools:
        if ranges.family is family:
            union = union.union(ranges)
    return union.cover()
