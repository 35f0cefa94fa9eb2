"""I/O: gives an address up before its time, on the same two proofs as the controller, and on no other word.

What an administrator may waive is a wish: that an ordinal keeps the address, that it cools down. That nobody needs it and nothing
is attached is read live, and the delete carries the UID and resourceVersion of that reading.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from ipam.prefix import Address, allocation_name
from ipam.release import Decision, PodState, Report, Verdict, decide, report_of
from netmgr.api import allocation
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json
from netmgr.controller import codec
from netmgr.controller.fencing import text_of
from netmgr.controller.pod_state import pod_state
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import Conflict, NotFound

LOOK_SECONDS, TOLD_SECONDS = 0.3, 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the address: freed, free (it was before), or refused; and why."""

    address: str
    result: str
    why: str


class Releaser:
    """`seconds` to wait for the node's agent; `dry_run` decides and writes nothing."""

    def __init__(self, api: Api, say: Callable[[str], None], *, seconds: float, dry_run: bool) -> None:
        self.api, self.say, self.seconds, self.dry_run = api, say, seconds, dry_run

    async def release(self, address: Address) -> Outcome:
        """Free it if that is proved within the time."""
        began = told = time.monotonic()
        while True:
            try:
                one = await self.api.get(paths.named(allocation.ALLOCATIONS, allocation_name(address)), IPAllocation)
            except NotFound:
                return Outcome(str(address), "free", "no IPAllocation has it")
            state = await pod_state(self.api, one.spec.pod)
            decision = decide(state, self._report(one), retained=False)
            if (done := await self._step(one, state, decision)) is not None:
                return done
            now = time.monotonic()
            if now - began > self.seconds:
                words = f"{decision.why}; nothing came from node {one.spec.node_name} within {self.seconds:g} s"
                remedy = "see docs/applications.md, When an address becomes free, for a node that is lost"
                return Outcome(str(address), "refused", f"Pod {codec.held_by(one)}: {words}; {remedy}")
            if now - told > TOLD_SECONDS:
                self.say(f"{address}: waiting for the agent of node {one.spec.node_name} ({now - began:.0f} s)")
                told = now
            await asyncio.sleep(LOOK_SECONDS)

    @staticmethod
    def _report(one: IPAllocation) -> Report:
        """The agent's word; a cooldown is a wish that ends here."""
        return report_of(phase=one.status.phase, reported_pod=one.status.pod_uid, holder=one.spec.pod.uid, cooled=True)

    async def _step(self, one: IPAllocation, state: PodState, decision: Decision) -> Outcome | None:
        """Do what was decided; None where the agent has to answer first."""
        address, holder = one.spec.address, codec.held_by(one)
        if state is PodState.LIVES:
            return Outcome(address, "refused", f"Pod {holder} lives and has it; delete the Pod, or its application")
        if decision.verdict not in {Verdict.FREE, Verdict.ASK}:
            return Outcome(address, "refused", f"{decision.why}; it would be waited for") if self.dry_run else None
        if self.dry_run:
            result = "freed" if decision.verdict is Verdict.FREE else "asked"
            return Outcome(address, result, f"Pod {holder}: {decision.why}")
        try:
            if decision.verdict is Verdict.FREE:
                meta = one.metadata
                path = paths.named(allocation.ALLOCATIONS, meta.name)
                await self.api.delete(path, uid=meta.uid, resource_version=meta.resource_version)
                return Outcome(address, "freed", f"Pod {holder}: {decision.why}")
            await self._ask(one)
        except (Conflict, NotFound):  # somebody was faster: look again
            return None
        return None

    async def _ask(self, one: IPAllocation) -> None:
        """Have the node's agent look."""
        meta, now = one.metadata, text_of(self.api.server_time())
        status: Json = {"phase": allocation.RELEASING, "podUID": one.spec.pod.uid, "releasingSince": now}
        body: Json = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}, "status": status}
        await self.api.merge_patch(paths.named(allocation.ALLOCATIONS, meta.name, "status"), body, IPAllocation)
