"""Writing claims: the create of an allocation, and its hand-over to an ordinal's next Pod.

I/O: one create per address. A create whose outcome nobody learned is asked for again by the same address, since a Pod must not end
up with two.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ipam.application import Application
from ipam.prefix import Address, AddressFamily, allocation_name, parse_prefix
from ipam.route import PodRoute, routes_of
from netmgr.api import allocation
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json
from netmgr.api.workload import Pod
from netmgr.controller import codec
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.errors import AlreadyExists, ApiError, NotFound, Unavailable

log = logging.getLogger(__name__)

REBOUND = ("nodeName", "pod", "bootID", "reason", "siblings", "gateway", "routes", "cleanGateway", "network")
"""What the next Pod of an ordinal may have otherwise; null takes a field away."""
Place = tuple[str, str, AddressFamily]
"""Pod UID, interface and family: where one address belongs."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One address to be claimed: interface, family, and the pools to try, in order.

    `routes` are the Pod's that may be this interface's: those with a gateway in the pool's subnet are.
    """

    interface: str
    family: AddressFamily
    pools: tuple[str, ...]
    siblings: int
    why: str
    network: str = ""
    clean_gateway: bool = False
    routes: tuple[PodRoute, ...] = ()


@dataclass(frozen=True, slots=True)
class Doubt:
    """A claim of one address: whether it was granted nobody may know."""

    owner: Application | None
    slot: Slot
    pool: str
    value: int


class Claims:
    """The writes that give Pods their addresses."""

    def __init__(self, world: World, tell: Callable[[str, str, str], None]) -> None:
        """`tell` records an Event about a pool: its name, a reason, a sentence."""
        self.world, self._tell = world, tell
        self.unsure: dict[Place, Doubt] = {}

    async def create(self, pod: Pod, owner: Application | None, slot: Slot, pool: str, boot_id: str) -> bool:
        """Create the allocation of the pool's next free address; False if the pool is full."""
        while (ledger := self.world.ledger(pool)) is not None and (value := ledger.take()) is not None:
            if self._is_elsewhere(pool, Address(slot.family.number, value)):
                continue
            if await self._post(pod, Doubt(owner, slot, pool, value), boot_id):
                return True
        return False

    def _is_elsewhere(self, pool: str, address: Address) -> bool:
        """Whether another IPAM plugin has given the address out; it stays taken in the pool as long as that Pod is there."""
        name = allocation_name(address)
        holder = self.world.elsewhere.holder(name)
        if holder is None:
            return False
        self.world.elsewhere.kept[name] = pool
        words = (
            f"address {address}: Pod {holder} has it from the fallback plugin, so it is not given out here; no range may have two "
            "masters: take it out of what that plugin may use, or out of the pool"
        )
        self._tell(pool, "AddressElsewhere", words)
        return True

    async def settle_doubts(self, pod: Pod, boot_id: str) -> None:
        """Ask again for what was asked for without an answer: the same address, or the Pod might end up with two."""
        for place in [place for place in self.unsure if place[0] == pod.metadata.uid]:
            doubt = self.unsure.pop(place)
            if doubt.pool in self.world.pools.store:
                await self._post(pod, doubt, boot_id)

    async def _post(self, pod: Pod, wish: Doubt, boot_id: str) -> bool:
        """Create one allocation of an address that is taken from the ledger; False if somebody else has it."""
        slot, uid = wish.slot, pod.metadata.uid
        address = Address(slot.family.number, wish.value)
        name = allocation_name(address)
        body: Json = {
            "apiVersion": allocation.GROUP_VERSION,
            "kind": "IPAllocation",
            "metadata": {"name": name},
            "spec": self._spec(pod, wish.owner, slot, wish.pool, str(address), boot_id),
        }
        try:
            if not await self._is_ours(pod, body, name, wish):
                log.info("address_taken address=%s pool=%s", address, wish.pool)
                self.world.metrics.claimed(uid, "taken")
                return False
        except Unavailable:
            self.unsure[uid, slot.interface, slot.family] = wish
            self.world.metrics.claimed(uid, "unanswered")
            raise
        except ApiError:
            self.world.give_back(wish.pool, wish.value)
            self.world.metrics.claimed(uid, "failed")
            raise
        if name not in self.world.allocations.store:  # else the watch was faster than the answer
            self.world.claimed.setdefault(uid, set()).add((slot.interface, slot.family))
        self.world.metrics.claimed(uid, "created")
        return True

    async def _is_ours(self, pod: Pod, body: Json, name: str, wish: Doubt) -> bool:
        """Create; True if it was, now or by an earlier request of which nobody learned."""
        try:
            await self.world.api.create(allocation.ALLOCATIONS, body, IPAllocation)
        except AlreadyExists:
            self.world.found_taken[name].add(wish.pool)  # noted before it is read: its end, as the watch shows it, comes afterwards
            return await self._is_held_by(pod, name, wish)
        return True

    def end_doubts(self, satisfied: str = "") -> None:
        """Give back what was asked for in vain: the Pod has its addresses, or is gone. The watch corrects a wrong guess."""
        if not self.unsure:
            return
        alive = {pod.metadata.uid for pod in self.world.pods.store.values() if codec.needs_addresses(pod)} - {satisfied}
        for place in [place for place in self.unsure if place[0] not in alive]:
            doubt = self.unsure.pop(place)
            known = allocation_name(Address(place[2].number, doubt.value)) in self.world.allocations.store
            if not known:
                self.world.give_back(doubt.pool, doubt.value)

    async def _is_held_by(self, pod: Pod, name: str, wish: Doubt) -> bool:
        """Whether the allocation that is there is this Pod's own. One that is there no more leaves the address free."""
        path = paths.named(allocation.ALLOCATIONS, name)
        try:
            return (await self.world.api.get(path, IPAllocation)).spec.pod.uid == pod.metadata.uid
        except NotFound:
            self.world.found_taken.pop(name, None)
            self.world.give_back(wish.pool, wish.value)
            return False

    def _spec(self, pod: Pod, owner: Application | None, slot: Slot, pool: str, address: str, boot_id: str) -> Json:
        """Everything the node needs to answer ADD."""
        source = self.world.pools.store[pool]
        meta = pod.metadata
        holder: Json = {"namespace": meta.namespace, "name": meta.name, "uid": meta.uid}
        if runtime := codec.runtime_uid(pod):
            holder["runtimeUID"] = runtime
        spec: Json = {
            "address": address,
            "prefixLength": parse_prefix(source.spec.subnet).length,
            "pool": pool,
            "nodeName": pod.spec.node_name,
            "interface": slot.interface,
            "siblings": slot.siblings,
            "claimant": claimant_of(pod, owner),
            "pod": holder,
            "bootID": boot_id,
            "reason": f"{slot.why}; the first usable of {', '.join(slot.pools)}",
        }
        gateway, routes = self.world.ways_out(source)
        wanted = {str(one.dst): str(one.gw) for one in routes_of(parse_prefix(source.spec.subnet), slot.routes)}
        leading = {route.dst: route.gw for route in routes} | wanted
        if gateway:
            spec["gateway"] = gateway
        if leading:
            spec["routes"] = [{"dst": dst, "gw": gw} for dst, gw in leading.items()]
        if slot.clean_gateway:
            spec["cleanGateway"] = True
        if slot.network:
            spec["network"] = slot.network
        return spec

    async def rebind(self, pod: Pod, kept: IPAllocation, slot: Slot, boot_id: str) -> None:
        """Hand an address to the ordinal's next Pod; its old holder is proved detached."""
        spec = self._spec(pod, None, slot, kept.spec.pool, kept.spec.address, boot_id)
        body: Json = {
            "metadata": {"uid": kept.metadata.uid, "resourceVersion": kept.metadata.resource_version},
            "spec": {key: spec.get(key) for key in REBOUND},
        }
        await self.world.api.merge_patch(paths.named(allocation.ALLOCATIONS, kept.metadata.name), body, IPAllocation)
        self.world.metrics.claimed(pod.metadata.uid, "rebound")


def claimant_of(pod: Pod, owner: Application | None) -> Json:
    """Who the address belongs to: the application and ordinal, or the Pod."""
    if owner is None:
        meta = pod.metadata
        return {"apiVersion": "v1", "kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}
    claimant: Json = {
        "apiVersion": owner.group_version,
        "kind": owner.kind,
        "namespace": owner.namespace,
        "name": owner.name,
        "uid": owner.uid,
    }
    ordinal = codec.ordinal_of(pod, owner)
    return claimant | ({"ordinal": ordinal} if ordinal is not None else {})
