"""I/O: answers CNI calls from memory. ADD sends no request unless a `Detached` of ours, or an earlier boot, must be taken back."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

from cni import kernel
from cni.attachments import Attachment, AttachmentStore
from cni.config import AttachmentKey, Call
from cni.errors import BadRequest, KernelRefused, NotReady, StateLost, TryLater
from cni.lookup import RouteLookup
from cni.protocol import Answer, HandOver, HandOverEach
from cni.result import ipam_result, main_result
from ipam.prefix import Address, parse_address
from netmgr.agent.allocations import NodeAllocations, Sandbox, grant_of, is_detached, is_of_another_boot
from netmgr.agent.delegating import Delegating
from netmgr.agent.reports import Reports
from netmgr.agent.wiring import in_thread, unwire, wire
from netmgr.api.allocation import IPAllocation
from netmgr.kube.errors import ApiError

log = logging.getLogger(__name__)
FIRST_LOOK, LONGEST_LOOK = 3.0, 15.0
"""Seconds after which a waiting ADD looks whether its Pod still lives; the time doubles up to the longest."""

REMEMBERED = 4096


class PodFacts(Protocol):
    """What only the API server knows about a Pod whose ADD waits."""

    async def is_ending(self, call: Call) -> bool:
        """Whether the Pod is gone, replaced or being deleted: nobody will give it an address."""
        ...

    async def reason(self, call: Call) -> str:
        """Why the Pod has no address, as the controller wrote it."""
        ...


class Answering:
    """The agent's side of the plugin protocol. `facts` are asked about a Pod only while its ADD waits."""

    def __init__(
        self,
        allocations: NodeAllocations,
        store: AttachmentStore,
        reports: Reports,
        routes: RouteLookup,
        *,
        delegating: Delegating,
        deadline: float,
        facts: PodFacts,
        synced: asyncio.Event,
    ) -> None:
        self._allocations, self._store, self._reports, self._routes = allocations, store, reports, routes
        self._delegating = delegating
        self._deadline, self._facts, self._synced = deadline, facts, synced
        self._locks: dict[Sandbox, asyncio.Lock] = {}
        self._users: Counter[Sandbox] = Counter()
        self._adding: Counter[Sandbox] = Counter()
        self._ended: dict[str, str] = {}

    async def answer(self, call: Call) -> Answer:
        """The result to print, or who answers instead."""
        handlers = {"ADD": self._add, "DEL": self._del, "CHECK": self._check, "STATUS": self._status, "GC": self._gc}
        handler = handlers.get(call.command)
        if handler is None:
            raise BadRequest(f"CNI_COMMAND {call.command!r} is not one of {', '.join(handlers)}; the runtime sets it")
        return await handler(call)

    def is_adding(self, sandbox: Sandbox) -> bool:
        """Whether an ADD of the sandbox is being answered or waits."""
        return self._adding[sandbox] > 0

    async def _add(self, call: Call) -> Answer:
        if not call.pod_uid:
            raise BadRequest(f"ADD {call.key}: CNI_ARGS has no K8S_POD_UID; use containerd or CRI-O, which send it")
        sandbox = (call.pod_uid, call.key.ifname)
        self._adding[sandbox] += 1
        try:
            begun = call.delegated is not None  # by another plugin, which has given its address: a rule that came since is too late
            allocations = None if begun else self._allocations.ready(sandbox) or await self._wait(call, sandbox)
            async with self._alone(sandbox):
                if allocations is None:
                    return await self._delegating.add(call)
                return await self._attach(call, sandbox, allocations)
        finally:
            self._adding[sandbox] -= 1
            if not self._adding[sandbox]:
                del self._adding[sandbox]

    @asynccontextmanager
    async def _alone(self, sandbox: Sandbox) -> AsyncIterator[None]:
        """One ADD or DEL of a sandbox at a time: a late DEL must see what an ADD attaches, and never outrun its thread."""
        lock = self._locks.setdefault(sandbox, asyncio.Lock())
        self._users[sandbox] += 1
        try:
            async with lock:
                yield
        finally:
            self._users[sandbox] -= 1
            if not self._users[sandbox]:
                del self._users[sandbox], self._locks[sandbox]

    async def _wait(self, call: Call, sandbox: Sandbox) -> list[IPAllocation] | None:
        """The Pod's allocations when they arrive; None where another IPAM plugin answers for it.

        A Pod that is deleted meanwhile does not keep the runtime waiting.
        """
        pod = f"Pod {call.pod_namespace}/{call.pod_name}"
        left, look = self._deadline, FIRST_LOOK
        while True:
            found = await self._allocations.arrival(sandbox, min(look, left))
            if found is not None or self._allocations.is_elsewhere(sandbox):
                return found
            left, look = left - look, min(look * 2, LONGEST_LOOK)
            if left <= 0:
                raise TryLater(f"{pod}: no address within {self._deadline:g} s; {await self._facts.reason(call)}")
            if await self._facts.is_ending(call):
                raise TryLater(f"{pod}: is being deleted or is gone, so it gets no address")

    async def _attach(self, call: Call, sandbox: Sandbox, allocations: list[IPAllocation]) -> bytes:
        await self._reports.settle(sandbox, [one.metadata.name for one in allocations])
        for one in allocations:
            stale = is_of_another_boot(one, self._store.boot)
            if stale or is_detached(one) or self._reports.may_be_reported(one.metadata.name):
                await self._take_back(one)
        grants = tuple(grant_of(one) for one in allocations)
        addresses = [parse_address(grant.address) for grant in grants]
        link = kernel.link_name(call.key.container_id, call.key.ifname) if call.is_main else ""
        for one, address in zip(allocations, addresses, strict=True):
            await self._clear_stale(call, sandbox, address, link, imported=one.is_imported)
        self._must_still_be(sandbox, allocations)
        self._store.attach(
            Attachment(
                network=call.key.network,
                container_id=call.key.container_id,
                ifname=call.key.ifname,
                pod_uid=call.pod_uid,
                boot_id=self._store.boot,
                grants=grants,
                netns=call.netns,
                link=link,
                caller=call.config.type,
                pod_namespace=call.pod_namespace,
                pod_name=call.pod_name,
            )
        )
        if not call.is_main:
            return ipam_result(call.config, grants)
        links = await in_thread(wire, call, link, grants)
        return main_result(call.config, grants, links)

    def _must_still_be(self, sandbox: Sandbox, allocations: list[IPAllocation]) -> None:
        """What was found when the ADD began may have gone while it waited for its turn, the kernel or the API server."""
        now = {one.metadata.uid for one in self._allocations.ready(sandbox) or ()}
        for one in allocations:
            if one.metadata.uid not in now:
                raise TryLater(
                    f"address {one.spec.address}: it was taken back while ADD was being answered; the runtime calls again"
                )

    async def _take_back(self, one: IPAllocation) -> None:
        try:
            await self._reports.take_back(one)
        except ApiError as error:
            raise TryLater(
                f"address {one.spec.address}: its earlier report cannot be taken back now, the API server says: {error}"
            ) from error

    async def _clear_stale(self, call: Call, sandbox: Sandbox, address: Address, link: str, *, imported: bool) -> None:
        """No other link may have a route for the address: a silent EEXIST in the main plugin would black-hole the Pod."""
        found = self._routes.link_of(address)
        if found is None or found == link:
            return
        earlier = any(str(address) == grant.address for one in self._store.of_sandbox(sandbox) for grant in one.grants)
        if call.config.type == "calico" and (earlier or imported):
            return  # Calico moves the route itself, and its veth keeps its name
        ended = self._ended.get(str(address)) == found or found.startswith("nm")
        held = any(str(address) == grant.address for one in self._store.attached.values() for grant in one.grants)
        if earlier or (ended and not held):
            log.warning("stale_route_removed address=%s link=%s", address, found)
            await in_thread(kernel.remove_host_route, address, found)
            return
        raise KernelRefused(
            f"address {address}: the node still has a route to it over {found}, which is not this Pod's; "
            f"remove it with `ip route del {address} dev {found}` if nothing uses it"
        )

    async def _del(self, call: Call) -> bytes | HandOver:
        if call.delegated is None and (theirs := self._delegating.sandbox_of(call.key)) is not None:
            async with self._alone(theirs):
                return await self._delegating.delete(call)
        if call.key in self._store.attached or self._delegating.knows(call.key):
            await self.release(call.key)
            return b""
        await _remove_leftover(call.key)
        return await self._delegating.delete(call)

    async def release(self, key: AttachmentKey) -> None:
        """End an attachment: route, link, record, report. Unknown ones have ended already."""
        if (theirs := self._delegating.sandbox_of(key)) is not None:
            async with self._alone(theirs):
                await self._delegating.ended(key)
        elif key not in self._store.attached:
            await _remove_leftover(key)
        if (ours := self._store.attached.get(key)) is not None:
            async with self._alone(ours.sandbox_of):
                await self._end(key)

    async def _end(self, key: AttachmentKey) -> None:
        one = self._store.attached.get(key)
        if one is None:
            return
        addresses = [parse_address(grant.address) for grant in one.grants]
        if one.link:
            await in_thread(unwire, one.link, addresses)
        else:
            self._remember_links(addresses)
        if self._store.release(key) is None:
            return
        if self._store.of_sandbox(one.sandbox_of):
            self._store.forget(key)  # a newer sandbox of the same Pod runs: its address is not free
            return
        self._reports.released(one)

    def _remember_links(self, addresses: Iterable[Address]) -> None:
        """Where routes led that another main plugin made: what is left of one later is stale. The last ones will do."""
        for address in addresses:
            if (found := self._routes.link_of(address)) is not None:
                self._ended[str(address)] = found
        while len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]

    async def _check(self, call: Call) -> bytes | HandOver:
        one = self._store.attached.get(call.key)
        if one is None:
            return await self._delegating.check(call)
        for grant in one.grants if one.link else ():
            found = self._routes.link_of(parse_address(grant.address))
            if found != one.link:
                raise StateLost(f"attachment {call.key}: route of {grant.address} is over {found}, not {one.link}; delete the Pod")
        return b""

    async def _status(self, call: Call) -> bytes:
        if not self._synced.is_set():
            raise NotReady(f"network {call.key.network}: allocations are not known yet; look at the API server's health")
        return b""

    async def _gc(self, call: Call) -> bytes | HandOverEach:
        listed = call.config.valid_attachments
        if listed is None:
            raise BadRequest(f"GC {call.key.network}: cni.dev/valid-attachments is missing; the runtime sends it")
        keep = {(entry.container_id, entry.ifname) for entry in listed}
        for key in list(self._store.attached):
            if key.network == call.key.network and (key.container_id, key.ifname) not in keep:
                await self.release(key)
        theirs = self._delegating.unlisted(call.key.network, keep)
        return HandOverEach(theirs) if theirs else b""


async def _remove_leftover(key: AttachmentKey) -> None:
    """The host end of an attachment without a record: ours by its name. Seldom there, so a thread is not started to look."""
    name = kernel.link_name(key.container_id, key.ifname)
    if kernel.link_exists(name):
        await asyncio.to_thread(kernel.remove_link, name)
