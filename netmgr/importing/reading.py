"""I/O: reads everything that an import looks at. Kinds that the cluster does not have are empty."""

from __future__ import annotations

from typing import TypeVar

from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.endpoint import ENDPOINTS, SpiderEndpoint
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.api.workload import Node, Workload
from netmgr.controller.kinds import KINDS
from netmgr.importing.found import Found, ListedPod
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import NotFound
from netmgr.kube.store import key_of

T = TypeVar("T")


async def read(api: Api) -> Found:
    """One look at the cluster; Pods last, so that a record is never older than its Pod."""
    return Found(
        subnets=await all_of(api, spider.SUBNETS, SpiderSubnet),
        pools=await all_of(api, spider.POOLS, SpiderIPPool),
        reservations=await all_of(api, spider.RESERVED, SpiderReservedIP),
        endpoints=await all_of(api, ENDPOINTS, SpiderEndpoint),
        allocations=await all_of(api, allocation.ALLOCATIONS, IPAllocation),
        nodes=await all_of(api, paths.NODES, Node),
        workloads={
            kind.key: {key_of(one.metadata): one for one in await all_of(api, kind.collection, Workload)} for kind in KINDS.values()
        },
        pods=await all_of(api, paths.PODS, ListedPod),
    )


async def all_of(api: Api, collection: str, type_: type[T]) -> tuple[T, ...]:
    """A collection, or nothing where the kind is not served."""
    try:
        return tuple(await api.list(collection, type_))
    except NotFound:
        return ()
