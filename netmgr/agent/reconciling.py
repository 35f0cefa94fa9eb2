"""What the agent does when an allocation of its node changes: confirm releases, withdraw and restore routes, name strays.

| allocation | attached here | what happens |
| --- | --- | --- |
| `Releasing` | no, no route, no ADD in flight | reported `Detached`, never answered from again |
| `Releasing` | yes, but the namespace is gone, and the route | ended as by a DEL: a runtime that was wiped sends none |
| `Releasing`, imported | the same, and no namespace has the address | the same: another plugin attached it, there is no record |
| of an earlier boot | no, no ADD in flight | reported `Detached` with the present boot id |
| gone, or of another Pod | yes | host route away at once, stray in the Lease; never a release |
| there (again) for the attached Pod | yes | host route restored, stray ended |
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec

from cni import kernel
from cni.attachments import Attachment, AttachmentStore
from cni.lookup import RouteLookup
from ipam.prefix import parse_address
from netmgr.agent.allocations import grant_of, sandbox_of
from netmgr.agent.answering import Answering
from netmgr.agent.reports import Reports
from netmgr.api.allocation import BOUND, RELEASING, IPAllocation
from netmgr.api.meta import Json

log = logging.getLogger(__name__)


def is_gone(netns: str) -> bool:
    """Whether a namespace's file is not there any more; not where its folder is none that we see."""
    file = Path(netns)
    return bool(netns) and file.parent.is_dir() and not file.exists()


class Reconciling:
    """Call `look` with a name whenever its allocation may have changed; `strays` is for the Lease."""

    def __init__(
        self,
        known: dict[str, IPAllocation],
        store: AttachmentStore,
        reports: Reports,
        answering: Answering,
        routes: RouteLookup,
    ) -> None:
        self._known, self._store, self._reports, self._answering, self._routes = known, store, reports, answering, routes

    def strays(self) -> list[Json]:
        """Attachments whose allocation has vanished or is another Pod's."""
        return self._strays_among(self._store.attached.values())

    def _strays_among(self, attachments: Iterable[Attachment]) -> list[Json]:
        found: list[Json] = []
        for one in attachments:
            for grant in one.grants:
                if grant.address in one.withdrawn:
                    spec = msgspec.json.decode(grant.origin, type=dict)
                    reason = "Rebound" if grant.name in self._known else "Gone"
                    found.append({**spec, "podUID": spec["pod"]["uid"], "containerID": one.container_id, "reason": reason})
        return found

    async def look(self, name: str) -> bool:
        """Make attachment and allocation agree; whether its strays have changed.

        Only those of this name are compared: an event must not cost as much as the node has Pods.
        """
        before = self._strays_among(self._store.holding(name))
        allocation = self._known.get(name)
        for one in self._store.holding(name):
            if allocation is not None and sandbox_of(allocation) == one.sandbox_of:
                await self._restore(one, allocation)
            else:
                await self._withdraw(one, name)
        if allocation is not None:
            await self._confirm(allocation)
        return self._strays_among(self._store.holding(name)) != before

    async def _confirm(self, allocation: IPAllocation) -> None:
        status, spec = allocation.status, allocation.spec
        asked = status.phase == RELEASING and status.pod_uid == spec.pod.uid
        if self._answering.is_adding(sandbox_of(allocation)):
            return
        if attached := self._store.holding(allocation.metadata.name):
            for one in attached if asked else ():
                await self._bury(one)
            return
        other_boot = status.phase == BOUND and spec.boot_id not in {"", self._store.boot}
        if other_boot or (asked and await self._is_unattached(allocation)):
            self._reports.nothing_attached(allocation)

    async def _bury(self, one: Attachment) -> None:
        """End an attachment whose sandbox has vanished without a DEL."""
        routes = [self._routes.link_of(parse_address(grant.address)) for grant in one.grants]
        if not any(routes) and is_gone(one.netns):
            log.warning("sandbox_vanished attachment=%s namespace=%s", one.key, one.netns)
            await self._answering.release(one.key)

    async def _is_unattached(self, allocation: IPAllocation) -> bool:
        address = parse_address(allocation.spec.address)
        link = self._routes.link_of(address)
        if link is not None:
            log.warning("release_waits allocation=%s link=%s", allocation.metadata.name, link)
            return False
        if not (self._store.was_empty or allocation.is_imported):
            return True
        inside = await asyncio.to_thread(kernel.namespace_with, address)
        if inside is not None:
            log.warning("release_waits allocation=%s namespace=%s", allocation.metadata.name, inside)
        return inside is None

    async def _withdraw(self, one: Attachment, name: str) -> None:
        withdrawn = dict(one.withdrawn)
        for grant in one.grants:
            if grant.name == name and grant.address not in withdrawn:
                address = parse_address(grant.address)
                link = one.link or self._routes.link_of(address) or ""
                await asyncio.to_thread(kernel.remove_host_route, address, link)
                withdrawn[grant.address] = link
                log.warning("stray address=%s pod_uid=%s link=%s", address, one.pod_uid, link)
        if one.key in self._store.attached:
            self._store.attach(msgspec.structs.replace(one, withdrawn=withdrawn))

    async def _restore(self, one: Attachment, allocation: IPAllocation) -> None:
        address = allocation.spec.address
        same = any(grant.uid == allocation.metadata.uid for grant in one.grants)
        if address not in one.withdrawn and same:
            return
        link = one.withdrawn.get(address, "")
        if link and one.key in self._store.attached:
            await asyncio.to_thread(kernel.add_host_route, parse_address(address), link)
        withdrawn = {key: value for key, value in one.withdrawn.items() if key != address}
        grants = tuple(grant_of(allocation) if grant.name == allocation.metadata.name else grant for grant in one.grants)
        if one.key in self._store.attached:
            self._store.attach(msgspec.structs.replace(one, withdrawn=withdrawn, grants=grants))
        log.info("restored address=%s pod_uid=%s link=%s", address, one.pod_uid, link)
