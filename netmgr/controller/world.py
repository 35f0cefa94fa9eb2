"""The controller's copy of the cluster, its indexes, and the ledgers of free addresses.

I/O: reflectors. Every event ends in keys on one queue; nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ipam.acceptance import Acceptance, accept_subnets
from ipam.accepted_pools import accept_pools
from ipam.ledger import PoolLedger
from ipam.prefix import AddressFamily, RangeSet, address_of_name
from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import PartialObject
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.api.workload import Lease, Node, Pod, Workload
from netmgr.controller import codec
from netmgr.controller.kinds import KINDS, Kind, KindKey, parts_of
from netmgr.controller.metrics import Metrics
from netmgr.controller.third_party import ThirdParty
from netmgr.controller.views import PoolViews
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.keyed_queue import KeyedQueue
from netmgr.kube.leader import boottime
from netmgr.kube.reflector import Reflector
from netmgr.kube.store import EventKind, OnEvent, key_of

Key = tuple[str, str]
Claim = tuple[str, int, str, AddressFamily]
"""What an ordinal's address belongs to: the owner's UID, the ordinal, interface and family."""
AGENTS = "netmgr.io/component=agent"
BOOT_ID, NODE = "netmgr.io/boot-id", "netmgr.io/node"


class Problem(NamedTuple):
    """Why an application has no pool, or not the one that it asks for: a word and a sentence."""

    reason: str
    message: str


class World:
    """Reflectors with indexes. Keys: ("pod", ns/name), ("allocation"|"pool"|"subnet", name), ("app", book key).

    `problems` says by book key why an application has no pool, `hints` why its pool may be too small, `asked` what its Pods'
    annotations are where its own object has no template.
    """

    def __init__(self, api: Api, namespace: str, queue: KeyedQueue[Key]) -> None:
        self.api, self.queue = api, queue
        self.metrics = Metrics()
        self.copying: list[asyncio.Task[None]] = []
        self.waiting: dict[str, str] = {}  # Pods without all their addresses, and the reason where they were told one
        self.problems: dict[str, Problem] = {}
        self.hints: dict[str, str] = {}
        self.asked: dict[str, Mapping[str, str]] = {}
        self.observers: list[OnEvent[IPAllocation]] = []
        self.further: list[Reflector[Any]] = []
        self.by_pool: defaultdict[str, dict[str, IPAllocation]] = defaultdict(dict)
        self.by_pod: defaultdict[str, dict[str, IPAllocation]] = defaultdict(dict)
        self.by_claim: defaultdict[Claim, dict[str, IPAllocation]] = defaultdict(dict)
        self.by_owner: defaultdict[str, dict[str, IPAllocation]] = defaultdict(dict)
        self.by_application: defaultdict[str, dict[str, SpiderIPPool]] = defaultdict(dict)
        self.ledgers: dict[str, PoolLedger] = {}
        self.claimed: dict[str, set[tuple[str, AddressFamily]]] = {}
        self._agents: dict[str, tuple[str, float]] = {}
        self._addresses: dict[str, RangeSet] = {}
        self._verdicts: tuple[dict[str, Acceptance], dict[str, Acceptance]] | None = None
        lease_path = paths.in_namespace(paths.LEASES, namespace)
        bound = "spec.nodeName!="
        self.pods = Reflector(api, paths.PODS, Pod, field_selector=bound, on_event=self._on_pod)
        self.workloads = {
            one.key: Reflector(api, one.collection, Workload, on_event=self._on_workload(one)) for one in KINDS.values()
        }
        self.live_workloads: dict[KindKey, dict[str, Workload]] = {key: one.store for key, one in self.workloads.items()}
        self.third_party = ThirdParty(api, self.live_workloads, self._on_workload)
        self.views = PoolViews(self.pool_free)
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
    async def running(self, *, pods: bool = True) -> AsyncIterator[None]:
        """All reflectors, synced once; without `pods` for a question about one Pod."""
        wanted = [one for one in self.reflectors if pods or one is not self.pods]
        tasks = self.copying = [asyncio.create_task(one.run()) for one in wanted]
        try:
            await asyncio.gather(*(one.synced.wait() for one in wanted))
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.third_party.stop()

    def kind(self, key: KindKey) -> Kind | None:
        """A kind that is watched."""
        return KINDS.get(key) or self.third_party.kinds.get(key)

    def pools_of(self, book_key: str) -> list[SpiderIPPool]:
        """Auto pools of an application (or of earlier ones of its kind, namespace and name), by name."""
        return [pool for _, pool in sorted(self.by_application.get(book_key, {}).items())]

    def holders(self, claim: Claim) -> list[IPAllocation]:
        """Allocations of one ordinal, interface and family: more than one while the ordinal moves to another pool."""
        return list(self.by_claim.get(claim, {}).values())

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
        self.views.expire()
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

    def pool_free(self, pool: str) -> tuple[Acceptance | None, int]:
        """The verdict on a pool, and how many addresses it can still give."""
        verdict = self.verdicts()[1].get(pool)
        ledger = self.ledger(pool)
        return verdict, ledger.free if ledger is not None else 0

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
            self.queue.add(("app", kind.book_key(key_of(workload.metadata))), urgent=True)
            self._settle_ordinals(workload.metadata.uid)

        return tell

    def _wake_pods_of(self, workload: Workload) -> None:
        """Pods that came before their owner was seen, by what controllers call them."""
        prefix = f"{workload.metadata.namespace}/{workload.metadata.name}-"
        for key in [key for key in self.waiting if key.startswith(prefix)]:
            self.queue.add(("pod", key), urgent=True)

    def _settle_ordinals(self, uid: str) -> None:
        """A StatefulSet was scaled or deleted, a machine is gone: ordinals that are no more keep no address."""
        for name in self.by_owner.get(uid, ()):
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
            for kind_key, workloads in self.live_workloads.items():
                kind = self.kind(kind_key)
                if kind is not None:
                    for key in workloads:
                        self.queue.add(("app", kind.book_key(key)))
            self.wake_waiting()

    def _on_reservation(self, _kind: EventKind, one: SpiderReservedIP, _old: SpiderReservedIP | None) -> None:
        """More addresses or fewer: pools make up for it, waiting Pods look again; who holds an address keeps it."""
        self._forget_verdicts()
        self.queue.add(("reservation", one.metadata.name))
        for pool in self.pools.store:
            self.queue.add(("pool", pool))
        owners = set(self.by_application)
        for book_key in owners | self.problems.keys():
            self._poke_application(book_key)
        self.wake_waiting()

    def _on_pool(self, kind: EventKind, pool: SpiderIPPool, old: SpiderIPPool | None) -> None:
        name = pool.metadata.name
        self.queue.add(("pool", name))
        owner = codec.owner_of(pool)
        drop(self.by_application, codec.owner_of(old or pool), name)
        if kind is EventKind.DELETED:
            self.ledgers.pop(name, None)
            self.views.forget(name)
        else:
            if owner:
                self.by_application[owner][name] = pool
            self.views.put(pool)
        if old is None or old.spec != pool.spec or kind is EventKind.DELETED:
            self._forget_verdicts()
            self._poke_subnet_of(pool)
            self.wake_waiting()
            if owner:
                self._poke_application(owner)

    def _poke_subnet_of(self, pool: SpiderIPPool) -> None:
        for name, subnet in self.subnets.store.items():
            if subnet.spec.subnet == pool.spec.subnet:
                self.queue.add(("subnet", name))

    def _poke_application(self, book_key: str) -> None:
        if parts_of(book_key) is not None:
            self.queue.add(("app", book_key))

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
            if owner is not None and (key := codec.owner_of(owner)):
                self._poke_application(key)
            self.queue.add(("pod", codec.held_by(one)))
        else:
            self.by_pool[pool][name] = one
            self.by_pod[one.spec.pod.uid][name] = one
            if (claim := codec.claim_of(one)) is not None:
                self.by_claim[claim][name] = one
                self.by_owner[claim[0]][name] = one
                for other in self.by_claim[claim]:  # an ordinal that has moved to another pool gives up its old address
                    self.queue.add(("allocation", other))
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
        if (claim := codec.claim_of(old)) is not None:
            for index, key in ((self.by_claim, claim), (self.by_owner, claim[0])):
                drop(index, key, old.metadata.name)

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


def drop(index: dict[Any, dict[str, Any]], key: object, name: str) -> None:
    """Take a name out of an index, and the key with its last one."""
    if key in index:
        index[key].pop(name, None)
        if not index[key]:
            del index[key]


def is_same(one: Workload, old: Workload) -> bool:
    """Whether nothing has changed that matters here (most changes of a workload are to its status).

    The generation tells of what a third party's object says about its scale: only that object knows where.
    """
    return (one.spec, one.status, one.metadata.uid, one.metadata.deletion_timestamp, one.metadata.generation) == (
        old.spec,
        old.status,
        old.metadata.uid,
        old.metadata.deletion_timestamp,
        old.metadata.generation,
    )


def renewed_ago(lease: Lease) -> float:
    """Seconds since the Lease was renewed by its holder's clock; used only for a Lease seen for the first time."""
    try:
        renewed = datetime.fromisoformat(lease.spec.renew_time or "")
    except ValueError:
        return float("inf")
    return max(0.0, (datetime.now(UTC) - renewed).total_seconds())
