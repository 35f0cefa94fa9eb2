"""What subnets and pools report: acceptance, counts, the book of ranges. Projections, coalesced to one write a second.

I/O: status patches guarded by resourceVersion; Events for refusals.
"""

from __future__ import annotations

import time

from ipam.acceptance import Acceptance
from ipam.projection import Held, allocated_ips, controlled_pools
from netmgr.api import spider
from netmgr.api.meta import Condition, Json, ObjectReference
from netmgr.api.spider import SpiderIPPool, SpiderSubnet
from netmgr.controller import codec
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.events import EventRecorder
from netmgr.kube.leader import now_text

FINALIZER = "netmgr.io/addresses-in-use"
ACCEPTED = "Accepted"
PERIOD = 1.0


class Statuses:
    """Handlers of the keys "subnet" and "pool"."""

    def __init__(self, world: World, events: EventRecorder) -> None:
        self.world, self.events = world, events
        self.written: dict[str, float] = {}

    async def subnet(self, name: str) -> float | None:
        """Bring one SpiderSubnet's status up to date."""
        subnet = self.world.subnets.store.get(name)
        if subnet is None or subnet.metadata.deletion_timestamp:
            return None
        path = paths.named(spider.SUBNETS, name)
        if subnet.spec.ip_version is None:
            await self._set_version(path, subnet)
            return None
        verdict = self.world.verdicts()[0].get(name)
        if verdict is None:
            return None
        status = self._subnet_status(subnet, verdict)
        return await self._write(f"subnet/{name}", path, subnet, status, verdict, "SpiderSubnet")

    async def pool(self, name: str) -> float | None:
        """Bring one SpiderIPPool's status and finalizer up to date."""
        pool = self.world.pools.store.get(name)
        if pool is None:
            return None
        path = paths.named(spider.POOLS, name)
        if await self._finalizer(path, pool) or pool.metadata.deletion_timestamp:
            return None
        if pool.spec.ip_version is None:
            await self._set_version(path, pool)
            return None
        verdict = self.world.verdicts()[1].get(name)
        if verdict is None:
            return None
        return await self._write(f"pool/{name}", path, pool, self._pool_status(pool, verdict), verdict, "SpiderIPPool")

    async def _set_version(self, path: str, one: SpiderSubnet | SpiderIPPool) -> None:
        version = {"resourceVersion": one.metadata.resource_version}
        body: Json = {"metadata": version, "spec": {"ipVersion": codec.family_of(one.spec.subnet).number}}
        await self.world.api.merge_patch(path, body, type(one))

    async def _finalizer(self, path: str, pool: SpiderIPPool) -> bool:
        """Hold a pool in use back from deletion; True if something was written."""
        have = list(pool.metadata.finalizers or ())
        used = bool(self.world.by_pool.get(pool.metadata.name))
        if used == (FINALIZER in have) or (used and pool.metadata.deletion_timestamp):
            return False
        want = [*have, FINALIZER] if used else [one for one in have if one != FINALIZER]
        body: Json = {"metadata": {"resourceVersion": pool.metadata.resource_version, "finalizers": want}}
        await self.world.api.merge_patch(path, body, SpiderIPPool)
        return True

    def _subnet_status(self, subnet: SpiderSubnet, verdict: Acceptance) -> Json:
        book = {name: entry for name, entry in codec.book_of(subnet).items() if entry[1]}
        pools = self.world.verdicts()[1]
        for name, pool in self.world.pools.store.items():
            accepted = pools.get(name)
            if pool.spec.subnet == subnet.spec.subnet and name not in book and accepted and accepted.ranges:
                book[name] = (accepted.ranges.texts(), (pool.metadata.annotations or {}).get(codec.APPLICATION, ""))
        family = codec.family_of(subnet.spec.subnet)
        return {
            "controlledIPPools": controlled_pools(book),
            "totalIPCount": verdict.size,
            "allocatedIPCount": sum(codec.ranges_of(family, ranges).size for ranges, _ in book.values()),
            "acceptedRanges": verdict.ranges.texts() if verdict.ranges else [],
        }

    def _pool_status(self, pool: SpiderIPPool, verdict: Acceptance) -> Json:
        name = pool.metadata.name
        held = self.world.by_pool.get(name, {})
        text, cut = allocated_ips(Held(one.spec.address, codec.held_by(one), one.spec.pod.uid) for one in held.values())
        return {
            "allocatedIPs": text,
            "truncated": True if cut else None,
            "totalIPCount": verdict.size,
            "allocatedIPCount": len(held),
            "acceptedRanges": verdict.ranges.texts() if verdict.ranges else [],
        }

    async def _write(
        self, key: str, path: str, one: SpiderSubnet | SpiderIPPool, status: Json, verdict: Acceptance, kind: str
    ) -> float | None:
        """Patch what differs; seconds to wait if this object was written less than a second ago."""
        status |= {
            "observedGeneration": one.metadata.generation,
            "conditions": [condition(one.status.conditions, verdict, one.metadata.generation)],
        }
        if not differs(one.status, status):
            return None
        if (left := self.written.get(key, -PERIOD) + PERIOD - time.monotonic()) > 0:
            return left
        self.written[key] = time.monotonic()
        body: Json = {"metadata": {"resourceVersion": one.metadata.resource_version}, "status": status}
        await self.world.api.merge_patch(f"{path}/status", body, type(one))
        if verdict.message:
            about = ObjectReference(kind=kind, api_version=spider.GROUP_VERSION, name=one.metadata.name, uid=one.metadata.uid)
            self.events.record(about, "Warning", verdict.reason, verdict.message)
        return None


def condition(present: list[Condition] | None, verdict: Acceptance, generation: int) -> Json:
    """The condition Accepted; its transition time moves only with its status."""
    status = str(verdict.accepted)
    old = next((one for one in present or () if one.type == ACCEPTED), None)
    since = old.last_transition_time if old is not None and old.status == status else None
    return {
        "type": ACCEPTED,
        "status": status,
        "reason": verdict.reason,
        "message": verdict.message,
        "lastTransitionTime": since or now_text().split(".")[0].rstrip("Z") + "Z",
        "observedGeneration": generation,
    }


def differs(present: object, wanted: Json) -> bool:
    """Whether any field of the status as read is not as wanted."""
    import msgspec

    now = msgspec.to_builtins(present)
    return any(now.get(key) != value for key, value in wanted.items())
