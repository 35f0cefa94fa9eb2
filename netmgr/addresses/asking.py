"""I/O: reads what is told about addresses: their allocations and Pods one by one, pools, subnets and reservations once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from ipam.prefix import Address, allocation_name
from netmgr.addresses.telling import Told, held, unheld
from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.controller.pod_state import pod_state
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.errors import NotFound


async def ask(kubeconfig: Path | None, addresses: Iterable[Address]) -> list[Told]:
    """What there is to say about each, in the order in which they were asked for."""
    async with Api(load(kubeconfig), user_agent="netmgr-ip") as api:
        subnets, pools, reservations = await asyncio.gather(
            api.list(spider.SUBNETS, SpiderSubnet),
            api.list(spider.POOLS, SpiderIPPool),
            api.list(spider.RESERVED, SpiderReservedIP),
        )

        async def one(address: Address) -> Told:
            try:
                found = await api.get(paths.named(allocation.ALLOCATIONS, allocation_name(address)), IPAllocation)
            except NotFound:
                return unheld(address, subnets, pools, reservations)
            return held(found, await pod_state(api, found.spec.pod), subnets, pools)

        return list(await asyncio.gather(*(one(address) for address in addresses)))
