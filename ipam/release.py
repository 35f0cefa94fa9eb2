"""When an address is freed, kept or handed on. Freeing needs two proofs: nobody needs it, and nothing is attached.

| Pod (live read) | agent's report | retained | decision |
| --- | --- | --- | --- |
| lives | any | | keep (a DEL of a living Pod only ends the attachment) |
| lives, and has an older address for the same interface and family | none | | ask the agent: this one is surplus |
| the same | detached, of this holder | | free |
| being deleted | none | | keep: the sandbox is still there, its DEL will come |
| gone or finished | none | | ask the agent (phase Releasing) |
| gone or finished | asked, no answer | | keep |
| gone, finished or being deleted | detached, of this holder | no | free, or cool first |
| gone, finished or being deleted | detached, of this holder | yes | keep for the claimant's next Pod |
| any | of another holder | | the report is void |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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
    COOLED = "cooled down"


class Verdict(Enum):
    """What the controller does with the allocation."""

    KEEP = "keep"
    ASK = "ask"
    FREE = "free"
    COOL = "cool"
    RETAIN = "retain"


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict and why, in words for logs and Events."""

    verdict: Verdict
    why: str


def report_of(*, phase: str, reported_pod: str, holder: str) -> Report:
    """Read an allocation's status; a report about another holder is void."""
    if reported_pod != holder:
        return Report.NONE
    return {"Releasing": Report.ASKED, "Detached": Report.DETACHED, "Cooling": Report.COOLED}.get(phase, Report.NONE)


def decide(pod: PodState, report: Report, *, retained: bool, cooldown: bool = False, surplus: bool = False) -> Decision:
    """The table above, row by row. A surplus comes from a write whose outcome nobody learned (a leader killed in the middle)."""
    if pod is PodState.LIVES and surplus:
        return {
            Report.NONE: Decision(Verdict.ASK, "the Pod has an older address for this interface and family"),
            Report.DETACHED: Decision(Verdict.FREE, "the Pod has an older address and the agent reported this one detached"),
        }.get(report, Decision(Verdict.KEEP, "waiting for the agent's answer"))
    if pod is PodState.LIVES:
        return Decision(Verdict.KEEP, "the Pod lives")
    if report is Report.COOLED:
        return Decision(Verdict.FREE, f"the Pod {pod.value} and the cooldown is over")
    if report is Report.DETACHED:
        if retained:
            return Decision(Verdict.RETAIN, f"the Pod {pod.value}; its ordinal keeps the address")
        verdict = Verdict.COOL if cooldown else Verdict.FREE
        return Decision(verdict, f"the Pod {pod.value} and the agent reported its sandbox detached")
    if pod is PodState.TERMINATING:
        return Decision(Verdict.KEEP, "the Pod is being deleted; its sandbox is not detached yet")
    if report is Report.ASKED:
        return Decision(Verdict.KEEP, f"the Pod {pod.value}; waiting for the agent's answer")
    return Decision(Verdict.ASK, f"the Pod {pod.value}; the agent has to say that nothing is attached")
