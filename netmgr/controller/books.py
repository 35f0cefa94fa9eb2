"""The book of each subnet: which ranges which pool has. Ranges are carved here and nowhere else.

I/O: one status patch per entry, guarded by the resourceVersion it was planned on. In this process carvings of one subnet take
turns, each on the version that the last one's answer showed; another leader's late write is refused by the API server.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ipam.projection import controlled_pools
from netmgr.api import spider
from netmgr.api.meta import Json
from netmgr.api.spider import SpiderSubnet
from netmgr.controller import codec
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.client import exists
from netmgr.kube.errors import Conflict, Status


class Books:
    """`of` a subnet for planning, `enter` what was planned, `close` entries whose pools are gone."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._newest: dict[str, SpiderSubnet] = {}
        self._doubted: set[str] = set()

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[SpiderSubnet]:
        """The subnet as new as anything this process has seen; nobody else here carves it meanwhile."""
        async with self._turns[name]:
            try:
                yield await self._read(name)
            except Conflict:
                self._newest.pop(name, None)
                self._doubted.add(name)
                raise

    async def _read(self, name: str) -> SpiderSubnet:
        if name in self._doubted:  # the copy may stand still while all else goes on
            self._newest[name] = await self.world.api.get(paths.named(spider.SUBNETS, name), SpiderSubnet)
            self._doubted.discard(name)
        known, mine = self.world.subnets.store.get(name), self._newest.get(name)
        if known is not None and (mine is None or version_of(known) >= version_of(mine)):
            self._newest.pop(name, None)
            return known
        if known is not None and mine is not None:
            return mine
        return await self.world.api.get(paths.named(spider.SUBNETS, name), SpiderSubnet)

    async def enter(self, subnet: SpiderSubnet, pool: str, ranges: list[str] | None, application: str) -> bool:
        """Write one entry (None removes it); False where the copy has it already, which proves nothing."""
        book = codec.book_of(subnet)
        before = dict(book)
        if ranges is None:
            book.pop(pool, None)
        else:
            book[pool] = (ranges, application)
        if book == before:
            return False
        name = subnet.metadata.name
        body: Json = {
            "metadata": {"resourceVersion": subnet.metadata.resource_version},
            "status": {"controlledIPPools": controlled_pools(book)},
        }
        self._newest[name] = await self.world.api.merge_patch(paths.named(spider.SUBNETS, name, "status"), body, SpiderSubnet)
        return True

    async def confirm(self, subnet: SpiderSubnet, pool: str, ranges: list[str]) -> None:
        """Conflict where the stored book has other ranges for the pool: a write of which nobody learned may have changed it."""
        path = paths.named(spider.SUBNETS, subnet.metadata.name)
        if codec.book_of(await self.world.api.get(path, SpiderSubnet)).get(pool, ([], ""))[0] != ranges:
            raise Conflict(f"grow {pool}", Status(code=409, reason="Conflict", message=f"its entry in {path} is another one now"))

    async def close(self, application: str) -> None:
        """Give back an application's ranges of pools that are gone, by a live read: the copy may lag behind one just made."""
        for name, known in list(self.world.subnets.store.items()):
            if any(pool not in self.world.pools.store for pool in codec.booked_for(known, application)):
                async with self.of(name) as subnet:
                    await self._close(subnet, application)

    async def _close(self, subnet: SpiderSubnet, application: str) -> None:
        gone = [pool for pool in codec.booked_for(subnet, application) if pool not in self.world.pools.store]
        for pool in gone:
            if not await exists(self.world.api, paths.named(spider.POOLS, pool)):
                await self.enter(self._newest.get(subnet.metadata.name, subnet), pool, None, "")


def version_of(subnet: SpiderSubnet) -> int:
    """The resourceVersion, which grows (Kubernetes 1.35 says so of all resources; etcd's revision before that)."""
    return int(subnet.metadata.resource_version)
