"""This node's allocations by Pod and interface, and who waits for them. No I/O.

An ADD is answered when as many allocations are there as their `siblings` says, and none of them is on its way out.
"""

from __future__ import annotations

import asyncio

import msgspec

from cni.attachments import Grant, GrantedRoute
from netmgr.api.allocation import COOLING, DETACHED, RELEASING, IPAllocation
from netmgr.kube.store import EventKind

Sandbox = tuple[str, str]
"""Pod UID as the runtime says it, and interface."""
FIRST_INTERFACE = "eth0"
"""The one that another IPAM plugin may answer for: further ones are asked for by name, never by default."""


def sandbox_of(allocation: IPAllocation) -> Sandbox:
    """Which Pod's interface an allocation is for."""
    pod = allocation.spec.pod
    return (pod.runtime_uid or pod.uid, allocation.spec.interface)


def grant_of(allocation: IPAllocation) -> Grant:
    """The allocation as the cni room knows it."""
    spec = allocation.spec
    return Grant(
        name=allocation.metadata.name,
        uid=allocation.metadata.uid,
        address=spec.address,
        prefix_length=spec.prefix_length,
        gateway=spec.gateway,
        routes=tuple(GrantedRoute(route.dst, route.gw) for route in spec.routes or ()),
        clean_gateway=spec.clean_gateway,
        origin=msgspec.Raw(msgspec.json.encode(spec)),
    )


def is_given_up(allocation: IPAllocation) -> bool:
    """Whether the controller asked for it back, or the agent has confirmed that: ADD is never answered from it again.

    A report after DEL names the container, one after a reboot another boot id than the allocation's: both can be taken back.
    """
    status = allocation.status
    if status.pod_uid != allocation.spec.pod.uid:
        return False
    confirmed = status.phase == DETACHED and not status.container_id and status.boot_id == allocation.spec.boot_id
    return status.phase in {RELEASING, COOLING} or confirmed


def is_detached(allocation: IPAllocation) -> bool:
    """Whether its present holder was reported as detached."""
    return allocation.status.phase == DETACHED and allocation.status.pod_uid == allocation.spec.pod.uid


def is_of_another_boot(allocation: IPAllocation, boot: str) -> bool:
    """Whether the API server does not know yet that its holder may be attached in this boot: it would take a reboot for its end."""
    spec, status = allocation.spec, allocation.status
    known = {spec.boot_id, status.boot_id if status.pod_uid == spec.pod.uid else ""}
    return bool(spec.boot_id) and boot not in known


class NodeAllocations:
    """Feed `changed` from the reflector; ask `ready`; wait with `arrival`."""

    def __init__(self) -> None:
        self._of: dict[Sandbox, dict[str, IPAllocation]] = {}
        self._elsewhere: frozenset[str] = frozenset()
        self._waiting: dict[Sandbox, set[asyncio.Future[None]]] = {}

    def changed(self, kind: EventKind, allocation: IPAllocation, old: IPAllocation | None) -> None:
        """One event of the watch."""
        name = allocation.metadata.name
        if old is not None:
            before = self._of.get(sandbox_of(old), {})
            before.pop(name, None)
            if not before:
                self._of.pop(sandbox_of(old), None)
        if kind is not EventKind.DELETED:
            self._of.setdefault(sandbox_of(allocation), {})[name] = allocation
        self._wake(sandbox_of(allocation))

    def delegate(self, pods: frozenset[str]) -> None:
        """The Pods of this node that another IPAM plugin answers for, by their UIDs: no rule covers them."""
        new, self._elsewhere = pods - self._elsewhere, pods
        for uid in new:
            self._wake((uid, FIRST_INTERFACE))

    def is_elsewhere(self, sandbox: Sandbox) -> bool:
        """Whether another IPAM plugin answers for it."""
        return sandbox[1] == FIRST_INTERFACE and sandbox[0] in self._elsewhere

    def _wake(self, sandbox: Sandbox) -> None:
        for future in self._waiting.get(sandbox, ()):
            if not future.done():
                future.set_result(None)

    def ready(self, sandbox: Sandbox) -> list[IPAllocation] | None:
        """One allocation of each family, IPv4 first; None while some are missing. Of two of one family the older counts."""
        usable = [one for one in self._of.get(sandbox, {}).values() if not is_given_up(one)]
        usable.sort(key=lambda one: one.seniority, reverse=True)
        by_family = {":" in one.spec.address: one for one in usable}
        if not by_family or len(by_family) < usable[0].spec.siblings:
            return None
        return [by_family[is_ipv6] for is_ipv6 in sorted(by_family)]

    @property
    def waiting(self) -> int:
        """How many ADDs wait for allocations."""
        return sum(len(those) for those in self._waiting.values())

    def awaited(self, sandbox: Sandbox) -> bool:
        """Whether an ADD waits for the sandbox's allocations."""
        return bool(self._waiting.get(sandbox))

    async def arrival(self, sandbox: Sandbox, seconds: float) -> list[IPAllocation] | None:
        """The sandbox's allocations once they are there; None after so many seconds, or when it is another plugin's."""
        end = asyncio.get_running_loop().time() + seconds
        while (found := self.ready(sandbox)) is None and not self.is_elsewhere(sandbox):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            mine = self._waiting.setdefault(sandbox, set())
            mine.add(future)
            try:
                await asyncio.wait_for(future, end - asyncio.get_running_loop().time())
            except TimeoutError:
                return None
            finally:
                mine.discard(future)
                if not mine:
                    self._waiting.pop(sandbox, None)
        return found
