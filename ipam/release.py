"""When an address is freed, kept or handed on. Freeing needs two proofs: nobody needs it, and nothing is attached.

| Pod (live read) | agent's report | retained | decision |
| --- | --- | --- | --- |
| lives | any | | keep (a DEL of a living Pod only ends the attachment) |
| lives, and has an older address for the same interface and family | none | | ask the agent: this one is surplus |
| the same | detached, of this holder | | free |
| being deleted | none | | keep: the sandbox is still there, its DEL will come |
| gone or finished | none | | ask the agent (phase Releasing) |
| gone or finished | asked, no answer | | keep |
| gone or finished | none or asked, but the node is fenced | no, yes | as if the agent had reported |
| gone, finished or being deleted | detached, of this holder | no | free, or cool first |
| gone, finished or being deleted | detached, of this holder | yes | keep for the claimant's next Pod |
| any but alive | cooling | | keep until the cooldown ends, then free |
| any | of another holder | | the report is void |

A node is fenced when nothing of the holder can still run there: see `fence`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum


class PodState(Enum):
    """What a live read of the Pod showed."""

    LIVES = "lives"
    TERMINATING = "is being deleted"
    FINISHED = "has finished"
    GONE = "is gone"


class Report(Enum):
    """What the allocation's status says about this holder."""

    NONE = "no report"
    ASKED = "the agent was asked"
    DETACHED = "detached"
    COOLING = "cooling"
    COOLED = "cooled down"


class Verdict(Enum):
    """What the controller does with the allocation."""

    KEEP = "keep"
    ASK = "ask"
    FREE = "free"
    COOL = "cool"
    RETAIN = "retain"


class Fence(StrEnum):
    """Why nothing of a holder can still run on a node whose agent is silent; the empty one proves nothing."""

    NONE = ""
    OUT_OF_SERVICE = "its node is declared out of service"
    REBOOTED = "its node has been started anew since"
    GRACE = "its node is lost and the grace of its pool (nodeLostGraceSeconds) is over"


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict and why: in words for logs and Events, and the `proof` in one word for counters."""

    verdict: Verdict
    why: str
    proof: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """A live read of the Node that an address is held on. `exists` is False where there is no such Node any more."""

    exists: bool = True
    ready: bool = True
    out_of_service: bool = False
    boot_id: str = ""


def fence(node: NodeFacts, *, held_in: frozenset[str], asked: datetime | None, grace: timedelta | None, now: datetime) -> Fence:
    """Why nothing of a holder can still run on a node whose agent is silent; empty where that is not proved.

    A Node that is NotReady or gone proves nothing by itself: its containers may run on behind a broken link. `grace`, which
    counts from the moment the agent was `asked`, is the administrator's word that they do not run longer than that. `held_in` are
    all boots of the node in which the holder may have been attached: a Pod outlives a reboot, and is attached again after it.
    """
    if node.out_of_service:
        return Fence.OUT_OF_SERVICE
    if held_in and node.boot_id and node.boot_id not in held_in:
        return Fence.REBOOTED
    lost = not (node.exists and node.ready)
    if lost and grace is not None and asked is not None and now - asked >= grace:
        return Fence.GRACE
    return Fence.NONE


def report_of(*, phase: str, reported_pod: str, holder: str, cooled: bool = False) -> Report:
    """Read an allocation's status; a report about another holder is void. `cooled`: `coolingUntil` has passed."""
    if reported_pod != holder:
        return Report.NONE
    cooling = Report.COOLED if cooled else Report.COOLING
    return {"Releasing": Report.ASKED, "Detached": Report.DETACHED, "Cooling": cooling}.get(phase, Report.NONE)


def decide(
    pod: PodState, report: Report, *, retained: bool, cooldown: bool = False, surplus: bool = False, fenced: Fence = Fence.NONE
) -> Decision:
    """The table above, row by row. A surplus comes from a write whose outcome nobody learned (a leader killed in the middle).

    `fenced` is what `fence` says about the holder's node.
    """
    if pod is PodState.LIVES and surplus:
        return {
            Report.NONE: Decision(Verdict.ASK, "the Pod has an older address for this interface and family"),
            Report.DETACHED: Decision(
                Verdict.FREE, "the Pod has an older address and the agent reported this one detached", "surplus"
            ),
        }.get(report, Decision(Verdict.KEEP, "waiting for the agent's answer"))
    if pod is PodState.LIVES:
        return Decision(Verdict.KEEP, "the Pod lives")
    if report is Report.COOLED:
        return Decision(Verdict.FREE, f"the Pod {pod.value} and the cooldown is over", "cooled")
    if report is Report.COOLING:
        return Decision(Verdict.KEEP, "the cooldown is not over")
    fenced = fenced if pod is not PodState.TERMINATING else Fence.NONE
    if report is Report.DETACHED or fenced:
        proof = fenced or "the agent reported its sandbox detached"
        word = fenced.name.lower() if fenced else "detached"
        if retained:
            return Decision(Verdict.RETAIN, f"the Pod {pod.value} and {proof}; its ordinal keeps the address", word)
        return Decision(Verdict.COOL if cooldown else Verdict.FREE, f"the Pod {pod.value} and {proof}", word)
    if pod is PodState.TERMINATING:
        return Decision(Verdict.KEEP, "the Pod is being deleted; its sandbox is not detached yet")
    if report is Report.ASKED:
        return Decision(Verdict.KEEP, f"the Pod {pod.value}; waiting for the agent's answer")
    return Decision(Verdict.ASK, f"the Pod {pod.value}; the agent has to say that nothing is attached")
