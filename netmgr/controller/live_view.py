"""I/O: reads what reconciliation compares, live, in an order in which a cluster in motion looks whole.

Pools are read before allocations and allocations before Pods: what an object names was there when it was made, so that
nothing made in between looks orphaned. The copies only choose what to ask (an application that the copy shows alive is not read
again: a copy may keep a pool, never remove one).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import TypeVar

import msgspec

from ipam.annotations import DEFAULT_INTERFACE
from ipam.prefix import AddressFamily, RangeSet
from netmgr.api.allocation import IPAllocation
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.api.workload import Pod
from netmgr.audit.damage import LiveView
from netmgr.controller import codec
from netmgr.controller.auto_pools import outlives
from netmgr.controller.choosing import Choosing, Refusal
from netmgr.controller.kinds import KINDS, ordinals_of, parts_of
from netmgr.controller.pods import is_refused
from netmgr.controller.retention import counts_on, is_retained
from netmgr.controller.third_party import read_live
from netmgr.controller.world import Key, World
from netmgr.kube import paths
from netmgr.kube.errors import NotFound
from netmgr.kube.reflector import Reflector
from netmgr.kube.store import Watched, key_of

W = TypeVar("W", bound=Watched)
Held = dict[str, set[tuple[str, AddressFamily]]]


async def read(world: World, busy: Iterable[Key] = ()) -> LiveView:
    """The whole view; Pods whose keys are being worked on do not wait without need."""
    api = world.api
    subnets = await current(world, world.subnets, SpiderSubnet)
    pools = await current(world, world.pools, SpiderIPPool)
    allocations = await current(world, world.allocations, IPAllocation)
    pods = await current(world, world.pods, Pod, field_selector="spec.nodeName!=")
    reservations = await current(world, world.reservations, SpiderReservedIP)
    keys = frozenset(busy)
    held: Held = defaultdict(set)
    for one in allocations:
        held[one.spec.pod.uid].add((one.spec.interface, codec.family_of(one.spec.address)))
    servable, served = await waiting(world, [pod for pod in pods if ("pod", key_of(pod.metadata)) not in keys], held)
    return LiveView(
        now=api.server_time(),
        allocations=tuple(allocations),
        pods=tuple(pods),
        pools=tuple(pools),
        subnets=tuple(subnets),
        books={one.metadata.name: {pool: owner for pool, (_, owner) in codec.book_of(one).items()} for one in subnets},
        ranges={name: verdict.ranges for name, verdict in world.verdicts()[1].items() if verdict.ranges is not None},
        reserved={family: reserved_of(family, reservations) for family in AddressFamily},
        retained=await retained(world, allocations),
        ownerless=await ownerless(world, pools, allocations),
        servable=servable,
        served=served,
    )


class Identity(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Which object, in which version."""

    name: str
    uid: str
    resource_version: str
    namespace: str = ""


class Listed(msgspec.Struct, frozen=True, gc=False):
    """An object of a live list."""

    metadata: Identity


async def current(world: World, copy: Reflector[W], type_: type[W], *, field_selector: str = "") -> list[W]:
    """All objects as the API server has them now. Those that the copy has in the same version are not kept in memory twice."""
    found: list[W] = []
    for one in await world.api.list(copy.path, Listed, field_selector=field_selector):
        meta = one.metadata
        known = copy.store.get(f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name)
        if known is not None and (known.metadata.uid, known.metadata.resource_version) == (meta.uid, meta.resource_version):
            found.append(known)
            continue
        with suppress(NotFound):
            found.append(await world.api.get(paths.named(copy.path, meta.name, namespace=meta.namespace), type_))
    return found


def reserved_of(family: AddressFamily, reservations: list[SpiderReservedIP]) -> RangeSet:
    """Everything that is reserved in a family."""
    return codec.reserved_in(family, reservations)


async def retained(world: World, allocations: list[IPAllocation]) -> frozenset[str]:
    """Detached allocations that their ordinal keeps. The owner is read live where the copy does not show that it counts on it."""
    detached = [one for one in allocations if one.spec.claimant.ordinal is not None and one.status.phase]
    return frozenset([one.metadata.name for one in detached if is_counted_on(world, one) or await is_retained(world, one)])


def is_counted_on(world: World, one: IPAllocation) -> bool:
    """Whether the copy shows the StatefulSet that the address belongs to, with this ordinal."""
    claimant = one.spec.claimant
    key = (claimant.api_version, claimant.kind)
    owner = world.live_workloads.get(key, {}).get(f"{claimant.namespace}/{claimant.name}") if key in KINDS else None
    return (
        owner is not None
        and owner.metadata.uid == claimant.uid
        and owner.metadata.deletion_timestamp is None
        and counts_on(claimant, owner, ordinals_of(owner))
    )


async def ownerless(world: World, pools: list[SpiderIPPool], allocations: list[IPAllocation]) -> frozenset[str]:
    """Auto pools without use whose application the copy does not show, nor a live read."""
    used = {one.spec.pool for one in allocations}
    found = [pool for pool in pools if codec.owner_of(pool) and pool.metadata.name not in used and not outlives(pool)]
    return frozenset([pool.metadata.name for pool in found if not await has_owner(world, pool)])


async def has_owner(world: World, pool: SpiderIPPool) -> bool:
    """Whether the pool's application lives. What cannot be read keeps its pool."""
    uid, parts = (pool.metadata.annotations or {}).get(codec.APPLICATION_UID), parts_of(codec.owner_of(pool))
    if parts is None:
        return True
    kind = world.kind(parts[0])
    if kind is None:
        return True
    known = world.live_workloads.get(parts[0], {}).get(parts[1])
    if known is not None and known.metadata.uid == uid:
        return True
    live = await read_live(world.api, kind, parts[1])
    return live is not None and live.metadata.uid == uid


async def waiting(world: World, pods: list[Pod], held: Held) -> tuple[dict[str, str], frozenset[str]]:
    """Pods that lack what could be given, with the pools that could; and Pods that say that they lack what they have."""
    choosing, servable, served = Choosing(world), dict[str, str](), set[str]()
    for pod in pods:
        have = held.get(pod.metadata.uid, set())
        if world.is_delegated(pod):
            have = have | {(DEFAULT_INTERFACE, family) for family in AddressFamily}
        if not codec.needs_addresses(pod) or (have and not is_refused(pod)):
            continue
        if pod.status.pod_ip and not have:
            continue  # it runs since before netmgr
        choice = await choosing.choose(pod, lambda interface, family, have=have: (interface, family) not in have)  # type: ignore[misc] # bound at once
        key = f"{pod.metadata.namespace}/{pod.metadata.name}"
        if isinstance(choice, Refusal) or world.agent_boot_id(pod.spec.node_name) is None:
            continue
        if not choice.claims and is_refused(pod):
            served.add(key)
        elif choice.claims and all(one.usable for one in choice.claims):
            servable[key] = ", ".join(f"SpiderIPPool {one.usable[0]}" for one in choice.claims)
    return servable, frozenset(served)
