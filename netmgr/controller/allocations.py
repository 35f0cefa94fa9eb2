"""Freeing addresses on evidence, and nothing else: a live read of the Pod, and the agent's report.

I/O: GET of the Pod, then at most one guarded write. The rules are `ipam.release`.
"""

from __future__ import annotations

import logging

from ipam.release import Decision, PodState, Report, Verdict, decide, report_of
from netmgr.api import allocation
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json
from netmgr.api.workload import Pod
from netmgr.controller import codec
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.errors import Conflict, NotFound

log = logging.getLogger(__name__)


class Allocations:
    """Handler of the key "allocation"."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def settle(self, name: str) -> float | None:
        """Decide on one allocation and do it."""
        one = self.world.allocations.store.get(name)
        if one is None:
            return None
        surplus = self._is_surplus(one)
        if not surplus and self._lives_in_the_copy(one):
            return None
        decision = decide(await self._pod_state(one), self._report(one), retained=self._retained(one), surplus=surplus)
        try:
            await self._do(one, decision)
        except (Conflict, NotFound) as error:
            log.info("release overtaken address=%s error=%s", name, error)
        return None

    def _is_surplus(self, one: IPAllocation) -> bool:
        """Whether the Pod has an older allocation for the same interface and family that it may keep."""
        family = codec.family_of(one.spec.address)
        return any(
            (other.spec.interface, codec.family_of(other.spec.address)) == (one.spec.interface, family)
            and other.seniority < one.seniority
            and self._report(other) is Report.NONE
            for other in self.world.by_pod.get(one.spec.pod.uid, {}).values()
        )

    def _lives_in_the_copy(self, one: IPAllocation) -> bool:
        """The copy shows the Pod alive: nothing to free (a copy may keep an address, never free one)."""
        pod = self.world.pods.store.get(codec.held_by(one))
        return pod is not None and pod.metadata.uid == one.spec.pod.uid and codec.needs_addresses(pod)

    def _report(self, one: IPAllocation) -> Report:
        return report_of(phase=one.status.phase, reported_pod=one.status.pod_uid, holder=one.spec.pod.uid)

    async def _pod_state(self, one: IPAllocation) -> PodState:
        """A live read."""
        holder = one.spec.pod
        try:
            pod = await self.world.api.get(paths.named(paths.PODS, holder.name, namespace=holder.namespace), Pod)
        except NotFound:
            return PodState.GONE
        if pod.metadata.uid != holder.uid:
            return PodState.GONE
        if pod.status.phase in codec.TERMINAL:
            return PodState.FINISHED
        return PodState.LIVES if pod.metadata.deletion_timestamp is None else PodState.TERMINATING

    def _retained(self, one: IPAllocation) -> bool:
        """Whether a StatefulSet's ordinal keeps the address for its next Pod."""
        claimant = one.spec.claimant
        if claimant.kind != "StatefulSet" or claimant.ordinal is None:
            return False
        owner = self.world.workloads["StatefulSet"].store.get(f"{claimant.namespace}/{claimant.name}")
        if owner is None or owner.metadata.uid != claimant.uid or owner.metadata.deletion_timestamp:
            return False
        return claimant.ordinal < (owner.spec.replicas if owner.spec.replicas is not None else 1)

    async def _do(self, one: IPAllocation, decision: Decision) -> None:
        meta = one.metadata
        if decision.verdict is Verdict.FREE:
            path = paths.named(allocation.ALLOCATIONS, meta.name)
            await self.world.api.delete(path, uid=meta.uid, resource_version=meta.resource_version)
            log.info("address_freed address=%s pod=%s why=%s", meta.name, codec.held_by(one), decision.why)
        elif decision.verdict is Verdict.ASK:
            body: Json = {
                "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
                "status": {"phase": allocation.RELEASING, "podUID": one.spec.pod.uid, "message": decision.why},
            }
            await self.world.api.merge_patch(paths.named(allocation.ALLOCATIONS, meta.name, "status"), body, IPAllocation)
