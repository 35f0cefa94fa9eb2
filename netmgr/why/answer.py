"""What there is to say about a Pod's addresses: per interface and family what it holds, and each pool with why or why not. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json
from netmgr.controller import codec
from netmgr.controller.choosing import Chosen, Refusal

NEXT = {
    "": "it is the Pod's",
    "Releasing": "the node's agent has been asked whether anything is attached to it",
    "Detached": "its sandbox has ended",
    "Cooling": "it rests until its cooldown ends",
}


@dataclass(frozen=True, slots=True)
class Held:
    """One address of the Pod."""

    address: str
    pool: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Considered:
    """One pool; `refusal` is empty where the Pod may take an address of it."""

    pool: str
    usable: bool
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One interface and family."""

    interface: str
    family: str
    rule: str
    held: Held | None
    considered: tuple[Considered, ...]
    keeps: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The whole. `reason` and `message` say why not where the Pod lacks an address; `application` is the proved owner."""

    pod: str
    node: str = ""
    application: str = ""
    reason: str = ""
    message: str = ""
    parts: tuple[Part, ...] = field(default=())

    @property
    def is_served(self) -> bool:
        """Whether the Pod has all its addresses, or needs none."""
        return not self.message

    def as_json(self) -> Json:
        """For tools."""
        return {**asdict(self), "served": self.is_served}

    def lines(self) -> Iterable[str]:
        """For people."""
        yield f"Pod {self.pod}" + (f" on node {self.node}" if self.node else "")
        if self.application:
            yield f"application: {self.application}, proved by live objects"
        for part in self.parts:
            yield f"{part.interface} {part.family}: " + (
                f"{part.held.address} of SpiderIPPool {part.held.pool}, {part.held.state}" if part.held else "no address"
            )
            yield f"  rule: {part.rule}"
            if part.keeps:
                yield f"  {part.keeps}"
            for one in part.considered:
                yield f"  SpiderIPPool {one.pool}: {'may serve this Pod' if one.usable else one.refusal}"
        if self.message:
            yield f"{self.reason}: {self.message}"


def part_of(one: Chosen, held: Iterable[IPAllocation]) -> Part:
    """One interface and family, with what the Pod holds there."""
    slot = one.slot
    mine = next(
        (has for has in held if (has.spec.interface, codec.family_of(has.spec.address)) == (slot.interface, slot.family)), None
    )
    kept = one.kept
    return Part(
        interface=slot.interface,
        family=slot.family.word,
        rule=slot.why,
        held=None if mine is None else Held(mine.spec.address, mine.spec.pool, NEXT[mine.status.phase], mine.spec.reason),
        considered=tuple(Considered(each.pool, each.usable, each.refusal) for each in one.candidates),
        keeps="" if kept is None or kept == mine else f"keeps {kept.spec.address}, which Pod {kept.spec.pod.name} holds",
    )


def lacking(parts: Iterable[Part], refusal: Refusal | None) -> tuple[str, str]:
    """Reason and message where the Pod lacks an address."""
    if refusal is not None:
        return refusal.reason, refusal.message
    missing = [f"{one.interface} {one.family}" for one in parts if one.held is None]
    if not missing:
        return "", ""
    words = "no address yet although one can be given; look whether the Deployment netmgr-controller runs"
    return "Pending", f"{', '.join(missing)}: {words}"
