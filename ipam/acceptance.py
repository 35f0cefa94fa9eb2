"""Which declared ranges count: two concurrent creations can pass any admission, so each object is accepted or told why not.

Older objects win (creationTimestamp, then name). Ranges of a pool are accepted one by one: one that overlaps an older pool is
left out, the others count. Nothing is allocated from a range that is not accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ipam.errors import AddressError
from ipam.prefix import AddressRange, Prefix, RangeSet, parse_address, parse_prefix, parse_range


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
    holders: list[tuple[str, Prefix]] = []
    for one in sorted(subnets, key=lambda subnet: subnet.age_order):
        parsed = understand("SpiderSubnet", one)
        if isinstance(parsed, Acceptance):
            verdicts[one.name] = parsed
            continue
        other = next((name for name, prefix in holders if prefix.overlaps(parsed.prefix)), None)
        if other is not None:
            message = (
                f"SpiderSubnet {one.name}: {one.subnet} overlaps SpiderSubnet {other}, which is older; "
                f"use a prefix outside it, or add the ranges to spec.ips of {other}"
            )
            verdicts[one.name] = Acceptance(accepted=False, reason="Overlap", message=message, prefix=parsed.prefix)
            continue
        holders.append((one.name, parsed.prefix))
        verdicts[one.name] = Acceptance(accepted=True, prefix=parsed.prefix, ranges=parsed.addresses)
    return verdicts


def accept_pools(pools: Iterable[Declared], subnets: Mapping[str, Acceptance]) -> dict[str, Acceptance]:
    """Verdicts on SpiderIPPools: inside the accepted subnet of the same prefix, and apart from older pools."""
    verdicts: dict[str, Acceptance] = {}
    taken: list[tuple[str, RangeSet]] = []
    for one in sorted(pools, key=lambda pool: pool.age_order):
        parsed = understand("SpiderIPPool", one)
        verdict = parsed if isinstance(parsed, Acceptance) else accept_pool(one, parsed, subnets, taken)
        verdicts[one.name] = verdict
        if verdict.ranges is not None and verdict.ranges.spans:
            taken.append((one.name, verdict.ranges))
    return verdicts


def accept_pool(one: Declared, parsed: Parsed, subnets: Mapping[str, Acceptance], taken: list[tuple[str, RangeSet]]) -> Acceptance:
    """The verdict on one pool, given the older ones."""
    problems: list[str] = []
    for name, subnet in subnets.items():
        if not subnet.accepted or subnet.prefix is None or not subnet.prefix.overlaps(parsed.prefix):
            continue
        if subnet.prefix != parsed.prefix:
            problems.append(f"subnet {parsed.prefix} overlaps SpiderSubnet {name} ({subnet.prefix}); write {subnet.prefix}")
            return Acceptance(
                accepted=False,
                reason="Overlap",
                message=f"SpiderIPPool {one.name}: {problems[0]}",
                prefix=parsed.prefix,
            )
        outside = parsed.addresses.subtract(subnet.ranges or RangeSet(parsed.prefix.family))
        if outside.spans:
            problems.append(
                f"{', '.join(outside.texts())} is not in spec.ips of SpiderSubnet {name}; add it there or choose others"
            )
            parsed = Parsed(parsed.prefix, parsed.ranges, parsed.excluded.union(outside))
    addresses = parsed.addresses
    for name, ranges in taken:
        if ranges.family is addresses.family and (shared := addresses.intersect(ranges)).spans:
            problems.append(f"{', '.join(shared.texts())} belongs to SpiderIPPool {name}, which is older; choose others")
            addresses = addresses.subtract(shared)
    if not problems:
        return Acceptance(accepted=True, prefix=parsed.prefix, ranges=addresses)
    message = f"SpiderIPPool {one.name}: " + "; ".join(problems)
    reason = "PartlyAccepted" if addresses.spans else "Overlap"
    return Acceptance(accepted=bool(addresses.spans), reason=reason, message=message, prefix=parsed.prefix, ranges=addresses)
