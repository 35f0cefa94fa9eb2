"""What an import does: one IPAllocation for each address that is in use, and a finding for everything that does not fit. Pure.

| address | what becomes of it |
| --- | --- |
| a Pod runs with it, or is recorded and starts | allocated to that Pod, also where it is outside its pool or reserved |
| its Pod is away, its node is recorded | allocated to that Pod: freed when the node's agent says that nothing is attached |
| the same, and an ordinal comes back for it | allocated to the ordinal |
| its Pod is away, nobody knows the node | left out: free (Spiderpool frees it too) |
| recorded for a Pod whose kubelet reports another address | left out, unless the record names another interface than eth0 |
| allocated by netmgr already | stays as it is |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ipam.application import Application
from ipam.errors import AddressError
from ipam.prefix import Address, AddressFamily, allocation_name, parse_prefix
from netmgr.api import allocation
from netmgr.api.meta import Json, Meta
from netmgr.api.spider import SpiderIPPool
from netmgr.api.workload import Pod
from netmgr.controller import codec
from netmgr.controller.claims import claimant_of
from netmgr.controller.kinds import MACHINES, built_in
from netmgr.controller.owners import top_owner
from netmgr.importing.found import Finding, Found
from netmgr.importing.holders import Holder, Holders, Standing
from netmgr.importing.records import PoolRanges, records
from netmgr.importing.remarks import about_holder, already_held, refused, two_records

Place = tuple[str, str]
"""Pod UID and interface: what one ADD is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`allocations` are to be created; `used` names the pools that are in use then."""

    allocations: tuple[Json, ...] = ()
    findings: tuple[Finding, ...] = ()
    known: int = 0
    used: frozenset[str] = frozenset()


def plan(found: Found) -> Plan:
    """Decide about every address that anybody speaks of."""
    return Planner(found).run()


class Planner:
    """One run; `found` never changes."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.ranges = PoolRanges(found.pools)
        self.pools = {one.metadata.name: one for one in found.pools}
        self.boots = {one.metadata.name: one.status.node_info.boot_id for one in found.nodes}
        self.there = {one.metadata.name: one for one in found.allocations}
        self.holders = Holders(found)
        self.reserved = {family: codec.reserved_in(family, found.reservations) for family in AddressFamily}
        self.findings: list[Finding] = []
        self.known = 0

    def run(self) -> Plan:
        """The whole plan."""
        said, self.findings = records(self.found, self.ranges)
        chosen: list[tuple[Address, Holder]] = []
        for address in sorted(said):
            first, *others = self.holders.of(said[address])
            self.findings += [] if not others else [two_records(address, first, others)]
            if self._is_to_be_made(address, first):
                chosen.append((address, first))
        siblings = Counter((one.uid, one.interface) for _, one in chosen)
        siblings += Counter((one.spec.pod.uid, one.spec.interface) for one in self.found.allocations)
        bodies = tuple(self._body(address, one, siblings[one.uid, one.interface]) for address, one in chosen)
        used = {str(body["spec"]["pool"]) for body in bodies} | {one.spec.pool for one in self.found.allocations}
        return Plan(allocations=bodies, findings=tuple(self.findings), known=self.known, used=frozenset(used))

    def _is_to_be_made(self, address: Address, one: Holder) -> bool:
        """Whether the address becomes an allocation of this holder; what there is to say about it is noted."""
        there = self.there.get(allocation_name(address))
        if there is not None:
            self.known += 1
            if there.spec.pod.uid != one.uid and one.standing is Standing.RUNS_WITH_IT:
                self.findings.append(already_held(address, one, codec.held_by(there)))
            return False
        refusal = refused(one)
        if refusal is not None:
            self.findings.append(refusal)
            return False
        self.findings += self._remarks(address, one)
        return True

    def _remarks(self, address: Address, one: Holder) -> Iterator[Finding]:
        """What is worth knowing about an address that is taken over."""
        where = f"address {one.address}"
        yield from about_holder(where, one)
        pool = self.pools.get(one.pool)
        if pool is None and not self.ranges.pool_with(address):
            words = f"Pod {one.key} has it, and pool {one.pool or '(none)'} does not exist; it stays the Pod's until the Pod ends"
            yield Finding(rule="NoPool", object=where, message=words, remedy="create the pool again to have the address in one")
        elif pool is not None and address.value not in self.ranges.of[one.pool]:
            words = (
                f"Pod {one.key} has it, and it is not in spec.ips of SpiderIPPool {one.pool}; it stays the Pod's until the Pod ends"
            )
            yield Finding(rule="OutsidePool", object=where, message=words, remedy="add it to spec.ips to keep it beyond that")
        if address.value in self.reserved[address.family]:
            words = f"Pod {one.key} has it, and a SpiderReservedIP names it; it stays the Pod's until the Pod ends"
            yield Finding(
                rule="Reserved", object=where, message=words, remedy="restart the Pod to have the reservation hold at once"
            )

    def _body(self, address: Address, one: Holder, siblings: int) -> Json:
        """The allocation, as the controller would have written it."""
        name = one.pool if one.pool in self.pools else self.ranges.pool_with(address) or one.pool
        pool = self.pools.get(name)
        gateway = one.gateway if one.gateway is not None else (pool.spec.gateway if pool else "") or ""
        routes = one.routes if one.routes is not None else tuple(pool.spec.routes or ()) if pool else ()
        namespace, _, pod_name = one.key.partition("/")
        holder: Json = {"namespace": namespace, "name": pod_name, "uid": one.uid}
        if one.pod is not None and one.lives and (runtime := codec.runtime_uid(one.pod)):
            holder["runtimeUID"] = runtime
        spec: Json = {
            "address": str(address),
            "prefixLength": length_of(pool, address),
            "pool": name,
            "nodeName": one.node,
            "interface": one.interface,
            "siblings": max(1, siblings),
            "claimant": self._claimant(one),
            "pod": holder,
            "reason": f"imported from Spiderpool: {', '.join(sorted(one.sources))}",
        }
        spec |= {"bootID": self.boots[one.node]} if self.boots.get(one.node) else {}
        spec |= {"gateway": gateway} if gateway else {}
        spec |= {"cleanGateway": True} if one.clean_gateway else {}
        spec |= {"routes": [{"dst": route.dst, "gw": route.gw} for route in routes]} if routes else {}
        return {
            "apiVersion": allocation.GROUP_VERSION,
            "kind": "IPAllocation",
            "metadata": {"name": allocation_name(address), "labels": {allocation.IMPORTED: "spiderpool"}},
            "spec": spec,
        }

    def _claimant(self, one: Holder) -> Json:
        """Who the address belongs to: by the live Pod's verified owners, else by what the SpiderEndpoint says."""
        if one.pod is not None and one.lives:
            owner = top_owner(one.pod, self.found.workloads)
            return claimant_of(one.pod, owner if isinstance(owner, Application) else None)
        namespace, _, name = one.key.partition("/")
        away = Pod(metadata=Meta(name=name, namespace=namespace, uid=one.uid))
        return claimant_of(away, self._owner_by_name(namespace, one))

    def _owner_by_name(self, namespace: str, one: Holder) -> Application | None:
        if (kind := built_in(one.owner_kind)) is not None:
            known = self.found.workload(one.owner_kind, f"{namespace}/{one.owner_name}")
            return codec.application_of(kind.key, known) if known is not None else None
        return self.found.machine(namespace, one.owner_name) if one.owner_kind in MACHINES else None


def length_of(pool: SpiderIPPool | None, address: Address) -> int:
    """The length of the pool's prefix; of a single address where there is none."""
    try:
        return parse_prefix(pool.spec.subnet).length if pool is not None else address.family.width
    except AddressError:
        return address.family.width
