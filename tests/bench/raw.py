"""The floor of everything that allocates: creates of an IPAllocation-sized object by netmgr's own client, nothing decided.

The same Pods are watched meanwhile, as the controller watches them; nobody else writes.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from ipam.prefix import Address
from netmgr.api import allocation
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json
from netmgr.api.workload import Pod
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.reflector import Reflector
from tests.bench.figures import quantile
from tests.bench.pods import CONNECTIONS, each

FIRST = 0xC6120000
"""198.18.0.0, the range for measurements (RFC 2544)."""


@dataclass(frozen=True, slots=True)
class Floor:
    """Creates a second, and how many milliseconds one took."""

    rate: float
    median: float
    slowest: float


def raw_allocation(number: int) -> Json:
    """An object as large as the controller's, for a node that does not exist."""
    address, uid = str(Address(4, FIRST + number)), f"00000000-0000-0000-0000-{number:012d}"
    holder = {"namespace": "default", "name": f"bench-raw-{number}", "uid": uid}
    spec: Json = {
        "address": address,
        "prefixLength": 15,
        "pool": "raw",
        "nodeName": "nowhere",
        "interface": "eth0",
        "siblings": 1,
        "claimant": {"apiVersion": "v1", "kind": "Pod", **holder},
        "pod": holder,
        "bootID": uid,
        "reason": "ippool named by annotation; the first usable of raw",
    }
    return {"apiVersion": allocation.GROUP_VERSION, "kind": "IPAllocation", "metadata": {"name": address}, "spec": spec}


async def measure(api: Api, count: int, at_once: int = CONNECTIONS) -> Floor:
    """Create so many, then remove them."""
    took: list[float] = []

    async def create(number: int) -> str:
        began = time.perf_counter()
        made = await api.create(allocation.ALLOCATIONS, raw_allocation(number), IPAllocation)
        took.append((time.perf_counter() - began) * 1000)
        return made.metadata.name

    pods = Reflector(api, paths.PODS, Pod, field_selector="spec.nodeName!=")
    watching = asyncio.create_task(pods.run())
    try:
        await pods.synced.wait()
        began = time.perf_counter()
        names = await each(range(count), create, at_once)
        rate = count / (time.perf_counter() - began)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await each(names, lambda name: api.delete(paths.named(allocation.ALLOCATIONS, name)))
    return Floor(rate, quantile(took, 0.5), quantile(took, 0.99))
