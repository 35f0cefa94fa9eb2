"""What subnets and pools report: conditions, counts, the book of ranges. Projections, coalesced to one write a second.

I/O: status patches guarded by resourceVersion; Events for what its owner should look at. What is said is decided in
`ipam.conditions` and put together in `standing.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ipam.conditions import Told
from netmgr.api import spider
from netmgr.api.meta import Json, ObjectReference
from netmgr.api.spider import FINALIZER, SpiderIPPool, SpiderSubnet
from netmgr.controller import codec, standing
from netmgr.controller.defaults import owner_of, pool_defaults, subnet_defaults
from netmgr.controller.fencing import text_of
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.errors import NotFound
from netmgr.kube.events import EventRecorder

PERIOD = 1.0
MATTERS = frozenset({"ipVersion", "gateway", "routes"})
"""Fields of spec that Pods depend on. The webhook's other defaults make objects tidier, and are not worth a write of their own."""

Report = tuple[Json, tuple[Told, ...]]
"""The status without its conditions, and the conditions."""


class Statuses:
    """Handlers of the keys "subnet" and "pool"."""

    def __init__(self, world: World, events: EventRecorder) -> None:
        self.world, self.events = world, events
        self.written: dict[str, float] = {}

    async def subnet(self, name: str) -> float | None:
        """Bring one SpiderSubnet's status up to date."""
        one = self.world.subnets.store.get(name)
        if one is None or one.metadata.deletion_timestamp:
            self.written.pop(f"SpiderSubnet/{name}", None)
            return None
        return await self._report(
            paths.named(spider.SUBNETS, name), one, "SpiderSubnet", lambda: standing.of_subnet(self.world, one)
        )

    async def pool(self, name: str) -> float | None:
        """Bring one SpiderIPPool's status and finalizer up to date."""
        one = self.world.pools.store.get(name)
        if one is None:
            self.written.pop(f"SpiderIPPool/{name}", None)
            return None
        if await self.protect(one, used=bool(self.world.by_pool.get(name))):
            return None
        path = paths.named(spider.POOLS, name)
        return await self._report(path, one, "SpiderIPPool", lambda: standing.of_pool(self.world, one))

    async def _report(
        self, path: str, one: SpiderSubnet | SpiderIPPool, kind: str, look: Callable[[], Report | None]
    ) -> float | None:
        """Complete the spec, then say what is to be said; seconds to wait where it was said less than a second ago."""
        try:
            if await self._complete(path, one):
                return None
            if (left := self._rest_of_period(f"{kind}/{one.metadata.name}")) > 0:
                return left  # asked first, since a status costs as much as the object holds
            seen = look()
            if seen is not None:
                await self._write(path, one, kind, *seen)
        except NotFound:
            return None
        return None

    def _rest_of_period(self, key: str) -> float:
        """Seconds until the object may be written again."""
        now = asyncio.get_running_loop().time()
        return self.written.get(key, now - PERIOD) + PERIOD - now

    async def _complete(self, path: str, one: SpiderSubnet | SpiderIPPool) -> bool:
        """Fill in what the webhook would have, for an object that came while none answered; True if something was written."""
        if isinstance(one, SpiderIPPool):
            lacking = pool_defaults(one, owner_of(one, self.world.subnets.store, self.world.verdicts()[0]))
        else:
            lacking = subnet_defaults(one)
        if one.metadata.deletion_timestamp or MATTERS.isdisjoint(lacking.get("spec", {})):
            return False
        meta = {"resourceVersion": one.metadata.resource_version, **lacking.get("metadata", {})}
        await self.world.api.merge_patch(path, {**lacking, "metadata": meta}, type(one))
        return True

    async def protect(self, pool: SpiderIPPool, *, used: bool) -> bool:
        """Hold a pool in use back from deletion, let another one go; True if something was written."""
        path, have = paths.named(spider.POOLS, pool.metadata.name), list(pool.metadata.finalizers or ())
        if used == (FINALIZER in have) or (used and pool.metadata.deletion_timestamp):
            return False
        want = [*have, FINALIZER] if used else [one for one in have if one != FINALIZER]
        body: Json = {"metadata": {"resourceVersion": pool.metadata.resource_version, "finalizers": want}}
        await self.world.api.merge_patch(path, body, SpiderIPPool)
        return True

    async def _write(self, path: str, one: SpiderSubnet | SpiderIPPool, kind: str, counts: Json, told: tuple[Told, ...]) -> None:
        """Patch what differs."""
        present = one.status.conditions or []
        conditions = standing.conditions(present, told, one.metadata.generation, text_of(self.world.api.server_time()))
        status = counts | {"observedGeneration": one.metadata.generation, "conditions": conditions}
        if not standing.differs(one.status, status):
            return
        self.written[f"{kind}/{one.metadata.name}"] = asyncio.get_running_loop().time()
        body: Json = {"metadata": {"resourceVersion": one.metadata.resource_version}, "status": status}
        await self.world.api.merge_patch(f"{path}/status", body, type(one))
        self.world.metrics.status_writes.labels(kind).inc()
        about = ObjectReference(kind=kind, api_version=spider.GROUP_VERSION, name=one.metadata.name, uid=one.metadata.uid)
        for news in standing.news(present, told, own_pool=codec.APPLICATION in (one.metadata.annotations or {})):
            self.events.record(about, "Warning", news.reason, news.message)
