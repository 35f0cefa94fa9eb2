"""The controller process: warm copies in every replica, one leader that works the queue.

I/O: everything; this file only wires. A replica that loses the Lease ends, so that its successor starts from a clean state.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ipam.fallback import NO_FALLBACK, Fallback
from netmgr.api import allocation
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import PartialObject
from netmgr.controller.allocations import Allocations
from netmgr.controller.applications import Applications
from netmgr.controller.endpoints import Endpoints, NoEndpoints
from netmgr.controller.gauges import Gauges
from netmgr.controller.pods import Pods
from netmgr.controller.repairing import Repairs
from netmgr.controller.reservations import Reservations
from netmgr.controller.serving import serving
from netmgr.controller.statuses import Statuses
from netmgr.controller.strays import Strays
from netmgr.controller.world import LARGE_PAGE, Key, World
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.errors import LeaseLost
from netmgr.kube.events import EventRecorder
from netmgr.kube.keyed_queue import KeyedQueue
from netmgr.kube.leader import LeaderLease
from netmgr.kube.lean import LeanTransport

log = logging.getLogger(__name__)
WORKERS = 32
LEASE = "netmgr-controller"


@dataclass(frozen=True, slots=True)
class Options:
    """What an administrator may choose. Port 0: nowhere."""

    spider_endpoints: bool = False
    metrics_port: int = 0
    repair_seconds: float = 0.0
    webhook_address: str = "127.0.0.1"
    webhook_port: int = 0
    fallback: Fallback = NO_FALLBACK
    default_network: str = ""


PLAIN = Options()


class Controller:
    """Handlers by kind of key. `beside` runs as long as this process leads, beside the queue."""

    def __init__(self, api: Api, namespace: str, options: Options = PLAIN) -> None:
        self.api, self.repair_seconds = api, options.repair_seconds
        self.queue: KeyedQueue[Key] = KeyedQueue("controller", first=0.02, longest=15.0)
        self.world = World(api, namespace, self.queue, fallback=options.fallback, network=options.default_network)
        self.events = EventRecorder(api, "netmgr-controller")
        self.metrics = self.world.metrics
        api.observe = self.metrics.request
        self.webhook_trouble: Callable[[], str] = str
        self.beside: list[Callable[[], Coroutine[None, None, None]]] = [self.events.run]
        statuses, allocations = Statuses(self.world, self.events), Allocations(self.world, self.events)
        endpoints = Endpoints(self.world) if options.spider_endpoints else NoEndpoints(self.world)
        pods = Pods(self.world, self.events)
        self.delegations = pods.delegations
        self.handlers = {
            "pod": pods.claim,
            "app": Applications(self.world, self.events).fit,
            "allocation": allocations.settle,
            "reservation": Reservations(self.world, self.events).warn,
            "agent": Strays(self.world).restore,
            "subnet": statuses.subnet,
            "pool": statuses.pool,
            "endpoint": endpoints.project,
        }
        self.metrics.add(Gauges(self.world, self.events, self.handlers))
        self.repairs = Repairs(self.world, self.events, allocations, statuses)

    def unready(self) -> str:
        """Why this replica should not be asked yet; empty: it may be."""
        return self.world.unsynced() or self.webhook_trouble()

    async def handle(self, key: Key) -> float | None:
        """One key."""
        began, failed = time.perf_counter(), True
        try:
            after = await self.handlers[key[0]](key[1])
            failed = False
        finally:
            self.metrics.handled(key[0], time.perf_counter() - began, failed=failed)
        return after

    async def _catch_up(self) -> None:
        """Return once the copy of all allocations is as new as a consistent list of them.

        The list's own resourceVersion does not serve: it counts every write of the cluster, and a quiet watch learns of it only
        by the next bookmark, a minute later. So objects are compared; one deleted meanwhile shows in the next list.
        """
        while True:
            listed = await self.api.list(allocation.ALLOCATIONS, PartialObject, page=LARGE_PAGE)
            end = asyncio.get_running_loop().time() + 1.0
            while asyncio.get_running_loop().time() < end:
                if is_newer_copy(self.world.allocations.store, listed):
                    return
                await asyncio.sleep(0.02)

    async def lead(self) -> None:
        """Work as the leader: nothing is written before the copy of all allocations is as new as a consistent list."""
        await self._catch_up()
        if self.world.fallback.plugin:
            await self.delegations.load()
        log.info("leading allocations=%s", len(self.world.allocations.store))
        beside = [asyncio.create_task(one()) for one in self.beside]
        working = asyncio.create_task(self.queue.run(self.handle, WORKERS))
        mending = asyncio.create_task(self._mend())
        self.metrics.leader.set(1)
        try:
            await asyncio.shield(working)
        finally:
            self.metrics.leader.set(0)
            mending.cancel()
            await asyncio.gather(mending, return_exceptions=True)
            await self.queue.drain()
            for task in (working, *beside):
                task.cancel()
            await asyncio.gather(working, *beside, return_exceptions=True)

    async def _mend(self) -> None:
        """Reconcile periodically, if it was asked for; keys go through the queue, so that none is worked on twice at a time."""

        async def work(key: Key) -> None:
            self.queue.add(key, urgent=True)

        if self.repair_seconds:
            await self.repairs.run(self.repair_seconds, work)


@asynccontextmanager
async def admission(controller: Controller, api: Api, namespace: str, options: Options) -> AsyncIterator[None]:
    """Serve the admission webhook, in every replica; the leader keeps its certificates."""
    if not options.webhook_port:
        yield
        return
    from netmgr.webhook.keeping import Keeper
    from netmgr.webhook.server import Place, Webhook

    webhook = Webhook(api, namespace, controller.world, Place(options.webhook_address, options.webhook_port))
    controller.webhook_trouble = webhook.trouble
    controller.beside.append(Keeper(api, namespace, webhook.changed).run)
    async with webhook.serving():
        yield


def is_newer_copy(copy: Mapping[str, IPAllocation], listed: list[PartialObject]) -> bool:
    """Whether the copy shows each listed object at its version or a later one, and none that the list lacks."""
    versions = {one.metadata.name: int(one.metadata.resource_version) for one in listed}
    newest = max(versions.values(), default=0)
    lacking = any(name not in copy or int(copy[name].metadata.resource_version) < v for name, v in versions.items())
    ghosts = any(name not in versions and int(one.metadata.resource_version) < newest for name, one in copy.items())
    return not lacking and not ghosts


def identity_of_process() -> str:
    """Unique among replicas and their restarts."""
    return f"{socket.gethostname()}_{os.environ.get('POD_NAME', 'process')}_{os.getpid()}"


async def run(kubeconfig: Path | None, namespace: str, identity: str, options: Options) -> int:
    """Run until SIGTERM (0) or until the Lease is lost (1)."""
    loop = asyncio.get_running_loop()
    async with Api(load(kubeconfig), user_agent="netmgr-controller", transport=LeanTransport) as api:
        controller = Controller(api, namespace, options)
        lease = LeaderLease(api, namespace, LEASE, identity or identity_of_process())
        world = controller.world
        page = serving(options.metrics_port, controller.metrics.text, health=world.trouble, readiness=controller.unready)
        async with page, world.running(), admission(controller, api, namespace, options):
            gc.freeze()  # what was read at the start stays: no collection has to look at it again
            log.info("synced pods=%s pools=%s", len(controller.world.pods.store), len(controller.world.pools.store))
            task = asyncio.ensure_future(lease.run(controller.lead))
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, task.cancel)
            try:
                await task
            except asyncio.CancelledError:
                log.info("ended")
                return 0
            except LeaseLost as error:
                log.error("lease_lost error=%s", error)  # noqa: TRY400 - the reason is all there is
                return 1
    return 0
