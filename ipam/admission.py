"""What is refused before it is stored: mistakes that show only when several objects are compared.

The rules are those of `ipam.acceptance`, asked earlier: the controller would not accept the range, here its author learns it at
once. Only what a change adds or drops is judged, so that an object with an old fault can still be edited, and mended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ipam.acceptance import Acceptance, Declared, Parsed, understand
from ipam.accepted_pools import accept_pools
from ipam.prefix import Address, Prefix, RangeSet

FIRST, LAST = "0", "9"
"""Ages that come before and after each creationTimestamp."""
NAMED = 5
"""So many addresses or pools a message lists."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One address in use, and by whom: `namespace/name` of the Pod."""

    value: int
    holder: str


def subnet_problems(
    new: Declared, old: Declared | None, subnets: Mapping[str, Acceptance], pools: Mapping[str, Acceptance]
) -> list[str]:
    """Why a SpiderSubnet is refused; `old` is None for a creation. The verdicts are those of all other objects."""
    parsed = understand("SpiderSubnet", new)
    if isinstance(parsed, Acceptance):
        return [parsed.message]
    before = parsed_or_none("SpiderSubnet", old)
    problems = [*gateway_problems(new, parsed)]
    if before is None:
        problems += overlaps(new, parsed.prefix, subnets)
    return [f"SpiderSubnet {new.name}: {text}" for text in (*problems, *lost_by_pools(parsed, before, pools))]


def pool_problems(
    new: Declared,
    old: Declared | None,
    subnets: Mapping[str, Acceptance],
    others: Mapping[str, Acceptance],
    held: Iterable[Holding],
) -> list[str]:
    """Why a SpiderIPPool is refused; `held` are its addresses in use, `others` the verdicts on all other pools."""
    parsed = understand("SpiderIPPool", new)
    if isinstance(parsed, Acceptance):
        return [parsed.message]
    before = parsed_or_none("SpiderIPPool", old)
    problems = [f"SpiderIPPool {new.name}: {text}" for text in gateway_problems(new, parsed)]
    verdict = judged_on_what_is_new(new, parsed, before, subnets, others)
    if verdict.message:
        problems.append(verdict.message)
    if before is not None and (dropped := in_use(before.addresses.subtract(parsed.addresses), held)):
        words = "in use and would be dropped; keep them in ips and out of excludeIPs until their Pods have ended"
        problems.append(f"SpiderIPPool {new.name}: {dropped}: {words}")
    return problems


def judged_on_what_is_new(
    new: Declared, parsed: Parsed, before: Parsed | None, subnets: Mapping[str, Acceptance], others: Mapping[str, Acceptance]
) -> Acceptance:
    """The controller's verdict on the addresses that were not the pool's before: whoever has them now had them first."""
    added = parsed.addresses.subtract(before.addresses) if before is not None else parsed.addresses
    if before is not None and not added.spans:
        return Acceptance(accepted=True)
    have = [
        Declared(name=name, created=FIRST, subnet=str(one.prefix), ips=tuple(one.ranges.texts()))
        for name, one in others.items()
        if one.ranges is not None and one.ranges.family is added.family and share(one.ranges, added)
    ]
    asked = Declared(name=new.name, created=LAST, subnet=new.subnet, ips=tuple(added.texts()))
    return accept_pools([*have, asked], {name: one for name, one in subnets.items() if near(one, parsed.prefix)})[new.name]


def share(one: RangeSet, other: RangeSet) -> bool:
    """Whether two sets of one family have an address in common."""
    return any(first <= last_there and first_there <= last for first, last in one.spans for first_there, last_there in other.spans)


def near(one: Acceptance, prefix: Prefix) -> bool:
    """Whether an object may share addresses with a prefix."""
    return one.prefix is not None and one.prefix.overlaps(prefix)


def parsed_or_none(kind: str, one: Declared | None) -> Parsed | None:
    """What was declared before; nothing where there was nothing, or nothing that could be understood."""
    parsed = understand(kind, one) if one is not None else None
    return parsed if isinstance(parsed, Parsed) else None


def gateway_problems(one: Declared, parsed: Parsed) -> Iterator[str]:
    """The router's address is not to be declared as a Pod's."""
    if not one.gateway:
        return
    family = parsed.prefix.family
    declared = RangeSet.of(family, parsed.ranges).subtract(RangeSet.parse(family, one.exclude_ips))
    gateway = RangeSet.parse(family, (one.gateway,))
    if declared.intersect(gateway).spans:
        yield f"gateway {one.gateway} is one of ips; take it out of ips or add it to excludeIPs"


def overlaps(one: Declared, prefix: Prefix, subnets: Mapping[str, Acceptance]) -> Iterator[str]:
    """Other accepted subnets that share addresses with this one."""
    for name, other in subnets.items():
        if other.accepted and other.prefix is not None and other.prefix.overlaps(prefix):
            remedy = f"use a prefix outside it, or add the ranges to spec.ips of {name}"
            yield f"{one.subnet} overlaps SpiderSubnet {name} ({other.prefix}); {remedy}"


def lost_by_pools(parsed: Parsed, before: Parsed | None, pools: Mapping[str, Acceptance]) -> Iterator[str]:
    """Addresses of pools that this subnet, as declared now, does not have: left out, or dropped."""
    for name, pool in pools.items():
        if pool.ranges is None or not pool.ranges.spans or not near(pool, parsed.prefix):
            continue
        if pool.prefix != parsed.prefix:
            if before is None:
                yield f"{parsed.prefix} overlaps SpiderIPPool {name} of {pool.prefix}; use {pool.prefix}, or delete that pool first"
            continue
        has = pool.ranges if before is None else pool.ranges.intersect(before.addresses)
        if (lost := has.subtract(parsed.addresses)).spans:
            yield f"{', '.join(lost.texts()[:NAMED])} belongs to SpiderIPPool {name}; keep it in ips, or shrink that pool first"


def in_use(addresses: RangeSet, held: Iterable[Holding]) -> str:
    """The addresses of a set that somebody holds, with their holders; empty where nobody does."""
    found = sorted((one for one in held if one.value in addresses), key=lambda one: one.value)
    return listed([f"{Address(addresses.family.number, one.value)} ({one.holder})" for one in found])


def listed(words: list[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return ", ".join(words[:NAMED]) + more


def pool_in_use(name: str, application: str, held: list[str]) -> str:
    """Why a pool may not be deleted; empty if it may. `held` are addresses with their holders."""
    if not held:
        return ""
    what = f"delete {application}" if application else "delete these Pods' applications, or let them use another pool,"
    return f"SpiderIPPool {name}: {len(held)} addresses are in use: {listed(held)}; {what} first (spec.disable stops new ones)"


def subnet_in_use(name: str, pools: list[str]) -> str:
    """Why a subnet may not be deleted; empty if it may. `pools` have addresses of it."""
    if not pools:
        return ""
    remedy = "delete these first; a pool of an application goes with the application"
    return f"SpiderSubnet {name}: {len(pools)} pools have addresses of it: {listed(pools)}; {remedy}"


def reserved_in_use(name: str, reserved: RangeSet, held: Iterable[Holding]) -> str:
    """A warning about addresses that are reserved too late; empty where none is in use."""
    found = in_use(reserved, held)
    return f"SpiderReservedIP {name}: in use and kept until its Pod ends: {found}" if found else ""
