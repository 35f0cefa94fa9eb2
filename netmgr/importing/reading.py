"""I/O: reads everything that an import looks at. Kinds that the cluster does not have are empty.

Owners of other groups are looked up as far as Pods lead to them; one that cannot be read leaves the Pod its own claimant.
"""

from __future__ import annotations

from typing import TypeVar

from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.endpoint import ENDPOINTS, SpiderEndpoint
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.api.workload import Node, ThirdPartyObject, Workload
from netmgr.controller.kinds import KINDS, MACHINES, Kind, KindKey
from netmgr.controller.owners import Unfollowed, top_owner
from netmgr.controller.third_party import discover, workload_of
from netmgr.importing.found import MACHINE_KINDS, Found, ListedPod
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import Forbidden, NotFound
from netmgr.kube.store import key_of

T = TypeVar("T")
Copies = dict[KindKey, dict[str, Workload]]


async def read(api: Api) -> Found:
    """One look at the cluster; Pods last, so that a record is never older than its Pod."""
    endpoints = await all_of(api, ENDPOINTS, SpiderEndpoint)
    workloads: Copies = {
        kind.key: {key_of(one.metadata): one for one in await all_of(api, kind.collection, Workload)} for kind in KINDS.values()
    }
    if any(one.status.owner_controller_type in MACHINES for one in endpoints):
        workloads |= {key: await third_party(api, key) for key in MACHINE_KINDS}
    found = Found(
        subnets=await all_of(api, spider.SUBNETS, SpiderSubnet),
        pools=await all_of(api, spider.POOLS, SpiderIPPool),
        reservations=await all_of(api, spider.RESERVED, SpiderReservedIP),
        endpoints=endpoints,
        allocations=await all_of(api, allocation.ALLOCATIONS, IPAllocation),
        nodes=await all_of(api, paths.NODES, Node),
        workloads=workloads,
        pods=await all_of(api, paths.PODS, ListedPod),
    )
    for pod in found.pods:
        while isinstance(owner := top_owner(pod, workloads), Unfollowed):
            workloads[owner.kind] = await third_party(api, owner.kind)
    return found


async def third_party(api: Api, key: KindKey) -> dict[str, Workload]:
    """All objects of a kind of another group; nothing where the API server does not know it or may not tell."""
    try:
        kind = await discover(api, key)
        if isinstance(kind, Kind):
            return {key_of(one.metadata): workload_of(one) for one in await all_of(api, kind.collection, ThirdPartyObject)}
    except Forbidden:
        return {}
    return {}


async def all_of(api: Api, collection: str, type_: type[T]) -> tuple[T, ...]:
    """A collection, or nothing where the kind is not served."""
    try:
        return tuple(await api.list(collection, type_))
    except NotFound:
        return ()
