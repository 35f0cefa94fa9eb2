"""Early binding: as soon as a Pod has a node with a live agent, its addresses are chosen in memory and created.

I/O: one create per address; a Pod condition and an Event only where there is no address to give.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ipam.annotations import DEFAULT_INTERFACE
from ipam.prefix import AddressFamily
from ipam.release import PodState
from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json, ObjectReference
from netmgr.api.workload import Pod
from netmgr.controller import codec
from netmgr.controller.choosing import Choosing, Chosen, Refusal
from netmgr.controller.claims import Claims, Slot
from netmgr.controller.delegations import Delegations
from netmgr.controller.pod_state import pod_state
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.events import EventRecorder
from netmgr.kube.leader import now_text
from netmgr.kube.store import key_of

log = logging.getLogger(__name__)
CONDITION = "netmgr.io/AddressesAllocated"
MANAGER = "netmgr-controller"
PATIENCE = 5.0
"""Seconds after which what is only a matter of moments is said aloud."""
LOOK_AGAIN = 20.0
"""Seconds until a Pod is looked at again that does not know what could help it."""


class Pods:
    """Handler of the key "pod"."""

    def __init__(self, world: World, events: EventRecorder) -> None:
        self.world, self.events = world, events
        self.refused: dict[str, tuple[str, str]] = {}  # by key: UID and message
        self.quiet_since: dict[str, float] = {}
        self.claims = Claims(world, self._tell_pool)
        self.choosing = Choosing(world)
        self.delegations = Delegations(world)

    async def claim(self, key: str) -> float | None:
        """Give one Pod its addresses, or say why it has none."""
        pod = self.world.pods.store.get(key)
        if pod is None or not codec.needs_addresses(pod):
            self.world.waiting.end(key)
            self.claims.end_doubts()
            self.quiet_since.pop(key, None)
            self.refused.pop(key, None)
            return None
        if key not in self.world.waiting:
            self.world.waiting.put(key)
        refusal = await self._claim(pod)
        if refusal is not None:
            self.world.waiting.put(key, refusal.reason, refusal.hopes)
            if refusal.quiet and (left := self._patience(key)) > 0:
                return left
            await self._refuse(pod, refusal)
            return None if refusal.hopes else LOOK_AGAIN
        self.world.waiting.end(key)
        self.quiet_since.pop(key, None)
        self.world.metrics.unbound(pod.metadata.uid)
        self.claims.end_doubts(pod.metadata.uid)
        if self.refused.pop(key, None) or is_refused(pod):
            await self._condition(pod, "True", "Allocated", "all addresses are allocated")
        return None

    def _patience(self, key: str) -> float:
        """Seconds for which the Pod's refusal is not worth a word yet."""
        now = asyncio.get_running_loop().time()
        return self.quiet_since.setdefault(key, now) + PATIENCE - now

    async def _claim(self, pod: Pod) -> Refusal | None:
        boot_id = self.world.agent_boot_id(pod.spec.node_name)
        if boot_id is None:
            words = f"node {pod.spec.node_name} has no live netmgr agent; look at DaemonSet netmgr-agent on that node"
            return Refusal("NoAgent", words)
        await self.claims.settle_doubts(pod, boot_id)
        choice = await self.choosing.choose(pod, self._missing(pod))
        if self._runs_on_without_us(pod) and (isinstance(choice, Refusal) or not choice.delegate):
            return None
        if isinstance(choice, Refusal):
            return choice
        if choice.delegate and not self._has(pod, DEFAULT_INTERFACE):  # else a rule covered it once, and the address is its own
            await self.delegations.add(pod)
        for chosen in choice.claims:
            refusal = await self._fill(pod, chosen, boot_id)
            if refusal is not None:
                return refusal
        return None

    def _runs_on_without_us(self, pod: Pod) -> bool:
        """Whether the Pod has its address from before netmgr: it needs none, and no word about rules that came after it.

        The kubelet reports no address while a Pod has no sandbox, so one that is made anew is claimed for.
        """
        uid = pod.metadata.uid
        ours = uid in self.world.by_pod or uid in self.world.claimed or self.world.is_delegated(pod)
        return bool(pod.status.pod_ip) and not ours

    def _has(self, pod: Pod, interface: str) -> bool:
        """Whether an interface of the Pod has an address of ours."""
        missing = self._missing(pod)
        return not all(missing(interface, family) for family in AddressFamily)

    def _missing(self, pod: Pod) -> Callable[[str, AddressFamily], bool]:
        """Whether the Pod still lacks the address of an interface and family."""
        uid = pod.metadata.uid
        have = {(one.spec.interface, codec.family_of(one.spec.address)) for one in self.world.by_pod.get(uid, {}).values()}
        have |= self.world.claimed.get(uid, set())
        if self.world.is_delegated(pod):
            have |= {(DEFAULT_INTERFACE, family) for family in AddressFamily}
        return lambda interface, family: (interface, family) not in have

    async def _fill(self, pod: Pod, chosen: Chosen, boot_id: str) -> Refusal | None:
        """Claim one address from the first usable candidate, or take the ordinal's own."""
        if chosen.kept is not None:
            return await self._rebind(pod, chosen.kept, chosen.slot, boot_id)
        for candidate in chosen.usable:
            if await self.claims.create(pod, chosen.owner, chosen.slot, candidate, boot_id):
                return None
        return self.choosing.nothing_left(chosen)

    async def _rebind(self, pod: Pod, kept: IPAllocation, slot: Slot, boot_id: str) -> Refusal | None:
        """Hand an address to the ordinal's next Pod, once the old holder is proved detached, and gone: a DEL is no proof of that.

        Of one name there is one Pod at a time, so a namesake proves it; a machine's Pods have names of their own.
        """
        status = kept.status
        free = {allocation.DETACHED, allocation.COOLING}
        if not (status.phase in free and status.pod_uid == kept.spec.pod.uid):
            words = (
                f"address {kept.spec.address} of this ordinal is still attached to Pod {kept.spec.pod.name} on node "
                f"{kept.spec.node_name}; it follows when that node's agent reports it detached"
            )
            return Refusal("WaitsForRelease", words)
        holder = kept.spec.pod
        if holder.name != pod.metadata.name and await pod_state(self.world.api, holder) is PodState.LIVES:
            words = f"address {kept.spec.address} is Pod {holder.name}'s, which lives; it follows when that Pod is deleted"
            return Refusal("WaitsForRelease", words)
        await self.claims.rebind(pod, kept, slot, boot_id)
        return None

    async def _refuse(self, pod: Pod, refusal: Refusal) -> None:
        """Write the reason where the Pod's owner looks, once for each reason."""
        key, told = key_of(pod.metadata), (pod.metadata.uid, refusal.message)
        if self.refused.get(key) == told:
            return
        self.refused[key] = told
        self.world.metrics.refusals.labels(refusal.reason).inc()
        about = ObjectReference(
            kind="Pod", api_version="v1", namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid
        )
        self.events.record(about, "Warning", refusal.reason, refusal.message)
        if refusal.application is not None:
            self.events.record(refusal.application, "Warning", refusal.reason, refusal.message)
        if not says(pod, refusal):  # an earlier leader may have written it
            await self._condition(pod, "False", refusal.reason, refusal.message)

    def _tell_pool(self, name: str, reason: str, message: str) -> None:
        """An Event about a pool that a claim came upon."""
        pool = self.world.pools.store.get(name)
        uid = pool.metadata.uid if pool is not None else ""
        about = ObjectReference(kind="SpiderIPPool", api_version=spider.GROUP_VERSION, name=name, uid=uid)
        self.events.record(about, "Warning", reason, message)

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


def says(pod: Pod, refusal: Refusal) -> bool:
    """Whether our condition on the Pod gives this reason already."""
    ours = (one for one in pod.status.conditions or () if one.type == CONDITION and one.status == "False")
    return any((one.reason, one.message) == (refusal.reason, refusal.message) for one in ours)


def is_refused(pod: Pod) -> bool:
    """Whether our condition on the Pod says False."""
    return any(one.type == CONDITION and one.status == "False" for one in pod.status.conditions or ())
