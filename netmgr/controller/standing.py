"""How a pool stands, from the controller's copies: what statuses and metrics show. Pure over the copies."""

from __future__ import annotations

from ipam.acceptance import Acceptance
from ipam.conditions import PoolFacts
from ipam.prefix import RangeSet, address_of_name
from netmgr.api import allocation
from netmgr.api.spider import SpiderIPPool
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
        cooling=sum(1 for one in held.values() if one.status.phase == allocation.COOLING),
        disabled=pool.spec.disable,
        terminating=pool.metadata.deletion_timestamp is not None,
    )
