"""The controller's copy of the cluster, its indexes, and the ledgers of free addresses.

I/O: reflectors. Every event ends in keys on one queue; nothing is decided here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from ipam.acceptance import Acceptance, accept_subnets
from ipam.accepted_pools import AcceptedPools
from ipam.fallback import NO_FALLBACK, Fallback
from ipam.ledger import PoolLedger
from ipam.networks import NETWORKS
from ipam.prefix import AddressFamily, RangeSet, address_of_name
from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import PartialObject
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.api.workload import Lease, Node, Pod, Workload
from netmgr.controller import codec
from netmgr.controller.agents import Agents
from netmgr.controller.elsewhere import Elsewhere
from netmgr.controller.held import Claim, Held, drop, is_partial
from netmgr.controller.kinds import KINDS, Kind, KindKey, parts_of
from netmgr.controller.metrics import Metrics
from netmgr.controller.networks import Networks
from netmgr.controller.third_party import ThirdParty
from netmgr.controller.views import PoolViews
from netmgr.controller.waiting import Waiting, for_application, for_pool
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.keyed_queue import KeyedQueue
from netmgr.kube.reflector import Reflector
from netmgr.kube.store import EventKind, OnEvent, key_of

log = logging.getLogger(__name__)
Key = tuple[str, str]
LARGE_PAGE = 2000
"""Allocations are small and may be 100,000."""
AGENTS = "netmgr.io/component=agent"
MOMENT = 1.0
"""Seconds until Pods look again for what another one has just asked for in vain."""


class Problem(NamedTuple):
    """Why an application has no pool, or not the one that it asks for: a word and a sentence."""

    reason: str
    message: str


class World:
    """Reflectors with indexes. Keys: ("pod", ns/name), ("allocation"|"pool"|"subnet", name), ("app", book key).

    `problems` says by book key why an application has no pool, `hints` why its pool may be too small, `asked` what its Pods'
    annotations are where its own object has no template; `asking` are those for which that has not been looked at yet.
    """

    def __init__(
        self, api: Api, namespace: str, queue: KeyedQueue[Key], *, fallback: Fallback = NO_FALLBACK, network: str = ""
    ) -> None:
        self.api, self.queue, self.namespace, self.fallback = api, queue, namespace, fallback
        self.default_network = network if "/" in network or not network else f"{namespace}/{network}"
        self.delegated: defaultdict[str, set[str]] = defaultdict(set)  # by node: Pods that another IPAM plugin answers for
        self.elsewhere = Elsewhere()
        self.metrics = Metrics()
        self.copying: list[asyncio.Task[None]] = []
        self.waiting = Waiting()
        self.problems: dict[str, Problem] = {}
        self.hints: dict[str, str] = {}
        self.asked: dict[str, Mapping[str, str]] = {}
        self.asking: set[str] = set()
        self.observers: list[OnEvent[IPAllocation]] = []
        self.further: list[Reflector[Any]] = []
        self.held = Held()
        self.by_pool, self.by_pod = self.held.by_pool, self.held.by_pod
        self.by_claim, self.by_owner, self.by_node = self.held.by_claim, self.held.by_owner, self.held.by_node
        self.pools_in: defaultdict[str, dict[str, SpiderIPPool]] = defaultdict(dict)
        self.subnets_of: defaultdict[str, dict[str, SpiderSubnet]] = defaultdict(dict)
        self.by_application: defaultdict[str, dict[str, SpiderIPPool]] = defaultdict(dict)
        self.ledgers: dict[str, PoolLedger] = {}
        self.claimed: dict[str, set[tuple[str, AddressFamily]]] = {}
        self.agents = Agents(namespace, lambda: self.leases.store)
        self.found_taken: defaultdict[str, set[str]] = defaultdict(set)  # by allocation: other pools that asked for its address
        self._addresses: dict[str, RangeSet] = {}
        self._limits: dict[str, RangeSet] = {}
        self._reserved: dict[AddressFamily, RangeSet] = {}
        self._accepted: tuple[dict[str, Acceptance], AcceptedPools] | None = None
        lease_path = paths.in_namespace(paths.LEASES, namespace)
        bound = "spec.nodeName!="
        self.pods = Reflector(api, paths.PODS, Pod, field_selector=bound, on_event=self._on_pod)
        self.workloads = {
            one.key: Reflector(api, one.collection, Workload, on_event=self._on_workload(one)) for one in KINDS.values()
        }
        self.live_workloads: dict[KindKey, dict[str, Workload]] = {key: one.store for key, one in self.workloads.items()}
        self.third_party = ThirdParty(api, self.live_workloads, self._on_workload)
        self.views = PoolViews(self.pool_free)
        self.namespaces = Reflector(api, paths.NAMESPACES, PartialObject, on_event=self._on_namespace)
        self.networks = Networks(api, self._on_network)
        self.nodes = Reflector(api, paths.NODES, Node, on_event=self._on_node)
        self.subnets = Reflector(api, spider.SUBNETS, SpiderSubnet, on_event=self._on_subnet)
        self.pools = Reflector(api, spider.POOLS, SpiderIPPool, on_event=self._on_pool)
        self.reservations = Reflector(api, spider.RESERVED, SpiderReservedIP, on_event=self._on_reservation)
        self.allocations = Reflector(api, allocation.ALLOCATIONS, IPAllocation, on_event=self._on_allocation, page=LARGE_PAGE)
        self.leases = Reflector(api, lease_path, Lease, label_selector=AGENTS, on_event=self._on_lease)

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        """All of them; those that answer questions about Pods come before the Pods."""
        return (
            self.networks.reflector, self.namespaces, self.nodes, self.leases, self.subnets, self.pools,
            self.reservations, self.allocations, *self.workloads.values(), self.pods, *self.further,
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
        subnets, pools = self._judged()
        return subnets, pools.verdicts

    def _judged(self) -> tuple[dict[str, Acceptance], AcceptedPools]:
        if self._accepted is None:
            subnets = accept_subnets(codec.declared(one) for one in self.subnets.store.values())
            pools = AcceptedPools(subnets)
            for one in sorted(map(codec.declared, self.pools.store.values()), key=lambda each: each.age_order):
                pools.put(one)
            self._accepted = subnets, pools
        return self._accepted

    def _judge(self, kind: EventKind, pool: SpiderIPPool) -> None:
        """A pool's ranges are other ones now; so may be those of the pools that it overlaps."""
        if self._accepted is None:
            return
        pools, name = self._accepted[1], pool.metadata.name
        changed = pools.remove(name) if kind is EventKind.DELETED else pools.put(codec.declared(pool))
        for one in changed:
            self._addresses.pop(one, None)
            self.views.expire(one)
            self.queue.add(("pool", one))
            self.wake(for_pool(one))

    def _forget_verdicts(self) -> None:
        """What was declared of subnets has changed."""
        self._accepted = None
        self.views.expire()
        self._addresses.clear()

    def ledger(self, pool: str) -> PoolLedger | None:
        """Free addresses of an accepted pool, without those that are reserved."""
        verdict = self.verdicts()[1].get(pool)
        if verdict is None or verdict.ranges is None:
            return None
        addresses = self._addresses.get(pool)
        if addresses is None:  # asked for each pool at each claim
            ranges = verdict.ranges.intersect(self._limits[pool]) if pool in self._limits else verdict.ranges
            addresses = self._addresses[pool] = self.unreserved(ranges)
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
        reserved = self._reserved.get(ranges.family)
        if reserved is None:
            reserved = codec.reserved_in(ranges.family, self.reservations.store.values())
            self._reserved[ranges.family] = reserved
        return ranges.subtract(reserved)

    def shrink(self, pool: str, ranges: RangeSet) -> None:
        """From now on nothing outside `ranges` is given out, before the pool's object says so and until it says something else."""
        self._limits[pool] = ranges
        self._addresses.pop(pool, None)

    def end_shrink(self, pool: str) -> None:
        """The pool says itself what it has, or was not shrunk after all."""
        if self._limits.pop(pool, None) is not None:
            self._addresses.pop(pool, None)

    def give_back(self, pool: str, value: int) -> None:
        """A take that came to nothing. Who found the pool full meanwhile looks again, in a moment: what failed may fail again."""
        if (ledger := self.ledgers.get(pool)) is not None:
            ledger.give_back(value)
        for key in self.waiting.hoping(for_pool(pool)):
            self.queue.add_after(("pod", key), MOMENT)

    def _left(self, name: str, value: int) -> None:
        """An address is free, and pools that did not hold it had found it taken."""
        for pool in self.found_taken.pop(name, ()):
            if (ledger := self.ledgers.get(pool)) is not None:
                ledger.release(value)
            self.queue.add(("pool", pool))
            self.wake(for_pool(pool))

    def agent_boot_id(self, node: str) -> str | None:
        """Boot id that the node's live agent reported; nothing where no agent is alive."""
        return self.agents.boot_id(node)

    def is_delegated(self, pod: Pod) -> bool:
        """Whether another IPAM plugin answers for the Pod's eth0."""
        return bool(self.delegated) and codec.holder_uid(pod) in self.delegated.get(pod.spec.node_name, ())

    def spellings(self, network: str) -> frozenset[str]:
        """The ways in which a pool may write a network's name: without a namespace it is this program's own."""
        wanted = network or self.default_network
        namespace, _, name = wanted.partition("/")
        return frozenset({wanted, name} if namespace == self.namespace else {wanted}) if wanted else frozenset()

    def ways_out(self, pool: SpiderIPPool) -> tuple[str, list[spider.Route]]:
        """Gateway and routes of a pool; what it does not say, the SpiderSubnet of its prefix does (an empty list says: none)."""
        spec = pool.spec
        if spec.gateway is not None and spec.routes is not None:
            return spec.gateway, spec.routes
        parent = (pool.metadata.labels or {}).get(spider.LabelKeys.OWNER_SUBNET, "")
        known = self.subnets.store.get(parent) or self._subnet_of(spec.subnet)
        gateway, routes = (known.spec.gateway, known.spec.routes) if known is not None else (None, None)
        return spec.gateway or gateway or "", spec.routes if spec.routes is not None else routes or []

    def _subnet_of(self, prefix: str) -> SpiderSubnet | None:
        return next((one for one in self.subnets.store.values() if one.spec.subnet == prefix), None)

    def _on_network(self, reference: str) -> None:
        """A Pod that has not started may have waited for it; one that runs has all the interfaces that it will have."""
        log.info("network_changed network=%s", reference)
        for key, pod in self.pods.store.items():
            if NETWORKS in (pod.metadata.annotations or {}) and pod.status.phase in {"", "Pending"}:
                self.queue.add(("pod", key))
        self.wake_waiting()

    def wake_waiting(self) -> None:
        """Something changed that Pods without addresses may have waited for."""
        for key in self.waiting:
            self.queue.add(("pod", key))

    def wake(self, *hopes: str) -> None:
        """Something changed that only those Pods may have waited for."""
        for key in self.waiting.concerned(*hopes):
            self.queue.add(("pod", key))

    def _on_pod(self, kind: EventKind, pod: Pod, _old: Pod | None) -> None:
        key = key_of(pod.metadata)
        elsewhere = self.is_delegated(pod)
        if elsewhere:
            self._on_delegated(kind, pod)
        for name in self.by_pod.get(pod.metadata.uid, {}):
            self.queue.add(("allocation", name))
        if kind is EventKind.DELETED or not codec.needs_addresses(pod):
            if key in self.waiting:
                self.queue.add(("pod", key))  # what it was told and what it asked for is forgotten there
            self.waiting.end(key)
            self.metrics.unbound(pod.metadata.uid)
        elif (pod.metadata.uid not in self.by_pod and not elsewhere) or key in self.waiting or self._may_lack(kind, pod):
            self.metrics.bound(pod.metadata.uid)
            self.queue.add(("pod", key), urgent=True)

    def _may_lack(self, kind: EventKind, pod: Pod) -> bool:
        """Whether an earlier leader may have ended between two of the Pod's claims. One that runs has all that it will have."""
        held = self.by_pod.get(pod.metadata.uid)
        if kind is not EventKind.ADDED or not held or pod.status.phase not in {"", "Pending"}:
            return False
        return NETWORKS in (pod.metadata.annotations or {}) or is_partial(held.values())

    def _on_delegated(self, kind: EventKind, pod: Pod) -> None:
        """A Pod of another plugin's: as long as it is there, its address is not ours to give."""
        if kind is not EventKind.DELETED:
            self.elsewhere.put(pod)
            return
        self.delegated[pod.spec.node_name].discard(codec.holder_uid(pod))
        if (kept := self.elsewhere.end(pod)) is not None:
            if kept[0] not in self.allocations.store and (ledger := self.ledgers.get(kept[1])) is not None:
                ledger.release(address_of_name(kept[0]).value)
            self.wake(for_pool(kept[1]))

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
        name = subnet.metadata.name
        self.queue.add(("subnet", name))
        drop(self.subnets_of, (old or subnet).spec.subnet, name)
        if _kind is not EventKind.DELETED:
            self.subnets_of[subnet.spec.subnet][name] = subnet
        if self.problems and (old is None or codec.gave_back(old, subnet)):
            for book_key in self.problems:  # what a subnet lacked for an application, another has given back
                self._poke_application(book_key)
        if old is None:  # a leader may have ended between a pool's deletion and its entry's
            for pool, (_, owner) in codec.book_of(subnet).items():
                if pool not in self.pools.store:
                    self._poke_application(owner)
        if old is None or old.spec != subnet.spec or _kind is EventKind.DELETED:
            self._forget_verdicts()
            for pool in self.pools_in[subnet.spec.subnet]:
                self.queue.add(("pool", pool))
            for kind_key, workloads in self.live_workloads.items():
                kind = self.kind(kind_key)
                if kind is not None:
                    for key in workloads:
                        self.queue.add(("app", kind.book_key(key)))
            self.wake_waiting()

    def _on_reservation(self, _kind: EventKind, one: SpiderReservedIP, _old: SpiderReservedIP | None) -> None:
        """More addresses or fewer: pools make up for it, waiting Pods look again; who holds an address keeps it."""
        self._reserved.clear()
        self._addresses.clear()
        self.views.expire()
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
        drop(self.pools_in, (old or pool).spec.subnet, name)
        changed = old is None or kind is EventKind.DELETED or serves(old) != serves(pool)
        if changed:
            self.end_shrink(name)
        if kind is EventKind.DELETED:
            self.ledgers.pop(name, None)
            self.views.forget(name)
        else:
            if owner:
                self.by_application[owner][name] = pool
            self.pools_in[pool.spec.subnet][name] = pool
            self.views.put(pool)
        if changed:
            self._judge(kind, pool)
            self._poke_subnet_of(pool)
            if owner:  # an auto pool serves nobody else
                self.wake(for_pool(name), for_application(owner))
                self._poke_application(owner)
            else:
                self.wake_waiting()

    def _poke_subnet_of(self, pool: SpiderIPPool) -> None:
        for name in self.subnets_of.get(pool.spec.subnet, ()):
            self.queue.add(("subnet", name))

    def _poke_application(self, book_key: str) -> None:
        if parts_of(book_key) is not None:
            self.queue.add(("app", book_key))

    def _on_allocation(self, kind: EventKind, one: IPAllocation, old: IPAllocation | None) -> None:
        name, pool = one.metadata.name, one.spec.pool
        value = address_of_name(name).value
        if old is not None:
            self.held.drop(old)
        self._seen(one)
        if kind is EventKind.DELETED:
            if (ledger := self.ledgers.get(pool)) is not None:
                ledger.release(value)
            self._left(name, value)
            self.wake(for_pool(pool))
            owner = self.pools.store.get(pool)
            if owner is not None and (key := codec.owner_of(owner)):
                self._poke_application(key)
            self.queue.add(("pod", codec.held_by(one)))
            self.queue.add(("allocation", name))
        else:
            self.held.put(one)
            if (claim := codec.claim_of(one)) is not None:
                for other in self.by_claim[claim]:  # an ordinal that has moved to another pool gives up its old address
                    self.queue.add(("allocation", other))
            for other in self.by_pod[one.spec.pod.uid]:
                self.queue.add(("allocation", other))
            if (ledger := self.ledgers.get(pool)) is not None:
                ledger.hold(value)
            if one.status.phase == allocation.DETACHED:
                self.wake()
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

    def _on_namespace(self, _kind: EventKind, one: PartialObject, old: PartialObject | None) -> None:
        """Its annotations name pools, its labels admit to some: its Pods look again."""
        if old is None or (one.metadata.labels, one.metadata.annotations) != (old.metadata.labels, old.metadata.annotations):
            for key in self.waiting:
                if key.startswith(f"{one.metadata.name}/"):
                    self.queue.add(("pod", key))

    def _on_node(self, _kind: EventKind, node: Node, old: Node | None) -> None:
        """A node that is declared out of service, or has been started anew, holds nothing of its old Pods any more."""
        if old is None or (node.spec, node.status.node_info) != (old.spec, old.status.node_info):
            for name in self.by_node.get(node.metadata.name, ()):
                self.queue.add(("allocation", name))
        if old is None or node.metadata.labels != old.metadata.labels:  # pools may admit it now
            self._wake_pods_on(node.metadata.name)

    def _on_lease(self, kind: EventKind, lease: Lease, old: Lease | None) -> None:
        node = self.agents.changed(kind, lease, old)
        if kind is not EventKind.DELETED and (lease.metadata.annotations or {}).get("netmgr.io/strays", "[]") != "[]":
            self.queue.add(("agent", key_of(lease.metadata)))
        if node is not None:
            self._wake_pods_on(node)

    def _wake_pods_on(self, node: str) -> None:
        """Its agent is alive again, or after a reboot: its Pods may have addresses now."""
        for key in self.waiting:
            pod = self.pods.store.get(key)
            if pod is not None and pod.spec.node_name == node:
                self.queue.add(("pod", key), urgent=True)


def serves(pool: SpiderIPPool) -> tuple[object, ...]:
    """What of a pool matters to those whom it serves: one that is being deleted gives out nothing more."""
    return (pool.spec, pool.metadata.deletion_timestamp)


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
