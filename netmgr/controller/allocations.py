"""Freeing addresses on evidence, and nothing else: a live read of the Pod, and the agent's report or what fences its node.

I/O: GET of the Pod (of the Node too where its agent is silent), then at most one guarded write. The rules are `ipam.release`.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from ipam.release import Decision, Fence, PodState, Report, Verdict, decide, report_of
from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json, ObjectReference
from netmgr.controller import codec
from netmgr.controller.fencing import fenced, rules_of, text_of, time_of
from netmgr.controller.pod_state import pod_state
from netmgr.controller.retention import is_retained, is_retained_in_the_copy
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.errors import Conflict, NotFound
from netmgr.kube.events import EventRecorder

log = logging.getLogger(__name__)
RECHECK_SECONDS = 15.0
"""An allocation whose agent has not answered is looked at again so often."""


class Allocations:
    """Handler of the key "allocation"."""

    def __init__(self, world: World, events: EventRecorder) -> None:
        self.world, self.events = world, events
        self.told: dict[str, set[tuple[str, str]]] = {}
        self.freed: dict[str, str] = {}

    async def settle(self, name: str) -> float | None:
        """Decide on one allocation and do it."""
        one = self.world.allocations.store.get(name)
        if one is None:
            self.told.pop(name, None)
            self.freed.pop(name, None)
            return None
        if self.freed.get(name) == one.metadata.uid:  # the watch has not shown it yet
            return None
        surplus = self._is_surplus(one)
        if not surplus and (self._lives_in_the_copy(one) or self._stays_in_the_copy(one)):
            return None
        return (await self._judge(one, surplus=surplus))[1]

    async def settle_live(self, one: IPAllocation) -> bool:
        """Decide on an allocation as it was just read, whatever the copies say of it and of its Pod; whether anything was done."""
        return (await self._judge(one, surplus=False))[0] not in {None, Verdict.KEEP}

    async def _judge(self, one: IPAllocation, *, surplus: bool) -> tuple[Verdict | None, float | None]:
        """Look for the proofs and do what they allow: what was done (None: others were faster), seconds to the next look."""
        rules, state, report = rules_of(self.world, one.spec.pool), await pod_state(self.world.api, one.spec.pod), self._report(one)
        unanswered = state in {PodState.GONE, PodState.FINISHED} and report in {Report.NONE, Report.ASKED}
        proof = await fenced(self.world, one, rules.grace) if unanswered else Fence.NONE
        retained = await is_retained(self.world, one) if state is not PodState.LIVES else False
        decision = decide(state, report, retained=retained, cooldown=bool(rules.cooldown), surplus=surplus, fenced=proof)
        try:
            await self._do(one, decision, rules.cooldown)
        except (Conflict, NotFound) as error:
            log.info("release overtaken address=%s error=%s", one.metadata.name, error)
            return None, None
        if proof:
            self._tell(one, "ReleasedWithoutAgent", decision.why)
        return decision.verdict, self._again(one, report, unanswered=unanswered and not proof)

    def _again(self, one: IPAllocation, report: Report, *, unanswered: bool) -> float | None:
        """Seconds until the allocation is to be looked at without an event: a cooldown's end, or a node's silence."""
        if report is Report.COOLING and (until := time_of(one.status.cooling_until)) is not None:
            return max(0.1, (until - self.world.api.server_time()).total_seconds())
        if not unanswered:
            return None
        if self.world.agent_boot_id(one.spec.node_name) is not None:
            return RECHECK_SECONDS  # it may fall silent before it answers, and no event tells of silence
        words = (
            f"node {one.spec.node_name} has no live agent to say that nothing is attached any more; bring the node back, or "
            "declare it out of service with the taint node.kubernetes.io/out-of-service, or set spec.nodeLostGraceSeconds"
        )
        self._tell(one, "ReleaseWaits", words)
        return RECHECK_SECONDS

    def _tell(self, one: IPAllocation, reason: str, words: str) -> None:
        """An Event on the pool, once for each holder and reason."""
        told = self.told.setdefault(one.metadata.name, set())
        if (one.spec.pod.uid, reason) in told:
            return
        told.add((one.spec.pod.uid, reason))
        pool = self.world.pools.store.get(one.spec.pool)
        about = ObjectReference(
            kind="SpiderIPPool", api_version=spider.GROUP_VERSION, name=one.spec.pool, uid=pool.metadata.uid if pool else ""
        )
        self.events.record(about, "Warning", reason, f"address {one.spec.address} of Pod {codec.held_by(one)}: {words}")

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

    def _stays_in_the_copy(self, one: IPAllocation) -> bool:
        """Its agent has reported, and the copies show that its claimant keeps it: a new leader may find 100,000 of these."""
        return self._report(one) is Report.DETACHED and is_retained_in_the_copy(self.world, one)

    def _report(self, one: IPAllocation) -> Report:
        until = time_of(one.status.cooling_until)
        cooled = until is None or self.world.api.server_time() >= until
        return report_of(phase=one.status.phase, reported_pod=one.status.pod_uid, holder=one.spec.pod.uid, cooled=cooled)

    async def _do(self, one: IPAllocation, decision: Decision, cooldown: timedelta) -> None:
        meta, now = one.metadata, self.world.api.server_time()
        if decision.verdict is Verdict.FREE:
            path = paths.named(allocation.ALLOCATIONS, meta.name)
            await self.world.api.delete(path, uid=meta.uid, resource_version=meta.resource_version)
            self.freed[meta.name] = meta.uid
            self.world.metrics.freed.labels(decision.proof).inc()
            log.info("address_freed address=%s pod=%s why=%s", meta.name, codec.held_by(one), decision.why)
        elif decision.verdict is Verdict.ASK:
            await self._mark(one, {"phase": allocation.RELEASING, "releasingSince": text_of(now), "message": decision.why})
        elif decision.verdict is Verdict.COOL:
            await self._mark(one, {"phase": allocation.COOLING, "coolingUntil": text_of(now + cooldown), "message": decision.why})
        elif decision.verdict is Verdict.RETAIN and one.status.phase != allocation.DETACHED:  # the node is fenced
            detached = {"phase": allocation.DETACHED, "containerID": "", "bootID": one.spec.boot_id, "message": decision.why}
            await self._mark(one, detached)

    async def _mark(self, one: IPAllocation, status: Json) -> None:
        """Write what is known about the present holder, if it still is the one that was looked at."""
        meta = one.metadata
        body: Json = {
            "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
            "status": {"podUID": one.spec.pod.uid, **status},
        }
        await self.world.api.merge_patch(paths.named(allocation.ALLOCATIONS, meta.name, "status"), body, IPAllocation)
