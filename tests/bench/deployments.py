"""Twenty Deployments created at once, each with a pool of its own: how long until all pools have their size."""

from __future__ import annotations

import asyncio
import json
import time

from netmgr.api import spider
from netmgr.api.meta import Json, PartialObject
from netmgr.api.spider import SpiderIPPool
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.reflector import Reflector
from tests.bench.figures import Figure
from tests.bench.pods import each
from tests.bench.site import Site
from tests.waiting import eventually

COUNT, REPLICAS = 20, 10
SUBNET = "bench-deployments"
HERE = paths.in_namespace(paths.DEPLOYMENTS, "default")


def measure(site: Site) -> list[Figure]:
    """Seconds; the floor is the creation of twenty such pools and nothing else."""
    body: Json = {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderSubnet", "metadata": {"name": SUBNET}}
    body |= {"spec": {"subnet": "10.75.0.0/16", "ips": ["10.75.1.0-10.75.31.255"]}}
    site.call(lambda api: api.create(spider.SUBNETS, body, PartialObject))
    with site.controller():
        accepted = paths.named(spider.SUBNETS, SUBNET)
        eventually(
            lambda: site.call(lambda api: api.get(accepted, spider.SpiderSubnet)).status.total_ip_count, bool, what="accepted"
        )
        took = site.call(sized)
        site.call(removed)
    floor = site.call(raw_pools)
    site.call(lambda api: api.delete(paths.named(spider.SUBNETS, SUBNET)))
    return [Figure(what="20 Deployments at once, all pools sized", value=took, unit="s", floor=floor, at_most=1.0)]


def deployment(name: str) -> Json:
    """It wants one address more than it has replicas."""
    notes = {"ipam.spidernet.io/subnet": json.dumps({"ipv4": [SUBNET]}), "ipam.spidernet.io/ippool-ip-number": "+1"}
    template = {
        "metadata": {"labels": {"app": name}, "annotations": notes},
        "spec": {"containers": [{"name": "c", "image": "none"}]},
    }
    spec = {"replicas": REPLICAS, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


async def sized(api: Api) -> float:
    """Seconds from the first create to the last pool of the right size, as a watch shows it."""
    done = asyncio.Event()
    full: set[str] = set()

    def seen(_kind: object, pool: SpiderIPPool, _old: object) -> None:
        if pool.spec.subnet == "10.75.0.0/16" and pool.spec.ips:
            full.add(pool.metadata.name)
            if len(full) == COUNT:
                done.set()

    pools = Reflector(api, spider.POOLS, SpiderIPPool, on_event=seen)
    watching = asyncio.create_task(pools.run())
    try:
        await pools.synced.wait()
        began = time.perf_counter()
        await each(range(COUNT), lambda number: api.create(HERE, deployment(f"bench-{number}"), PartialObject), COUNT)
        async with asyncio.timeout(60):
            await done.wait()
        return time.perf_counter() - began
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def removed(api: Api) -> None:
    """Delete the Deployments, and wait until their pools are gone."""
    await each(range(COUNT), lambda number: api.delete(f"{HERE}/bench-{number}"))
    async with asyncio.timeout(60):
        while any(one.spec.subnet == "10.75.0.0/16" for one in await api.list(spider.POOLS, SpiderIPPool)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def raw_pools(api: Api) -> float:
    """Twenty creates of a pool by the same client."""

    def pool(number: int) -> Json:
        meta = {"name": f"raw-{number}"}
        spec = {"subnet": "10.76.0.0/16", "ips": [f"10.76.{number}.1-10.76.{number}.11"]}
        return {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderIPPool", "metadata": meta, "spec": spec}

    began = time.perf_counter()
    await each(range(COUNT), lambda number: api.create(spider.POOLS, pool(number), PartialObject), COUNT)
    took = time.perf_counter() - began
    await each(range(COUNT), lambda number: api.delete(paths.named(spider.POOLS, f"raw-{number}")))
    return took
