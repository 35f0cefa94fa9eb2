"""1,010 ADDs wait when the controller starts, and the pool has exactly 1,000 addresses: ten wait on, and say why.

The time counts from the controller's word that it leads; what a process needs to start is a row of its own.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from netmgr.api.workload import Pod
from netmgr.controller.pods import is_refused
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.reflector import Reflector
from tests.bench import raw
from tests.bench.calls import PLUGIN, Sandbox, Waiting, many, must_succeed
from tests.bench.figures import Figure, quantile
from tests.bench.pods import create_all, delete_all, tear_down
from tests.bench.site import Process, Site
from tests.waiting import eventually

PODS, ADDRESSES, AGENTS = 1010, 1000, 8
SPARE = PODS - ADDRESSES
POOL = "waiting"


@dataclass(slots=True)
class Seen:
    """What came of the 1,010; times are in seconds since 1970."""

    began: float = 0.0
    leading: float = 0.0
    ended: list[float] = field(default_factory=list)
    told: int = 0
    late: int = 0
    failed: int = 0
    addresses: int = 0
    left: list[Sandbox] = field(default_factory=list)


def measure(site: Site) -> list[Figure]:
    """Times, rate against raw creates, and the fate of the ten."""
    site.pool(POOL, "10.72.0.0/16", "10.72.0.1-10.72.3.232")
    agents = site.with_agents(AGENTS)
    sandboxes = site.call(lambda api: create_all(api, agents, PODS, POOL))
    seen = site.call(lambda api: scene(api, site, sandboxes))
    floor = site.call(lambda api: raw.measure(api, ADDRESSES))
    with site.controller():
        tear_down(site, [one for one in sandboxes if one not in seen.left], POOL)
    took = seen.ended[ADDRESSES - 1] - seen.leading
    waits = [1000 * (end - seen.leading) for end in seen.ended[:ADDRESSES]]
    rate = ADDRESSES / took
    return [
        Figure(what="1,000 waiting ADDs, all answered", value=took, unit="s", floor=ADDRESSES / floor.rate, at_most=2.5),
        Figure(what="the same, from the start of the process", value=took + seen.leading - seen.began, unit="s"),
        Figure(what="addresses a second", value=rate, unit="1/s", floor=floor.rate, at_least=0.8 * floor.rate),
        Figure(what="ADD waited: median", value=quantile(waits, 0.5), unit="ms"),
        Figure(what="failed ADDs", value=seen.failed, unit="", at_most=0),
        Figure(what="different addresses among the first 1,000", value=seen.addresses, unit="", at_least=ADDRESSES),
        Figure(what="Pods of 1,010 that say why they wait", value=seen.told, unit="", at_most=SPARE, at_least=SPARE),
        Figure(what="of these, answered when ten others left", value=seen.late, unit="", at_least=SPARE),
    ]


async def scene(api: Api, site: Site, sandboxes: list[Sandbox]) -> Seen:
    """All processes wait, then the controller starts; at the end ten Pods leave."""
    waiting, pods, seen = Waiting(site.folder), Reflector(api, paths.PODS, Pod), Seen()
    watching = asyncio.create_task(pods.run())
    try:
        await pods.synced.wait()
        for one in sandboxes:
            waiting.start(one)
        await all_connected(waiting)
        with site.starting_controller() as controller:
            await waiting.until(lambda: len(waiting.ended) >= ADDRESSES, 120)
            seen.addresses = len(waiting.addresses())
            seen.told = await told(pods)
            await make_room(api, waiting, sandboxes, seen)
            seen.began, seen.leading = controller.began, said_leading(controller)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    seen.ended, seen.failed = sorted(waiting.ended.values()), waiting.failed
    return seen


async def all_connected(waiting: Waiting) -> None:
    """Every process has handed its question to its agent: it sleeps in read(2) on the socket."""
    await asyncio.to_thread(eventually, waiting.all_sleep, bool, within=60, what="all plugin processes wait")


def said_leading(controller: Process) -> float:
    """When the controller began to lead."""
    leading = controller.said("leading")
    assert leading is not None
    return leading


async def told(pods: Reflector[Pod]) -> int:
    """Pods whose condition says that the pool is full; it takes a moment to be written."""

    def count() -> int:
        refused = [pod for pod in list(pods.store.values()) if is_refused(pod)]
        return sum(1 for pod in refused if any("has no free address" in one.message for one in pod.status.conditions or ()))

    try:
        return await asyncio.to_thread(eventually, count, lambda seen: seen >= SPARE, within=30)
    except AssertionError:
        return count()


async def make_room(api: Api, waiting: Waiting, sandboxes: list[Sandbox], seen: Seen) -> None:
    """Ten that were answered leave; the ten that wait are to be answered."""
    seen.left = [one for one in sandboxes if one.uid in waiting.ended][:SPARE]
    outcomes, _ = await asyncio.to_thread(many, PLUGIN, seen.left, "DEL", 4)
    must_succeed(outcomes)
    await delete_all(api, seen.left)
    await waiting.until(lambda: len(waiting.ended) >= PODS, 60)
    seen.late = len(waiting.ended) - ADDRESSES
