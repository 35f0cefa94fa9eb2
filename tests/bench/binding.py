"""ADD called at the moment a Pod is bound: 1,000 at once; created and called one by one; created and called ten at a time.

And how long after its binding a Pod's address is in the memory of its node's agent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from cni.protocol import encode_request
from netmgr.kube.client import Api
from tests.bench.calls import Sandbox, Waiting
from tests.bench.figures import Figure, quantile
from tests.bench.pods import CONNECTIONS, bind, create, create_all, each, names, tear_down
from tests.bench.site import Agent, Site

AGENTS = 8
AT_ONCE, ONE_BY_ONE, IN_TENS, ARRIVALS = 1000, 100, 200, 100
POOL = "binding"


def measure(site: Site) -> list[Figure]:
    """All four."""
    site.pool(POOL, "10.73.0.0/16", "10.73.0.1-10.73.15.254")
    agents = site.with_agents(AGENTS)
    with site.controller():
        arrivals, first = site.call(lambda api: bound_to_memory(api, agents))
        single, second = site.call(lambda api: created_and_called(api, site, agents, ONE_BY_ONE, 1))
        tens, third = site.call(lambda api: created_and_called(api, site, agents, IN_TENS, 10))
        unbound = site.call(lambda api: create_all(api, agents, AT_ONCE, POOL, bound=False))
        burst, seconds = site.call(lambda api: bound_and_called(api, site, unbound))
        tear_down(site, [*first, *second, *third, *unbound], POOL)
    return [
        Figure(what="bound to address in the agent's memory: median", value=quantile(arrivals, 0.5), unit="ms", at_most=20),
        Figure(what="the same: 99th percentile", value=quantile(arrivals, 0.99), unit="ms"),
        *waits("Pod created and ADD at once, one by one", single, 15),
        *waits("Pod created and ADD at once, ten at a time", tens, 100),
        *waits("1,000 bindings at once, ADD with each", burst, 400),
        Figure(what="seconds that the 1,000 bindings took", value=seconds, unit="s"),
    ]


def waits(what: str, values: Iterable[float], slowest: float) -> list[Figure]:
    """Two rows."""
    listed = list(values)
    return [
        Figure(what=f"{what}: median", value=quantile(listed, 0.5), unit="ms"),
        Figure(what=f"{what}: 99th percentile", value=quantile(listed, 0.99), unit="ms", at_most=slowest),
    ]


async def bound_to_memory(api: Api, agents: list[Agent]) -> tuple[list[float], list[Sandbox]]:
    """Milliseconds from the binding's answer until an ADD that waited at the agent is answered (0 where that came first)."""
    sandboxes = await create_all(api, agents, ARRIVALS, POOL, bound=False)

    async def one(sandbox: Sandbox) -> float:
        reader, writer = await asyncio.open_unix_connection(str(sandbox.agent.socket))
        writer.write(encode_request(sandbox.environment("ADD") | {"NETMGR_PLUGIN": "netmgr-ipam"}, sandbox.stdin))
        await writer.drain()
        answer = asyncio.create_task(timed(reader))
        await bind(api, sandbox)
        bound = time.perf_counter()
        answered = await answer
        writer.close()
        return max(0.0, (answered - bound) * 1000)

    return await each(sandboxes, one, 1), sandboxes


async def timed(reader: asyncio.StreamReader) -> float:
    """When the whole answer is there."""
    answer = await reader.read()
    assert answer[:1] == b"\0", answer
    return time.perf_counter()


async def created_and_called(
    api: Api, site: Site, agents: list[Agent], number: int, at_once: int
) -> tuple[list[float], list[Sandbox]]:
    """Milliseconds from the start of the plugin process, right after its Pod was created, to its end."""
    waiting = Waiting(site.folder)

    async def one(wanted: tuple[int, str]) -> tuple[float, Sandbox]:
        index, name = wanted
        sandbox = await create(api, agents[index % len(agents)], name, POOL)
        return await called(waiting, sandbox), sandbox

    results = await each(enumerate(names(number)), one, at_once)
    assert not waiting.failed
    return [took for took, _ in results], [sandbox for _, sandbox in results]


async def bound_and_called(api: Api, site: Site, sandboxes: list[Sandbox]) -> tuple[list[float], float]:
    """Milliseconds that each ADD waited, and seconds that all bindings took."""
    waiting = Waiting(site.folder)
    began = {}

    async def one(sandbox: Sandbox) -> None:
        await bind(api, sandbox)
        began[sandbox.uid] = time.time()
        waiting.start(sandbox)

    start = time.perf_counter()
    await each(sandboxes, one, CONNECTIONS)
    seconds = time.perf_counter() - start
    await waiting.until(lambda: len(waiting.ended) == len(sandboxes), 120)
    assert not waiting.failed
    return [(waiting.ended[uid] - at) * 1000 for uid, at in began.items()], seconds


async def called(waiting: Waiting, sandbox: Sandbox) -> float:
    """One ADD process; milliseconds until it has ended."""
    began = time.time()
    waiting.start(sandbox)
    await waiting.until(lambda: sandbox.uid in waiting.ended)
    return (waiting.ended[sandbox.uid] - began) * 1000
