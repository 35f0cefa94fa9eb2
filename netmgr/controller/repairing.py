"""Periodic reconciliation: what the event path missed is found by live reads and put right by the event path's own rules.

I/O: lists of everything, twice, some seconds apart; then one guarded write or one key for each damage that was there both times.
Nothing is freed here that `ipam.release` would not free.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json
from netmgr.api.spider import SpiderIPPool
from netmgr.api.workload import Pod
from netmgr.audit.damage import REMEDY, REPORTED, Damage, Kind, damages
from netmgr.controller import codec, live_view
from netmgr.controller.allocations import Allocations
from netmgr.controller.books import Books
from netmgr.controller.kinds import parts_of
from netmgr.controller.pods import CONDITION, MANAGER, seconds_text
from netmgr.controller.statuses import Statuses
from netmgr.controller.world import Key, World
from netmgr.kube import paths
from netmgr.kube.client import exists
from netmgr.kube.errors import ApiError, Conflict, NotFound
from netmgr.kube.events import EventRecorder

log = logging.getLogger(__name__)
FIRST_SECONDS = 10.0
"""A new leader first does what waits for it."""
CONFIRM_SECONDS = 5.0
"""A damage counts that is there twice, so long apart: a cluster in motion needs less to settle."""

Work = Callable[[Key], Awaitable[None]]
"""Has one key worked on by its handler: through the leader's queue, or at once where nobody leads."""


class Repairs:
    """`find` looks, `mend` acts, `run` does both for as long as this replica leads."""

    def __init__(self, world: World, events: EventRecorder, allocations: Allocations, statuses: Statuses) -> None:
        self.world, self.events = world, events
        self.allocations, self.statuses, self.books = allocations, statuses, Books(world)

    async def run(self, period: float, work: Work) -> None:
        """Soon and every `period` seconds, until cancelled. What the queue holds is on its way, so no damage."""
        await asyncio.sleep(min(FIRST_SECONDS, period))
        while True:
            try:
                for one in await self.find(CONFIRM_SECONDS, busy=self.world.queue.keys):
                    await self.mend(one, work)
            except ApiError as error:
                log.warning("reconciliation_failed error=%s next=%g s", error, period)
            except Exception:
                log.exception("reconciliation_failed next=%g s", period)
            else:
                self.world.metrics.reconciled.set(time.time())
            await asyncio.sleep(period)

    async def find(self, confirm: float, busy: Callable[[], Iterable[Key]] = tuple) -> list[Damage]:
        """Damage that is there now and still there `confirm` seconds later; `busy` gives keys that are being worked on."""
        before = {one.mark for one in damages(await live_view.read(self.world, busy()))}
        found: list[Damage] = []
        if before:
            await asyncio.sleep(confirm)
            found = [one for one in damages(await live_view.read(self.world, busy())) if one.mark in before]
        seen = Counter(one.kind for one in found)
        for kind in Kind:
            self.world.metrics.damage.labels(kind.value).set(seen[kind])
        return found

    async def mend(self, one: Damage, work: Work) -> bool:
        """Put one damage right, and say so; False where it is only reported, or somebody else was faster."""
        if one.kind in REPORTED:
            self.events.record(one.about, "Warning", "NotRepaired", f"{one.kind}: {one.message}; {REMEDY[one.kind]}")
            return False
        try:
            done = await self._mend(one, work)
        except (Conflict, NotFound) as error:
            log.info("repair_overtaken kind=%s object=%s error=%s", one.kind, one.name, error)
            return False
        except ApiError as error:  # the others are none the worse for it
            log.warning("repair_failed kind=%s object=%s error=%s", one.kind, one.name, error)
            return False
        if not done:
            return False
        log.warning("repaired kind=%s object=%s found=%s", one.kind, one.name, one.message)
        self.world.metrics.repairs.labels(one.kind.value).inc()
        self.events.record(one.about, "Warning", "Repaired", f"{one.kind}: {one.message}; {REMEDY[one.kind]}")
        return True

    async def _mend(self, one: Damage, work: Work) -> bool:
        """The event path's own way for each kind; False where a last look showed that nothing is to be done."""
        if one.kind in {Kind.HOLDER_GONE, Kind.HOLDER_REPLACED, Kind.HOLDER_FINISHED, Kind.NOT_FREED}:
            path = paths.named(allocation.ALLOCATIONS, one.name)
            return await self.allocations.settle_live(await self.world.api.get(path, IPAllocation))
        if one.kind in {Kind.ORPHANED_FINALIZER, Kind.UNPROTECTED_POOL}:
            return await self._protect(one.name)
        if one.kind is Kind.POOL_WITHOUT_APPLICATION:
            await work(("app", codec.owner_of(await self.world.api.get(paths.named(spider.POOLS, one.name), SpiderIPPool))))
        elif one.kind is Kind.ENTRY_WITHOUT_POOL:
            await self._close(one, work)
        else:
            await work(("pod", one.name))
        return True

    async def _protect(self, name: str) -> bool:
        """The pool is read before the allocations: one made in between changes nothing that is decided here."""
        pool = await self.world.api.get(paths.named(spider.POOLS, name), SpiderIPPool)
        held = await self.world.api.list(allocation.ALLOCATIONS, IPAllocation)
        return await self.statuses.protect(pool, used=any(one.spec.pool == name for one in held))

    async def _close(self, one: Damage, work: Work) -> None:
        """An entry goes, or gets its pool, by its application; one that names none goes at once."""
        pool = one.name.partition("/")[2]
        async with self.books.of(one.about.name) as subnet:
            entry = codec.book_of(subnet).get(pool)
            if (
                entry is not None
                and parts_of(entry[1]) is None
                and not await exists(self.world.api, paths.named(spider.POOLS, pool))
            ):
                await self.books.enter(subnet, pool, None, "")
                return
        if entry is not None:
            await work(("app", entry[1]))


async def nudge(world: World, key: str) -> None:
    """Have the leader look at a Pod again: a change of a Pod without its addresses is an event. For who does not lead."""
    namespace, _, name = key.partition("/")
    words = "an administrator has asked to look at this Pod again (netmgr repair)"
    one = {"type": CONDITION, "status": "False", "reason": "PoolPending", "message": words, "lastTransitionTime": seconds_text()}
    meta = {"name": name, "namespace": namespace}
    body: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": {"conditions": [one]}}
    await world.api.apply(paths.named(paths.PODS, name, "status", namespace=namespace), body, MANAGER, Pod, force=True)
