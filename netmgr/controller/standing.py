"""How a subnet or a pool stands, from the controller's copies: what its status shows and metrics count. Pure over the copies."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ipam.acceptance import Acceptance
from ipam.conditions import PoolFacts, Told, counted, free_ranges, pool_conditions, subnet_conditions
from ipam.prefix import RangeSet, address_of_name, merge
from ipam.projection import Held, allocated_ips, controlled_pools
from netmgr.api import allocation
from netmgr.api.meta import Condition, Json
from netmgr.api.spider import SpiderIPPool, SpiderSubnet
from netmgr.controller import codec
from netmgr.controller.world import World

UNKNOWN = Acceptance(accepted=False, reason="Pending", message="it is not looked at yet")


def pool_facts(world: World, pool: SpiderIPPool) -> PoolFacts:
    """A pool as the ledger and the allocations show it."""
    name = pool.metadata.name
    ledger = world.ledger(name)
    held = world.by_pool.get(name, {})
    return PoolFacts(
        verdict=world.verdicts()[1].get(name, UNKNOWN),
        addresses=ledger.addresses if ledger is not None else RangeSet(codec.family_of(pool.spec.subnet)),
        free=ledger.free if ledger is not None else 0,
        held=ledger.held if ledger is not None else frozenset(address_of_name(one).value for one in held),
        cooling=[one.status.phase for one in held.values()].count(allocation.COOLING) if held else 0,
        disabled=pool.spec.disable,
        terminating=pool.metadata.deletion_timestamp is not None,
    )


def of_pool(world: World, pool: SpiderIPPool) -> tuple[Json, tuple[Told, ...]] | None:
    """Counts and conditions of a pool; nothing before it was looked at."""
    name = pool.metadata.name
    verdict = world.verdicts()[1].get(name)
    if verdict is None:
        return None
    facts, held = pool_facts(world, pool), world.by_pool.get(name, {})
    text, cut = allocated_ips(Held(one.spec.address, codec.held_by(one), one.spec.pod.uid) for one in held.values())
    status: Json = {
        "allocatedIPs": text,
        "truncated": True if cut else None,
        "totalIPCount": counted(verdict.size),
        "allocatedIPCount": len(held),
        "coolingIPCount": facts.cooling,
        "freeIPCount": counted(facts.free),
        "freeRanges": free_ranges(facts.addresses, facts.held),
        "acceptedRanges": verdict.ranges.texts() if verdict.ranges else [],
    }
    return status, pool_conditions(facts)


def of_subnet(world: World, subnet: SpiderSubnet) -> tuple[Json, tuple[Told, ...]] | None:
    """Counts, book and conditions of a subnet; nothing before it was looked at."""
    verdict = world.verdicts()[0].get(subnet.metadata.name)
    if verdict is None:
        return None
    book = book_with_pools(world, subnet)
    family = codec.family_of(subnet.spec.subnet)
    carved = [codec.ranges_of(family, ranges) for ranges, _ in book.values()]
    taken = RangeSet(family, merge(span for ranges in carved for span in ranges.spans))
    free = (verdict.ranges or RangeSet(family)).subtract(taken)
    status: Json = {
        "controlledIPPools": controlled_pools(book),
        "totalIPCount": counted(verdict.size),
        "allocatedIPCount": counted(sum(ranges.size for ranges in carved)),
        "freeIPCount": counted(free.size),
        "freeRanges": free_ranges(free, ()),
        "acceptedRanges": verdict.ranges.texts() if verdict.ranges else [],
    }
    return status, subnet_conditions(verdict, free=free.size)


def book_with_pools(world: World, subnet: SpiderSubnet) -> dict[str, tuple[list[str], str]]:
    """The book's entries of applications, and the accepted ranges of pools that people made in this subnet."""
    book = {name: entry for name, entry in codec.book_of(subnet).items() if entry[1]}
    pools = world.verdicts()[1]
    for name, pool in world.pools_in.get(subnet.spec.subnet, {}).items():
        accepted = pools.get(name)
        if name not in book and accepted and accepted.ranges:
            book[name] = (accepted.ranges.texts(), (pool.metadata.annotations or {}).get(codec.APPLICATION, ""))
    return book


def conditions(present: Iterable[Condition], told: Iterable[Told], generation: int, now: str) -> list[Json]:
    """Conditions as they are written; a transition time moves only with its status. What others wrote stays theirs."""
    before = {one.type: one for one in present}
    said = {one.type: condition(one, before.get(one.type), generation, now) for one in told}
    others = [msgspec.to_builtins(one) for one in before.values() if one.type not in said]
    return [*said.values(), *others]


def condition(one: Told, before: Condition | None, generation: int, now: str) -> Json:
    """One of ours."""
    kept = before is not None and before.status == str(one.status) and before.last_transition_time
    return {
        "type": one.type,
        "status": str(one.status),
        "reason": one.reason,
        "message": one.message,
        "lastTransitionTime": kept or now,
        "observedGeneration": generation,
    }


def news(present: Iterable[Condition], told: Iterable[Told], *, own_pool: bool) -> list[Told]:
    """What deserves an Event: something is wrong, and it was not said before. An application's own pool may well be full."""
    before = {(one.type, one.status, one.reason, one.message) for one in present}
    fresh = [one for one in told if (one.type, str(one.status), one.reason, one.message) not in before]
    wrong = {("Accepted", False), ("ReservedInUse", True), *([] if own_pool else [("Exhausted", True)])}
    return [one for one in fresh if one.message and ((one.type, one.status) in wrong or one.reason == "PartlyAccepted")]


def differs(present: object, wanted: Json) -> bool:
    """Whether any field of the status as read is not as wanted."""
    now = msgspec.to_builtins(present)
    return any(now.get(key) != value for key, value in wanted.items())
