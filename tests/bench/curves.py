"""How cost grows: the controller with up to 100,000 retained claims in up to 10,000 pools, the API server with up to 5,000 watches.

Long: `make bench-curves`. Retained claims are ordinals of StatefulSets whose Pods are gone and whose agent has reported.
"""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Sequence
from functools import partial

from ipam.prefix import Address
from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json, PartialObject
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.config import load
from tests.bench import raw
from tests.bench.figures import Figure
from tests.bench.pods import create_all, delete_all, each
from tests.bench.processes import cpu_seconds, resident_mib
from tests.bench.site import Site, site
from tests.waiting import eventually

STEPS = ((1_000, 100), (10_000, 1_000), (100_000, 10_000))
"""Claims and pools."""
POOL_SIZE, SET_SIZE = 16, 1_000
FIRST, PREFIX = 0x0A800000, "10.128.0.0/10"
MORE_PODS = 500
QUIET = 0.05
"""Seconds of CPU in two seconds."""
WATCHES, EVENTS = (0, 1_000, 5_000), 300


def growth() -> list[Figure]:
    """Restart to first allocation, memory and rate at each step."""
    figures: list[Figure] = []
    with site() as here:
        agents = here.with_agents(4)
        here.pool("curve", "10.78.0.0/16", "10.78.0.1-10.78.31.254")
        made = 0, 0
        for step in STEPS:
            here.call(partial(fill, made=made, wanted=step))
            made = step
            with here.controller() as controller:  # its first leader completes and reports on new pools, once
                quiet(controller.pid)
            figures += grown(here, agents, *step)
    return figures


def quiet(pid: int) -> None:
    """Wait until a process does nearly nothing."""

    def used() -> float:
        before = cpu_seconds([pid])
        time.sleep(2.0)
        return cpu_seconds([pid]) - before

    eventually(used, lambda seconds: seconds <= QUIET, within=900, what="the controller is quiet")


def grown(here: Site, agents: Sequence[object], claims: int, pools: int) -> list[Figure]:
    """One step: a Pod waits when the controller starts; then 500 more come."""
    what = f"{claims:,} claims in {pools:,} pools"
    listed = here.with_agents(len(agents))
    first = here.call(lambda api: create_all(api, listed, 1, "curve"))
    with here.starting_controller() as controller:
        eventually(lambda: here.call(holders), lambda held: first[0].uid in held, within=300, what="the first allocation")
        restart = time.time() - controller.began
        quiet(controller.pid)
        began, before = time.perf_counter(), cpu_seconds([controller.pid])
        more = here.call(lambda api: create_all(api, listed, MORE_PODS, "curve"))
        wanted = {one.uid for one in more}
        eventually(lambda: here.call(holders), lambda held: wanted <= held, within=300, what="500 more")
        seconds, spent = time.perf_counter() - began, cpu_seconds([controller.pid]) - before
        memory = resident_mib(controller.pid)
        here.call(lambda api: delete_all(api, [*first, *more]))
        eventually(lambda: here.call(holders), lambda held: not held, within=300, what="all gone")
    return [
        Figure(what=f"{what}: restart to first allocation", value=restart, unit="s", at_most=15),
        Figure(what=f"{what}: controller's memory", value=memory, unit="MiB"),
        Figure(what=f"{what}: Pods created and given addresses", value=MORE_PODS / seconds, unit="1/s"),
        Figure(what=f"{what}: controller's CPU per Pod", value=1000 * spent / MORE_PODS, unit="ms"),
    ]


async def holders(api: Api) -> set[str]:
    """UIDs of the Pods that hold an address of the pool `curve` (the agents' nodes are those of Pods, claims lie elsewhere)."""
    found: set[str] = set()
    for number in range(1, 5):
        listed = await api.list(allocation.ALLOCATIONS, IPAllocation, field_selector=f"spec.nodeName=bench-{number}")
        found |= {one.spec.pod.uid for one in listed}
    return found


async def fill(api: Api, made: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Make the pools, StatefulSets and claims that are missing."""
    here = paths.in_namespace(paths.STATEFUL_SETS, "default")
    await each(range(made[1], wanted[1]), lambda number: api.create(spider.POOLS, pool(number), PartialObject))
    sets = range(-(-made[0] // SET_SIZE), -(-wanted[0] // SET_SIZE))
    await each(sets, lambda number: api.create(here, stateful_set(number), PartialObject))
    uids = {one.metadata.name: one.metadata.uid for one in await api.list(here, PartialObject)}

    async def claim(number: int) -> None:
        body = retained(number, uids)
        made = await api.create(allocation.ALLOCATIONS, body, PartialObject)
        status = {"phase": allocation.DETACHED, "podUID": body["spec"]["pod"]["uid"], "containerID": "c", "bootID": "b"}
        path = paths.named(allocation.ALLOCATIONS, made.metadata.name, "status")
        await api.merge_patch(path, {"status": status}, PartialObject)

    await each(range(made[0], wanted[0]), claim)


def address_of(number: int) -> str:
    """Ten claims in each pool of sixteen."""
    return str(Address(4, FIRST + (number // 10) * POOL_SIZE + number % 10))


def pool(number: int) -> Json:
    """One of many."""
    start = FIRST + number * POOL_SIZE
    ranges = [f"{Address(4, start)}-{Address(4, start + POOL_SIZE - 1)}"]
    meta = {"name": f"many-{number}"}
    return {
        "apiVersion": spider.GROUP_VERSION,
        "kind": "SpiderIPPool",
        "metadata": meta,
        "spec": {"subnet": PREFIX, "ips": ranges},
    }


def stateful_set(number: int) -> Json:
    """An owner of a thousand ordinals."""
    name = f"set-{number}"
    notes = {"ipam.spidernet.io/ippool": json.dumps({"ipv4": ["many-*"]})}
    template = {
        "metadata": {"labels": {"app": name}, "annotations": notes},
        "spec": {"containers": [{"name": "c", "image": "none"}]},
    }
    spec = {"replicas": SET_SIZE, "serviceName": name, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}


def retained(number: int, uids: dict[str, str]) -> Json:
    """The address that an ordinal keeps."""
    owner, ordinal = f"set-{number // SET_SIZE}", number % SET_SIZE
    body = raw.raw_allocation(number)
    body["metadata"]["name"] = body["spec"]["address"] = address_of(number)
    claimant = {"apiVersion": "apps/v1", "kind": "StatefulSet", "namespace": "default", "name": owner, "uid": uids[owner]}
    body["spec"] |= {"pool": f"many-{number // 10}", "claimant": {**claimant, "ordinal": ordinal}, "prefixLength": 10}
    body["spec"]["pod"]["name"] = f"{owner}-{ordinal}"
    return body


def watches() -> list[Figure]:
    """The API server's CPU per allocation event, with so many agents that watch their own node's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * WATCHES[-1])), hard))
    with site() as here:
        return [here.call(partial(watched, here=here, count=count)) for count in WATCHES]


async def watched(api: Api, here: Site, count: int) -> Figure:
    """One step: creates and deletes while `count` streams are open, each with a field selector of its own."""
    opened = 0
    all_open = asyncio.Event()

    async def follow(client: Api, number: int) -> None:
        nonlocal opened
        query = {"fieldSelector": f"spec.nodeName=watcher-{number}", "sendInitialEvents": "true", "allowWatchBookmarks": "true"}
        query |= {"resourceVersionMatch": "NotOlderThan", "timeoutSeconds": "3600"}
        lines = client.watch(allocation.ALLOCATIONS, query, silence=3600.0)
        await anext(lines)  # the bookmark that ends the empty list
        opened += 1
        if opened == count:
            all_open.set()
        async for _ in lines:
            continue

    async with Api(load(here.server.kubeconfig), user_agent="watchers", timeout=60.0) as client:
        tasks = []
        for number in range(count):
            tasks.append(asyncio.create_task(follow(client, number)))
            await asyncio.sleep(0.004)  # handshakes one after the other, as nodes come
        if count:
            async with asyncio.timeout(300):
                await all_open.wait()
        server = list(here.server.pids().values())
        before = cpu_seconds(server)
        await raw.measure(api, EVENTS)
        each_event = 1000 * (cpu_seconds(server) - before) / (2 * EVENTS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return Figure(what=f"API server and etcd, CPU per write with {count:,} agent watches", value=each_event, unit="ms")
