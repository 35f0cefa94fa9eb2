"""The words for what does not fit: each names the address, what is said about it, what becomes of it, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipam.prefix import Address
from netmgr.importing.found import ETH0, Finding, Source
from netmgr.importing.holders import UNRECORDED, Holder, Standing

NOTHING = "nothing is to be done"


def refused(one: Holder) -> Finding | None:
    """Why nothing is allocated."""
    where = f"address {one.address}"
    if not one.node:
        words = f"recorded for Pod {one.key} (UID {one.uid}), which does not exist, and nothing says where it ran; it is free"
        remedy = "if something uses it, reserve it (SpiderReservedIP)"
        return Finding(rule="RecordWithoutPod", object=where, message=words, remedy=remedy)
    if one.lives and one.standing > Standing.STARTS and one.interface == ETH0 and one.pod is not None:
        words = f"recorded for eth0 of Pod {one.key}, which reports {' and '.join(one.pod.addresses)} instead; it is free"
        return Finding(rule="OtherAddress", object=where, message=words, remedy="if the Pod should have it, restart the Pod")
    return None


def about_holder(where: str, one: Holder) -> Iterator[Finding]:
    """What is worth knowing about who gets the address."""
    if one.sources == {Source.POD}:
        words = f"Pod {one.key} runs with it and no record has it; it is the Pod's"
        yield Finding(rule="NoRecord", object=where, message=words, remedy=NOTHING)
    if one.interface == UNRECORDED:
        words = (
            f"recorded for Pod {one.key}, which reports another one, and nothing says on which interface; it is kept for the Pod"
        )
        yield Finding(rule="InterfaceUnknown", object=where, message=words, remedy="restart the Pod to have it sorted out")
    if len(one.interfaces) > 1:
        words = f"recorded for the interfaces {' and '.join(one.interfaces)} of Pod {one.key}; it is {one.interface}'s"
        yield Finding(rule="TwoInterfaces", object=where, message=words, remedy="restart the Pod: each interface then has its own")
    yield from (about_live(where, one) if one.lives else about_away(where, one))


def about_live(where: str, one: Holder) -> Iterator[Finding]:
    """A Pod that is there."""
    if others := one.recorded_uids - {one.uid}:
        words = f"recorded for Pod {one.key} of UID {', '.join(sorted(others))}, which has UID {one.uid} now; it is the Pod's"
        yield Finding(rule="OtherPod", object=where, message=words, remedy=NOTHING, harmless=True)


def about_away(where: str, one: Holder) -> Iterator[Finding]:
    """A Pod that is not there, or has ended."""
    if one.standing is Standing.COMES_BACK:
        words = f"Pod {one.key} of {one.owner_kind} {one.owner_name} is away; it is kept for the next one of that name"
        yield Finding(rule="OrdinalWithoutPod", object=where, message=words, remedy=NOTHING, harmless=True)
    elif one.pod is None or one.pod.metadata.uid != one.uid:
        gone = f"recorded for Pod {one.key} (UID {one.uid}), which does not exist"
        words = f"{gone}; it is kept until the agent of node {one.node} says that nothing is attached"
        remedy = f"{NOTHING}; should that node be gone, see docs/applications.md, When an address becomes free"
        yield Finding(rule="RecordWithoutPod", object=where, message=words, remedy=remedy)


def two_records(address: Address, first: Holder, others: Iterable[Holder]) -> Finding:
    """Several Pods are recorded for one address."""
    many = list(others)
    also = [other for other in many if other.standing is Standing.RUNS_WITH_IT]
    names = ", ".join(other.key for other in many)
    words = f"recorded for Pod {first.key} and for {names}; it is {first.key}'s"
    remedy = f"restart Pod {also[0].key}: both run with it" if also else f"{NOTHING}; the other records are dropped"
    return Finding(rule="TwoRecords", object=f"address {address}", message=words, remedy=remedy)


def already_held(address: Address, one: Holder, holder: str) -> Finding:
    """An allocation of netmgr's gives the address to somebody else."""
    words = f"Pod {one.key} runs with it, and an IPAllocation gives it to Pod {holder}; it stays that Pod's"
    return Finding(rule="AlreadyHeld", object=f"address {address}", message=words, remedy=f"restart Pod {one.key}")
