"""Allocations that vanished while attached: created again from the agent's record before their pool gives out anything else.

I/O: a live GET of the Pod, then a create. An agent's word alone creates nothing: the Pod must live on that agent's node, and
whom the address belongs to follows from the Pod's proved owner, not from the record: a stolen node could name any ordinal there.
"""

from __future__ import annotations

import logging

import msgspec

from ipam.application import Application
from ipam.errors import AddressError
from ipam.prefix import allocation_name, parse_address
from netmgr.api import allocation
from netmgr.api.allocation import AllocationSpec, IPAllocation
from netmgr.api.meta import Json
from netmgr.api.workload import Pod
from netmgr.controller.agents import NODE
from netmgr.controller.claims import claimant_of
from netmgr.controller.owners import Unfollowed, top_owner
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.errors import AlreadyExists, NotFound

log = logging.getLogger(__name__)
STRAYS = "netmgr.io/strays"


class Strays:
    """Handler of the key "agent": an agent's Lease."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def restore(self, lease_key: str) -> float | None:
        """Create what the agent misses."""
        lease = self.world.leases.store.get(lease_key)
        notes = (lease.metadata.annotations or {}) if lease is not None else {}
        try:
            records = msgspec.json.decode(notes.get(STRAYS, "[]"), type=list[AllocationSpec])
        except msgspec.MsgspecError as error:
            log.warning("strays_unreadable lease=%s error=%s", lease_key, error)
            return None
        for one in records:
            if one.node_name == notes.get(NODE):
                await self._restore(one)
        return None

    async def _restore(self, one: AllocationSpec) -> None:
        try:
            name = allocation_name(parse_address(one.address))
            pod = await self.world.api.get(paths.named(paths.PODS, one.pod.name, namespace=one.pod.namespace), Pod)
        except (AddressError, NotFound):
            return
        if pod.metadata.uid != one.pod.uid or pod.spec.node_name != one.node_name:
            return
        body: Json = {
            "apiVersion": allocation.GROUP_VERSION,
            "kind": "IPAllocation",
            "metadata": {"name": name},
            "spec": msgspec.to_builtins(one) | {"claimant": claimant_of(pod, await self._owner(pod))},
        }
        try:
            await self.world.api.create(allocation.ALLOCATIONS, body, IPAllocation)
        except AlreadyExists:
            return
        log.warning("allocation_restored address=%s pod=%s/%s", one.address, one.pod.namespace, one.pod.name)

    async def _owner(self, pod: Pod) -> Application | None:
        """The Pod's application, as far as live objects prove it."""
        while isinstance(owner := top_owner(pod, self.world.live_workloads), Unfollowed):
            if await self.world.third_party.follow(owner.kind):
                return None
        return owner if isinstance(owner, Application) else None
