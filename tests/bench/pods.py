"""Pods as a scheduler and workloads would make them: written through the API, bound or not; no kubelet runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import count
from typing import TypeVar

from netmgr.api.meta import Json, PartialObject
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import NotFound
from tests.bench.calls import PLUGIN, Sandbox, many, must_succeed
from tests.bench.site import Agent, Site

T = TypeVar("T")
R = TypeVar("R")
CONNECTIONS = 32
HERE = paths.in_namespace(paths.PODS, "default")
_runs = count(1)


async def each(items: Iterable[T], act: Callable[[T], Awaitable[R]], at_once: int = CONNECTIONS) -> list[R]:
    """`act` on each item, so many at once; results in the items' order."""
    listed = list(enumerate(items))
    results: dict[int, R] = {}
    left = iter(listed)

    async def work() -> None:
        for number, item in left:
            results[number] = await act(item)

    await asyncio.gather(*(work() for _ in range(at_once)))
    return [results[number] for number, _ in listed]


def names(count_: int) -> list[str]:
    """Names that no other run of this process has used."""
    run = next(_runs)
    return [f"bench-{run}-{number}" for number in range(count_)]


def body(name: str, pool: str, node: str = "", *, host_network: bool = False) -> Json:
    """A Pod that wants an address of `pool`; bound where `node` is given."""
    notes = {"ipam.spidernet.io/ippool": json.dumps({"ipv4": [pool]})}
    spec: Json = {
        "schedulerName": "none",
        "containers": [{"name": "c", "image": "none"}],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "hostNetwork": host_network,
    }
    if node:
        spec["nodeName"] = node
    meta = {"name": name, "annotations": notes, "labels": {"app": "bench"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


async def create(api: Api, agent: Agent, name: str, pool: str, *, bound: bool = True, host_network: bool = False) -> Sandbox:
    """One Pod for an agent's node."""
    wanted = body(name, pool, agent.node if bound else "", host_network=host_network)
    made = await api.create(HERE, wanted, PartialObject)
    return Sandbox(agent, name, made.metadata.uid)


async def create_all(
    api: Api, agents: Sequence[Agent], number: int, pool: str, *, bound: bool = True, host_network: bool = False
) -> list[Sandbox]:
    """Pods spread over the agents' nodes."""
    wanted = [(agents[index % len(agents)], name) for index, name in enumerate(names(number))]
    return await each(wanted, lambda one: create(api, *one, pool, bound=bound, host_network=host_network))


async def bind(api: Api, one: Sandbox) -> None:
    """What the scheduler does."""
    target = {"apiVersion": "v1", "kind": "Node", "name": one.agent.node}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": one.pod}, "target": target}
    await api.create(f"{HERE}/{one.pod}/binding", binding, dict)


async def delete(api: Api, one: Sandbox) -> None:
    """Delete one Pod at once."""
    try:
        await api.delete(f"{HERE}/{one.pod}", options={"gracePeriodSeconds": 0})
    except NotFound:
        return


async def delete_all(api: Api, sandboxes: Iterable[Sandbox]) -> None:
    """Delete Pods, as a workload's end does."""
    await each(sandboxes, lambda one: delete(api, one))


def tear_down(site: Site, sandboxes: Sequence[Sandbox], pool: str) -> None:
    """DEL and deletion of every Pod, then the pool's, once nothing of it is held any more."""
    outcomes, _ = many(PLUGIN, sandboxes, "DEL", 8)
    must_succeed(outcomes)
    site.call(lambda api: delete_all(api, sandboxes))
    site.emptied(pool)
