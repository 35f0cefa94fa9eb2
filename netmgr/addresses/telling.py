"""What there is to say about one address, from objects as they are. Pure.

| state | the address |
| --- | --- |
| Held | is a Pod's |
| Releasing, Cooling | is on its way back: see `next` |
| Kept | belongs to an ordinal or a machine whose Pod is away |
| Free | can be given out by its pool |
| Reserved | is in a pool, and a SpiderReservedIP names it |
| Unpooled | is in a subnet and in no pool |
| Unknown | is in no subnet and no pool |
"""

from __future__ import annotations

from dataclasses import dataclass

from ipam.errors import AddressError
from ipam.prefix import Address, RangeSet, parse_prefix
from ipam.release import PodState
from netmgr.api.allocation import COOLING, DETACHED, RELEASING, IPAllocation
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.controller import codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One address; empty where there is nothing to say. `next` says what happens, or what to do."""

    address: str
    state: str
    pool: str = ""
    subnet: str = ""
    pod: str = ""
    pod_state: str = ""
    node: str = ""
    interface: str = ""
    claimant: str = ""
    since: str = ""
    reason: str = ""
    next: str = ""


def held(one: IPAllocation, pod: PodState, subnets: list[SpiderSubnet], pools: list[SpiderIPPool]) -> Told:
    """An address that is allocated."""
    spec, claimant = one.spec, one.spec.claimant
    pool = next((each for each in pools if each.metadata.name == spec.pool), None)
    ordinal = f" ordinal {claimant.ordinal}" if claimant.ordinal is not None else ""
    state, words = state_of(one, pod)
    return Told(
        address=spec.address,
        state=state,
        pool=spec.pool,
        subnet=next((s.metadata.name for s in subnets if pool is not None and s.spec.subnet == pool.spec.subnet), ""),
        pod=codec.held_by(one),
        pod_state=pod.value,
        node=spec.node_name,
        interface=spec.interface,
        claimant=f"{claimant.kind} {claimant.namespace}/{claimant.name}{ordinal}",
        since=one.metadata.creation_timestamp,
        reason=spec.reason,
        next=words,
    )


def state_of(one: IPAllocation, pod: PodState) -> tuple[str, str]:
    """The state in one word, and what happens next."""
    phase = one.status.phase if one.status.pod_uid == one.spec.pod.uid else ""
    if pod is PodState.LIVES:
        return "Held", "to free it, delete the Pod" + (", or its application" if one.spec.claimant.kind != "Pod" else "")
    if phase == COOLING:
        return "Cooling", f"free at {one.status.cooling_until}, as its pool's cooldownSeconds says"
    if phase == RELEASING:
        return "Releasing", f"free when the agent of node {one.spec.node_name} says that nothing is attached to it"
    if phase == DETACHED and one.spec.claimant.ordinal is not None:
        return "Kept", f"its next Pod gets it; to give it up: netmgr ip release {one.spec.address}"
    if phase == DETACHED:
        return "Releasing", "nothing is attached to it; the controller frees it"
    return "Releasing", f"its Pod {pod.value}; the controller asks the agent of node {one.spec.node_name}"


def unheld(address: Address, subnets: list[SpiderSubnet], pools: list[SpiderIPPool], reservations: list[SpiderReservedIP]) -> Told:
    """An address that nobody has."""
    text = str(address)
    pool = next((one for one in pools if is_in(address, one.status.accepted_ranges)), None)
    subnet = next((one.metadata.name for one in subnets if is_within(address, one.spec.subnet)), "")
    if address.value in codec.reserved_in(address.family, reservations):
        name = next((one.metadata.name for one in reservations if address.value in codec.reserved_in(address.family, [one])), "")
        words = f"no Pod gets it while SpiderReservedIP {name} names it"
        return Told(address=text, state="Reserved", pool=pool.metadata.name if pool else "", subnet=subnet, next=words)
    if pool is not None:
        words = "the next Pod of its pool may get it" if not pool.spec.disable else "its pool is disabled (spec.disable)"
        return Told(address=text, state="Free", pool=pool.metadata.name, subnet=subnet, next=words)
    if subnet:
        return Told(address=text, state="Unpooled", subnet=subnet, next="an application that needs more of them may have it carved")
    return Told(address=text, state="Unknown", next="it is in no SpiderSubnet and no accepted range of a SpiderIPPool")


def is_in(address: Address, ranges: list[str] | None) -> bool:
    """Whether an address lies in ranges that the controller wrote."""
    same = [text for text in ranges or () if codec.family_of(text) is address.family]
    return address.value in RangeSet.parse(address.family, same)


def is_within(address: Address, prefix: str) -> bool:
    """Whether an address lies in a prefix that somebody wrote."""
    try:
        return address in parse_prefix(prefix)
    except AddressError:
        return False
