"""The controller's copy of the cluster, its indexes, and the ledgers of free addresses.

I/O: reflectors. Every event ends in keys on one queue; nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ipam.acceptance import Acceptance, accept_subnets
from ipam.accepted_pools import accept_pools
from ipam.application import Application, auto_pool_name
from ipam.ledger import PoolLedger
from ipam.prefix import AddressFamily, RangeSet, address_of_name
from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import PartialObject
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.api.workload import Lease, Node, Pod, Workload
from netmgr.controller import codec
from netmgr.controller.kinds import KINDS, Kind
from netmgr.controller.metrics import Metrics
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.keyed_queue import KeyedQueue
from netmgr.kube.leader import boottime
from netmgr.kube.reflector import Reflector
from netmgr.kube.store import EventKind, OnEvent, key_of

Key = tuple[str, str]
AGENTS = "netmgr.io/component=agent"
BOOT_ID, NODE = "netmgr.io/boot-id", "netmgr.io/node"


class Problem(NamedTuple):
    """Why an application has no pool, or not the one that it asks for: a word and a sentence."""

    reason: str
    message: str


class World:
    """Reflectors with indexes. Keys: ("pod", ns/name), ("allocation"|"pool"|"subnet", name), ("app", Kind/ns/name)."""

    def __init__(self, api: Api, namespace: str, queue: KeyedQueue[Key]) -> None:
        self.api, self.queue = api, queue
        self.metrics = Metrics()
        self.copying: list[asyncio.Task[None]] = []
        self.waiting: dict[str, str] = {}  # Pods without all their addresses, and the reason where they were told one
        self.problems: dict[str, Problem] = {}
        self.auto_pools: dict[tuple[str, AddressFamily, str], str] = {}
        self.observers: list[OnEvent[IPAllocation]] = []
        self.further: list[Reflector[Any]] = []
        self.by_pool: defaultdict[str, dict[str, IPAllocation]] = defaultdict(dict)
        self.by_pod: defaultdict[str, dict[str, IPAllocation]] = defaultdict(dict)
        self.ledgers: dict[str, PoolLedger] = {}
        self.claimed: dict[str, set[tuple[str, AddressFamily]]] = {}
        self._agents: dict[str, tuple[str, float]] = {}
        self._addresses: dict[str, RangeSet] = {}
        self._verdicts: tuple[dict[str, Acceptance], dict[str, Acceptance]] | None = None
        lease_path = paths.in_namespace(paths.LEASES, namespace)
        bound = "spec.nodeName!="
        self.pods = Reflector(api, paths.PODS, Pod, field_selector=bound, on_event=self._on_pod)
        self.workloads = {
            one.name: Reflector(api, one.collection, Workload, on_event=self._on_workload(one)) for one in KINDS.values()
        }
        self.live_workloads = {name: one.store for name, one in self.workloads.items()}
        self.namespaces = Reflector(api, paths.NAMESPACES, PartialObject)
        self.nodes = Reflector(api, paths.NODES, Node, on_event=self._on_node)
        self.subnets = Reflector(api, spider.SUBNETS, SpiderSubnet, on_event=self._on_subnet)
        self.pools = Reflector(api, spider.POOLS, SpiderIPPool, on_event=self._on_pool)
        self.reservations = Reflector(api, spider.RESERVED, SpiderReservedIP, on_event=self._on_reservation)
        self.allocations = Reflector(api, allocation.ALLOCATIONS, IPAllocation, on_event=self._on_allocation)
        self.leases = Reflector(api, lease_path, Lease, label_selector=AGENTS, on_event=self._on_lease)

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        """All of them; those that answer questions about Pods come before the Pods."""
        return (
            self.namespaces, self.nodes, self.leases, self.subnets, self.pools, self.reservations, self.allocations,
            *self.workloads.values(), self.pods, *self.further,
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All reflectors, synced once."""
        tasks = self.copying = [asyncio.create_task(one.run()) for one in self.reflectors]
        try:
            await asyncio.gather(*(one.synced.wait() for one in self.reflectors))
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def trouble(self) -> str:
        """What keeps the copies from following the cluster, in words; empty: nothing."""
        return "; ".join(
            f"the copy of {one.path} has ended" for one, task in zip(self.reflectors, self.copying, strict=False) if task.done()
        )

    def unsynced(self) -> str:
        """Which copies are not complete yet; empty: all are."""
        missing = [one.path for one in self.reflectors if not one.synced.is_set()]
        return f"waiting for the first list of {', '.join(missing)}" if missing else ""

    def verdicts(self) -> tuple[dict[str, Acceptance], dict[str, Acceptance]]:
        """Acceptance of subnets and of pools, as the copies stand now."""
        if self._verdicts is None:
            subnets = accept_subnets(codec.declared(s) for s in self.subnets.store.values())
            self._verdicts = subnets, accept_pools((codec.declared(p) for p in self.pools.store.values()), subnets)
        return self._verdicts

    def _forget_verdicts(self) -> None:
        """What was declared has changed."""
        self._verdicts = None
        self._addresses.clear()

    def ledger(self, pool: str) -> PoolLedger | None:
        """Free addresses of an accepted pool, without those that are reserved."""
        verdict = self.verdicts()[1].get(pool)
        if verdict is None or verdict.ranges is None:
            return None
        addresses = self._addresses.get(pool)
        if addresses is None:  # asked for each pool at each claim
            addresses = self._addresses[pool] = self.unreserved(verdict.ranges)
        ledger = self.ledgers.get(pool)
        if ledger is None:
            ledger = self.ledgers[pool] = PoolLedger(addresses)
            for name in self.by_pool[pool]:
                ledger.hold(address_of_name(name).value)
        elif ledger.addresses != addresses:
            ledger.resize(addresses)
        return ledger

    def auto_pool(self, application: Application, family: AddressFamily, interface: str) -> str:
        """Name of the application's pool: as it is called where there is one (Spiderpool has other schemes), else as it will be."""
        known = self.auto_pools.get((application.uid, family, interface))
        return known or auto_pool_name(application, family, interface)

    def unreserved(self, ranges: RangeSet) -> RangeSet:
        """The addresses that Pods may have."""
        if not self.reservations.store:
            return ranges
        return ranges.subtract(codec.reserved_in(ranges.family, self.reservations.store.values()))

    def shrink(self, pool: str, ranges: RangeSet) -> None:
        """From now on nothing outside `ranges` is given out, before the pool's object says so."""
        if (ledger := self.ledger(pool)) is not None:
            ledger.resize(ledger.addresses.intersect(ranges))

    def agent_boot_id(self, node: str) -> str | None:
        """Boot id that the node's live agent reported; nothing where no agent is alive."""
        for key, lease in self.leases.store.items():
            notes = lease.metadata.annotations or {}
            if notes.get(NODE) == node:
                seen = self._agents.get(key)
                fresh = seen is not None and boottime() - seen[1] < (lease.spec.lease_duration_seconds or 40)
                return notes.get(BOOT_ID, "") if fresh else None
        return None

    def wake_waiting(self) -> None:
        """Something changed that Pods without addresses may have waited for."""
        for key in self.waiting:
            self.queue.add(("pod", key))

    def pods_of(self, application_key: str) -> Iterator[str]:
        """Keys of waiting Pods; their application is looked at again anyway."""
        yield from (key for key in self.waiting if application_key)

    def _on_pod(self, kind: EventKind, pod: Pod, _old: Pod | None) -> None:
        key = key_of(pod.metadata)
        for name in self.by_pod.get(pod.metadata.uid, {}):
            self.queue.add(("allocation", name))
        if kind is EventKind.DELETED or not codec.needs_addresses(pod):
            self.waiting.pop(key, None)
            self.metrics.unbound(pod.metadata.uid)
        elif pod.metadata.uid not in self.by_pod or key in self.waiting:
            self.metrics.bound(pod.metadata.uid)
            self.queue.add(("pod", key), urgent=True)

    def _on_workload(self, kind: Kind) -> Callable[[EventKind, Workload, Workload | None], None]:
        def tell(event: EventKind, workload: Workload, old: Workload | None) -> None:
            if event is EventKind.ADDED and self.waiting:
                self._wake_pods_of(workload)
            if old is not None and event is not EventKind.DELETED and is_same(workload, old):
                return
            self.queue.add(("app", f"{kind.name}/{key_of(workload.metadata)}"), urgent=True)
            if kind.name == "StatefulSet":
                self._settle_ordinals(workload.metadata.uid)

        return tell

    def _wake_pods_of(self, workload: Workload) -> None:
        """Pods that came before their owner was seen, by what controllers call them."""
        prefix = f"{workload.metadata.namespace}/{workload.metadata.name}-"
        for key in [key for key in self.waiting if key.startswith(prefix)]:
            self.queue.add(("pod", key), urgent=True)

    def _settle_ordinals(self, uid: str) -> None:
        """A StatefulSet was scaled or deleted: ordinals that it no longer has keep no address."""
        for name, one in self.allocations.store.items():
            if one.spec.claimant.uid == uid:
                self.queue.add(("allocation", name))

    def _on_subnet(self, _kind: EventKind, subnet: SpiderSubnet, old: SpiderSubnet | None) -> None:
        self.queue.add(("subnet", subnet.metadata.name))
        for book_key in self.problems:  # what a subnet lacked for an application, another may have given back
            self._poke_application(book_key)
        if old is None:  # a leader may have ended between a pool's deletion and its entry's
            for name, (_, owner) in codec.book_of(subnet).items():
                if name not in self.pools.store:
                    self._poke_application(owner)
        if old is None or old.spec != subnet.spec or _kind is EventKind.DELETED:
            self._forget_verdicts()
            for pool in self.pools.store:
                self.queue.add(("pool", pool))
            for kind, workloads in self.live_workloads.items():
                for key in workloads:
                    self.queue.add(("app", f"{kind}/{key}"))
            self.wake_waiting()

    def _on_reservation(self, *_: object) -> None:
        """More addresses or fewer: pools make up for it, waiting Pods look again; who holds an address keeps it."""
        self._forget_verdicts()
        owners = {(pool.metadata.annotations or {}).get(codec.APPLICATION, "") for pool in self.pools.store.values()}
        for book_key in owners | self.problems.keys():
            self._poke_application(book_key)
        self.wake_waiting()

    def _on_pool(self, kind: EventKind, pool: SpiderIPPool, old: SpiderIPPool | None) -> None:
        name = pool.metadata.name
        self.queue.add(("pool", name))
        self._name_auto_pool(kind, pool, old)
        if kind is EventKind.DELETED:
            self.ledgers.pop(name, None)
        if old is None or old.spec != pool.spec or kind is EventKind.DELETED:
            self._forget_verdicts()
            self._poke_subnet_of(pool)
            self.wake_waiting()
            if owner := (pool.metadata.annotations or {}).get(codec.APPLICATION):
                self._poke_application(owner)

    def _name_auto_pool(self, kind: EventKind, pool: SpiderIPPool, old: SpiderIPPool | None) -> None:
        """Keep what an application's pool is called."""
        before = codec.auto_place(old) if old is not None else None
        if before is not None and self.auto_pools.get(before) == pool.metadata.name:
            del self.auto_pools[before]
        place = codec.auto_place(pool)
        if place is not None and kind is not EventKind.DELETED:
            self.auto_pools.setdefault(place, pool.metadata.name)

    def _poke_subnet_of(self, pool: SpiderIPPool) -> None:
        for name, subnet in self.subnets.store.items():
            if subnet.spec.subnet == pool.spec.subnet:
                self.queue.add(("subnet", name))

    def _poke_application(self, book_key: str) -> None:
        parts = book_key.split("_", 4)  # an annotation: anybody who may write pools may have written it
        if len(parts) == 5 and parts[2] in KINDS:
            self.queue.add(("app", "/".join(parts[2:])))

    def _on_allocation(self, kind: EventKind, one: IPAllocation, old: IPAllocation | None) -> None:
        name, pool = one.metadata.name, one.spec.pool
        value = address_of_name(name).value
        if old is not None:
            self._forget(old)
        self._seen(one)
        if kind is EventKind.DELETED:
            if (ledger := self.ledgers.get(pool)) is not None:
                ledger.release(value)
            self.wake_waiting()
            owner = self.pools.store.get(pool)
            if owner is not None and (key := (owner.metadata.annotations or {}).get(codec.APPLICATION)):
                self._poke_application(key)
            self.queue.add(("pod", codec.held_by(one)))
        else:
            self.by_pool[pool][name] = one
            self.by_pod[one.spec.pod.uid][name] = one
            for other in self.by_pod[one.spec.pod.uid]:
                self.queue.add(("allocation", other))
            if (ledger := self.ledgers.get(pool)) is not None:
                ledger.hold(value)
            if one.status.phase == allocation.DETACHED:
                self.wake_waiting()
        self.queue.add(("pool", pool))
        for tell in self.observers:
            tell(kind, one, old)

    def _seen(self, one: IPAllocation) -> None:
        """The watch has shown what was created: the index speaks for it from now on."""
        claimed = self.claimed.get(one.spec.pod.uid)
        if claimed is not None:
            claimed.discard((one.spec.interface, codec.family_of(one.spec.address)))
            if not claimed:
                del self.claimed[one.spec.pod.uid]

    def _forget(self, old: IPAllocation) -> None:
        self.by_pool[old.spec.pool].pop(old.metadata.name, None)
        held = self.by_pod.get(old.spec.pod.uid)
        if held is not None:
            held.pop(old.metadata.name, None)
            if not held:
                del self.by_pod[old.spec.pod.uid]

    def _on_node(self, _kind: EventKind, node: Node, old: Node | None) -> None:
        """A node that is declared out of service, or has been started anew, holds nothing of its old Pods any more."""
        if old is None or (node.spec, node.status.node_info) != (old.spec, old.status.node_info):
            for name, one in self.allocations.store.items():
                if one.spec.node_name == node.metadata.name:
                    self.queue.add(("allocation", name))

    def _on_lease(self, kind: EventKind, lease: Lease, old: Lease | None) -> None:
        key = key_of(lease.metadata)
        if kind is EventKind.DELETED:
            self._agents.pop(key, None)
            return
        age = 0.0 if old is not None else renewed_ago(lease)
        self._agents[key] = (lease.metadata.resource_version, boottime() - age)
        if (lease.metadata.annotations or {}).get("netmgr.io/strays"):
            self.queue.add(("agent", key))
        self.wake_waiting()


def is_same(one: Workload, old: Workload) -> bool:
    """Whether nothing has changed that matters here (most changes of a workload are to its status)."""
    return (one.spec, one.status, one.metadata.uid, one.metadata.deletion_timestamp) == (
        old.spec,
        old.status,
        old.metadata.uid,
        old.metadata.deletion_timestamp,
    )


def renewed_ago(lease: Lease) -> float:
    """Seconds since the Lease was renewed by its holder's clock; used only for a Lease seen for the first time."""
    try:
        renewed = datetime.fromisoformat(lease.spec.renew_time or "")
    except ValueError:
        return float("inf")
    return max(0.0, (datetime.now(UTC) - renewed).total_seconds())
