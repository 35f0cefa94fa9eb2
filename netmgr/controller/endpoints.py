"""SpiderEndpoints: one for each Pod with addresses, rebuilt from IPAllocations. Switchable, and never on the path of an ADD.

I/O: at most one write for each object a second, always a second late, so that the addresses of one Pod come in one write. Switched
off, those that were made earlier are removed by the next leader: they would tell what is true no more.
"""

from __future__ import annotations

import logging
from collections import defaultdict

from netmgr.api.allocation import IPAllocation
from netmgr.api.endpoint import ENDPOINTS, SpiderEndpoint
from netmgr.api.meta import Json, PartialObject
from netmgr.controller.endpoint_view import MANAGED_BY, MANAGER, body_of, current_of, endpoint_key, outlives_its_pod, status_of
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.errors import AlreadyExists, NotFound
from netmgr.kube.reflector import Reflector
from netmgr.kube.store import EventKind, key_of

log = logging.getLogger(__name__)
LEFT = ""
"""The key of those that an earlier leader wrote."""
LATE = 1.0
"""Seconds between a change and the write that shows it: whatever else changes meanwhile is in it."""


class Endpoints:
    """Handler of the key "endpoint": `namespace/name`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.held: defaultdict[str, dict[str, IPAllocation]] = defaultdict(dict)
        self.copies = Reflector(world.api, ENDPOINTS, SpiderEndpoint, on_event=self._on_endpoint)
        world.observers.append(self._on_allocation)
        world.further.append(self.copies)

    async def project(self, key: str) -> float | None:
        """Make the SpiderEndpoint what the allocations say."""
        held, there = current_of(self.held.get(key, {}).values()), self.copies.store.get(key)
        if not held:
            await self._remove(there)
        elif there is None:
            if self._is_worth_it(held[0]):
                await self._create(key, held)
        elif self._differs(there, held):
            version: Json = {"resourceVersion": there.metadata.resource_version, "uid": there.metadata.uid}
            body = body_of(key, held)
            body["metadata"] |= version
            await self.world.api.merge_patch(self._path(there), body, SpiderEndpoint)
        return None

    def _is_worth_it(self, one: IPAllocation) -> bool:
        """An object that belongs to a Pod which is gone would go at once."""
        pod = self.world.pods.store.get(f"{one.spec.pod.namespace}/{one.spec.pod.name}")
        return outlives_its_pod(one.spec) or (pod is not None and pod.metadata.uid == one.spec.pod.uid)

    async def _create(self, key: str, held: list[IPAllocation]) -> None:
        collection = paths.in_namespace(ENDPOINTS, key.partition("/")[0])
        try:
            await self.world.api.create(collection, body_of(key, held), SpiderEndpoint)
        except AlreadyExists:
            log.info("endpoint made by somebody else key=%s", key)  # the watch shows it, and it is corrected then

    @staticmethod
    def _differs(there: SpiderEndpoint, held: list[IPAllocation]) -> bool:
        owners = {one.uid for one in there.metadata.owner_references or ()}
        wanted = set() if outlives_its_pod(held[0].spec) else {held[0].spec.pod.uid}
        ours = (there.metadata.labels or {}).get(MANAGED_BY) == MANAGER
        return not ours or owners != wanted or there.status != status_of(held)

    async def _remove(self, there: SpiderEndpoint | None) -> None:
        """Delete one whose claim has ended, if it is ours."""
        if there is not None and is_ours(there) and not there.metadata.deletion_timestamp:
            await delete(self.world, there)

    @staticmethod
    def _path(one: SpiderEndpoint) -> str:
        return paths.named(ENDPOINTS, one.metadata.name, namespace=one.metadata.namespace)

    def _on_allocation(self, kind: EventKind, one: IPAllocation, old: IPAllocation | None) -> None:
        """Keep the index; whoever is shown by another SpiderEndpoint now leaves the old one."""
        name = one.metadata.name
        if old is not None:
            before = endpoint_key(old.spec)
            self.held[before].pop(name, None)
            if not self.held[before]:
                del self.held[before]
            self._soon(before)
        if kind is not EventKind.DELETED:
            self.held[endpoint_key(one.spec)][name] = one
            self._soon(endpoint_key(one.spec))

    def _on_endpoint(self, _kind: EventKind, one: SpiderEndpoint, _old: SpiderEndpoint | None) -> None:
        self._soon(key_of(one.metadata))

    def _soon(self, key: str) -> None:
        self.world.queue.add_after(("endpoint", key), LATE)


class NoEndpoints:
    """The projection is off: no watch, no write, and what an earlier leader wrote goes."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.queue.add(("endpoint", LEFT))

    async def project(self, _key: str) -> float | None:
        """Remove all that are ours; asked once by each leader."""
        try:
            left = await self.world.api.list(ENDPOINTS, PartialObject, label_selector=f"{MANAGED_BY}={MANAGER}")
        except NotFound:  # the kind is not installed
            return None
        for one in left:
            await delete(self.world, one)
        return None


def is_ours(one: SpiderEndpoint | PartialObject) -> bool:
    """Whether netmgr's controller wrote it: another's is left alone."""
    return (one.metadata.labels or {}).get(MANAGED_BY) == MANAGER


async def delete(world: World, one: SpiderEndpoint | PartialObject) -> None:
    """Delete the very object that was seen."""
    path = paths.named(ENDPOINTS, one.metadata.name, namespace=one.metadata.namespace)
    try:
        await world.api.delete(path, uid=one.metadata.uid)
    except NotFound:
        return
