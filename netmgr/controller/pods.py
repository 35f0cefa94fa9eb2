"""Early binding: as soon as a Pod has a node with a live agent, its addresses are chosen in memory and created.

I/O: one create per address; a Pod condition and an Event only where there is no address to give.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ipam import selection
from ipam.annotations import AddressRequest, InterfaceRequest, Source, parse_request
from ipam.application import Application
from ipam.errors import AnnotationError
from ipam.prefix import AddressFamily
from netmgr.api import allocation
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json, ObjectReference
from netmgr.api.workload import Pod
from netmgr.controller import codec
from netmgr.controller.claims import Claims, Slot
from netmgr.controller.owners import Unproved, top_owner
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.events import EventRecorder
from netmgr.kube.leader import now_text

log = logging.getLogger(__name__)
CONDITION = "netmgr.io/AddressesAllocated"
MANAGER = "netmgr-controller"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a Pod has no address: `reason` is a word, `message` a sentence; `quiet` while it is only a matter of moments."""

    reason: str
    message: str
    quiet: bool = False


class Pods:
    """Handler of the key "pod"."""

    def __init__(self, world: World, events: EventRecorder) -> None:
        self.world, self.events = world, events
        self.refused: dict[str, str] = {}
        self.claims = Claims(world)

    async def claim(self, key: str) -> float | None:
        """Give one Pod its addresses, or say why it has none."""
        pod = self.world.pods.store.get(key)
        if pod is None or not codec.needs_addresses(pod):
            self.world.waiting.pop(key, None)
            self.claims.end_doubts()
            return None
        self.world.waiting.setdefault(key, "")
        refusal = await self._claim(pod)
        if refusal is not None:
            self.world.waiting[key] = refusal.reason
            await self._refuse(pod, refusal)
            return None
        self.world.waiting.pop(key, None)
        self.world.metrics.unbound(pod.metadata.uid)
        self.claims.end_doubts(pod.metadata.uid)
        if self.refused.pop(pod.metadata.uid, None) or is_refused(pod):
            await self._condition(pod, "True", "Allocated", "all addresses are allocated")
        return None

    async def _claim(self, pod: Pod) -> Refusal | None:
        boot_id = self.world.agent_boot_id(pod.spec.node_name)
        if boot_id is None:
            words = f"node {pod.spec.node_name} has no live netmgr agent; look at DaemonSet netmgr-agent on that node"
            return Refusal("NoAgent", words)
        owner = top_owner(pod, self.world.live_workloads)
        if isinstance(owner, Unproved):
            return Refusal("OwnerUnproved", f"Pod {pod.metadata.name}: {owner.why}", quiet=True)
        namespace = self.world.namespaces.store.get(pod.metadata.namespace)
        try:
            request = parse_request(pod.metadata.annotations, namespace.metadata.annotations if namespace else None)
        except AnnotationError as error:
            return Refusal("BadAnnotation", str(error))
        slots = self._slots(owner, request)
        if isinstance(slots, Refusal):
            return slots
        have = {
            (one.spec.interface, codec.family_of(one.spec.address)) for one in self.world.by_pod.get(pod.metadata.uid, {}).values()
        }
        have |= self.world.claimed.get(pod.metadata.uid, set())
        for slot in slots:
            if (slot.interface, slot.family) not in have:
                refusal = await self._fill(pod, owner, slot, boot_id)
                if refusal is not None:
                    return refusal
        return None

    def _slots(self, owner: Application | None, request: AddressRequest) -> list[Slot] | Refusal:
        """What has to be claimed, with the candidates for each."""
        views = self._views()
        if not request.interfaces:
            return self._default_slots(views)
        slots: list[Slot] = []
        for one in request.interfaces:
            for family, names in one.names.items():
                pools = self._named(one, family, names, owner, views)
                if isinstance(pools, Refusal):
                    return pools
                slots.append(Slot(one.interface, family, tuple(pools), len(one.names), f"{one.source.value} named by annotation"))
        return slots

    def _default_slots(self, views: dict[str, selection.PoolView]) -> list[Slot] | Refusal:
        found = {family: tuple(selection.default_pools(family, views)) for family in AddressFamily}
        families = [family for family, pools in found.items() if pools]
        if not families:
            words = (
                "no rule gives this Pod an address: it has no ipam.spidernet.io annotation, its namespace names no pool, "
                "and no SpiderIPPool has spec.default; add the annotation or set spec.default on a pool"
            )
            return Refusal("NoRule", words)
        return [Slot("eth0", family, found[family], len(families), "default pool") for family in families]

    def _named(
        self,
        one: InterfaceRequest,
        family: AddressFamily,
        names: tuple[str, ...],
        owner: Application | None,
        views: dict[str, selection.PoolView],
    ) -> list[str] | Refusal:
        """Pools for one interface and family."""
        if one.source is not Source.SUBNET:
            return selection.named_pools(names, family, views)
        if owner is None:
            words = "a Pod without a controller cannot have a pool of its own; use ipam.spidernet.io/ippool, or a Deployment"
            return Refusal("NoController", words)
        pool = self.world.auto_pool(owner, family, one.interface)
        if pool in views:
            return [pool]
        problem = self.world.problems.get(owner.book_key)
        return Refusal(
            "PoolPending", problem.message if problem else f"pool {pool} is being made for {owner}", quiet=problem is None
        )

    def _views(self) -> dict[str, selection.PoolView]:
        verdicts = self.world.verdicts()[1]
        views: dict[str, selection.PoolView] = {}
        for name, pool in self.world.pools.store.items():
            ledger = self.world.ledger(name)
            views[name] = codec.pool_view(pool, verdicts.get(name), ledger.free if ledger is not None else 0)
        return views

    async def _fill(self, pod: Pod, owner: Application | None, slot: Slot, boot_id: str) -> Refusal | None:
        """Claim one address from the first usable candidate."""
        kept = self._retained(pod, owner, slot)
        if kept is not None:
            return await self._rebind(pod, kept, slot, boot_id)
        node = self.world.nodes.store.get(pod.spec.node_name)
        namespace = self.world.namespaces.store.get(pod.metadata.namespace)
        view = codec.pod_view(pod, owner, node.metadata if node else None, namespace.metadata if namespace else None)
        tried = selection.candidates(slot.pools, slot.family, self._views(), view)
        for candidate in tried:
            if candidate.usable and await self.claims.create(pod, owner, slot, candidate.pool, boot_id):
                return None
        reasons = "; ".join(f"SpiderIPPool {one.pool} {one.refusal or 'has no free address'}" for one in tried)
        return Refusal("NoUsablePool", f"no {slot.family.word} address for {slot.interface}: {reasons or 'no pool is named'}")

    def _retained(self, pod: Pod, owner: Application | None, slot: Slot) -> IPAllocation | None:
        """The allocation that this ordinal holds already."""
        ordinal = codec.ordinal_of(pod, owner)
        if owner is None or ordinal is None:
            return None
        for pool in slot.pools:
            for one in self.world.by_pool.get(pool, {}).values():
                claimant = one.spec.claimant
                if (claimant.uid, claimant.ordinal, one.spec.interface) == (owner.uid, ordinal, slot.interface):
                    return one
        return None

    async def _rebind(self, pod: Pod, kept: IPAllocation, slot: Slot, boot_id: str) -> Refusal | None:
        """Hand an address to the ordinal's next Pod, once the old holder is proved detached."""
        status = kept.status
        free = {allocation.DETACHED, allocation.COOLING}
        if not (status.phase in free and status.pod_uid == kept.spec.pod.uid):
            words = (
                f"address {kept.spec.address} of this ordinal is still attached to Pod {kept.spec.pod.name} on node "
                f"{kept.spec.node_name}; it follows when that node's agent reports it detached"
            )
            return Refusal("WaitsForRelease", words)
        await self.claims.rebind(pod, kept, slot, boot_id)
        return None

    async def _refuse(self, pod: Pod, refusal: Refusal) -> None:
        """Write the reason where the Pod's owner looks, once for each reason."""
        if refusal.quiet or self.refused.get(pod.metadata.uid) == refusal.message:
            return
        self.refused[pod.metadata.uid] = refusal.message
        self.world.metrics.refusals.labels(refusal.reason).inc()
        about = ObjectReference(
            kind="Pod", api_version="v1", namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid
        )
        self.events.record(about, "Warning", refusal.reason, refusal.message)
        await self._condition(pod, "False", refusal.reason, refusal.message)

    async def _condition(self, pod: Pod, status: str, reason: str, message: str) -> None:
        """Set our one condition by server-side apply; the kubelet's stay the kubelet's."""
        meta = pod.metadata
        one = {"type": CONDITION, "status": status, "reason": reason, "message": message, "lastTransitionTime": seconds_text()}
        body: Json = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
            "status": {"conditions": [one]},
        }
        path = paths.named(paths.PODS, meta.name, "status", namespace=meta.namespace)
        await self.world.api.apply(path, body, MANAGER, Pod, force=True)


def seconds_text() -> str:
    """Now, as metav1.Time."""
    return now_text().split(".")[0].rstrip("Z") + "Z"


def is_refused(pod: Pod) -> bool:
    """Whether our condition on the Pod says False."""
    return any(one.type == CONDITION and one.status == "False" for one in pod.status.conditions or ())
