"""Whether an address stays with its claimant after its Pod: an ordinal of a StatefulSet, a virtual machine.

I/O: a live read of the owner, only for an allocation with an ordinal whose Pod is gone: a copy that lags behind would free an
address that its owner still counts on. What cannot be read keeps the address.
"""

from __future__ import annotations

from ipam.annotations import parse_request
from ipam.errors import AnnotationError
from netmgr.api.allocation import Claimant, IPAllocation
from netmgr.api.workload import Workload
from netmgr.controller import codec
from netmgr.controller.kinds import MACHINES, ordinals_of, template_of
from netmgr.controller.third_party import read_live
from netmgr.controller.world import World


async def is_retained(world: World, one: IPAllocation) -> bool:
    """The retention rule of an allocation's owner, for a Pod that is gone, finished or being deleted."""
    claim, claimant = codec.claim_of(one), one.spec.claimant
    if claim is None or any(other.seniority > one.seniority and has_moved(one, other) for other in world.holders(claim)):
        return False
    key = (claimant.api_version, claimant.kind)
    if world.kind(key) is None and await world.third_party.follow(key):
        return True
    kind = world.kind(key)
    if kind is None:
        return True
    owner = await read_live(world.api, kind, f"{claimant.namespace}/{claimant.name}")
    if owner is None or owner.metadata.uid != claimant.uid or owner.metadata.deletion_timestamp:
        return False
    if kind.name in MACHINES:
        return True
    if not kind.built_in:
        replicas = await world.third_party.replicas(kind, f"{claimant.namespace}/{claimant.name}")
        return replicas is None or counts_on(claimant, owner, range(replicas))
    return counts_on(claimant, owner, ordinals_of(owner))


def is_retained_in_the_copy(world: World, one: IPAllocation) -> bool:
    """Whether the copies say that it is kept: no read is needed then, since a copy may keep an address, though never free one."""
    claim, claimant = codec.claim_of(one), one.spec.claimant
    kind = world.kind((claimant.api_version, claimant.kind))
    if claim is None or kind is None or not (kind.built_in or kind.name in MACHINES):
        return False
    if any(other.seniority > one.seniority and has_moved(one, other) for other in world.holders(claim)):
        return False
    owner = world.live_workloads[kind.key].get(f"{claimant.namespace}/{claimant.name}")
    if owner is None or owner.metadata.uid != claimant.uid or owner.metadata.deletion_timestamp:
        return False
    return kind.name in MACHINES or counts_on(claimant, owner, ordinals_of(owner))


def has_moved(one: IPAllocation, other: IPAllocation) -> bool:
    """Whether the ordinal has taken an address of another pool instead."""
    return other.spec.pool != one.spec.pool


def counts_on(claimant: Claimant, owner: Workload, ordinals: range) -> bool:
    """Whether the owner has this ordinal, or asks for scaled away ones to be kept. What nobody understands frees nothing."""
    if claimant.ordinal is None or claimant.ordinal in ordinals:
        return True
    try:
        return parse_request(template_of(owner).metadata.annotations).retain_ordinals
    except AnnotationError:
        return True
