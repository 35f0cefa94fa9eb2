"""Which declared ranges count: two concurrent creations can pass any admission, so each object is accepted or told why not.

Older objects win (creationTimestamp, then name). Nothing is allocated from a range that is not accepted. Pools are judged in
`ipam.accepted_pools`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ipam.errors import AddressError
from ipam.holdings import Holdings
from ipam.prefix import AddressFamily, AddressRange, Prefix, RangeSet, parse_address, parse_prefix, parse_range


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A SpiderSubnet or SpiderIPPool as its owner wrote it. `created` is RFC 3339, UTC."""

    name: str
    created: str
    subnet: str
    ips: tuple[str, ...] = ()
    exclude_ips: tuple[str, ...] = ()
    gateway: str = ""

    @property
    def age_order(self) -> tuple[str, str]:
        """Sort key: older first."""
        return (self.created, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """The verdict on one object: `ranges` may be allocated from; `reason` is a word, `message` a sentence with a remedy."""

    accepted: bool
    reason: str = "Accepted"
    message: str = ""
    prefix: Prefix | None = None
    ranges: RangeSet | None = None

    @property
    def size(self) -> int:
        """Number of addresses that may be allocated."""
        return self.ranges.size if self.ranges else 0


@dataclass(frozen=True, slots=True)
class Parsed:
    """A declared object, understood."""

    prefix: Prefix
    ranges: tuple[AddressRange, ...]
    excluded: RangeSet
    problems: tuple[str, ...] = field(default=())

    @property
    def addresses(self) -> RangeSet:
        """Ranges without the exclusions."""
        return RangeSet.of(self.prefix.family, self.ranges).subtract(self.excluded)


def understand(kind: str, one: Declared) -> Parsed | Acceptance:
    """Parse one object; an Acceptance that refuses if it cannot be understood."""
    try:
        prefix = parse_prefix(one.subnet)
        ranges = tuple(parse_range(text) for text in one.ips)
        excluded = RangeSet.parse(prefix.family, one.exclude_ips)
        for span in ranges:
            if span.family is not prefix.family or span.first < prefix.value or span.last > prefix.last:
                raise AddressError(f"range {span} is outside {prefix}; write ranges inside it")
        if one.gateway and parse_address(one.gateway) not in prefix:
            raise AddressError(f"gateway {one.gateway} is outside {prefix}; write an address inside it")
        if one.gateway:  # the router's own address is never a Pod's
            excluded = excluded.union(RangeSet.parse(prefix.family, (one.gateway,)))
    except AddressError as error:
        return Acceptance(accepted=False, reason="Invalid", message=f"{kind} {one.name}: {error}")
    return Parsed(prefix, ranges, excluded)


def accept_subnets(subnets: Iterable[Declared]) -> dict[str, Acceptance]:
    """Verdicts on SpiderSubnets: a prefix may not overlap that of an older accepted one."""
    verdicts: dict[str, Acceptance] = {}
    holders = {family: Holdings() for family in AddressFamily}
    for one in sorted(subnets, key=lambda subnet: subnet.age_order):
        parsed = understand("SpiderSubnet", one)
        if isinstance(parsed, Acceptance):
            verdicts[one.name] = parsed
            continue
        held = holders[parsed.prefix.family]
        other = next((name for name, _ in held.sharing([parsed.prefix.span])), None)
        if other is not None:
            message = (
                f"SpiderSubnet {one.name}: {one.subnet} overlaps SpiderSubnet {other}, which is older; "
                f"use a prefix outside it, or add the ranges to spec.ips of {other}"
            )
            verdicts[one.name] = Acceptance(accepted=False, reason="Overlap", message=message, prefix=parsed.prefix)
            continue
        held.add(one.name, [parsed.prefix.span])
        verdicts[one.name] = Acceptance(accepted=True, prefix=parsed.prefix, ranges=parsed.addresses)
    return verdicts
