"""A Pod's application: the top of its owner chain, verified link by link with live UIDs and selectors. Pure over the copies.

An ownerReference alone proves nothing (any author of a Pod can write one): the owner must exist with that UID, and its selector
must match the Pod's labels.

| the Pod's controller | its own controller | the application |
| --- | --- | --- |
| ReplicaSet, Job | none, or a built-in kind that does not make them | itself |
| ReplicaSet | Deployment | the Deployment |
| Job | CronJob | the CronJob |
| ReplicaSet, Job | a third party's object | that object, or what controls it, up to the last one |
| StatefulSet, DaemonSet | any | itself: it outlives its Pods, so it is an application, whoever made it |
| a third party's object | a third party's object | the last one of the chain |
| Deployment, CronJob | | none: these own no Pod themselves |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ipam.application import Application
from netmgr.api.meta import Meta, OwnerReference
from netmgr.api.workload import Pod, Workload
from netmgr.controller import codec
from netmgr.controller.kinds import KINDS, PARENTS, KindKey

DEEPEST = 8
"""Links of an owner chain that are followed: a longer one is a circle."""

Copies = Mapping[KindKey, Mapping[str, Workload]]
"""The live objects by kind, by `namespace/name`."""


@dataclass(frozen=True, slots=True)
class Unproved:
    """The chain cannot be verified (yet)."""

    why: str


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """The chain leads to a third party's kind that nobody watches yet."""

    kind: KindKey


def top_owner(pod: Pod, workloads: Copies) -> Application | Unproved | Unfollowed | None:
    """The application; None for a Pod that nobody controls."""
    reference = controller_of(pod.metadata)
    if reference is None:
        return None
    if kind_of(reference) in KINDS and reference.kind in PARENTS:
        return unproved(reference)
    for _ in range(DEEPEST):
        if "_" in reference.api_version + reference.kind:  # no real one has it, and it would pass for another in a subnet's book
            return unproved(reference)
        if kind_of(reference) not in workloads:
            return Unfollowed(kind_of(reference))
        owner = live(reference, pod, workloads)
        if owner is None:
            return unproved(reference)
        above = controller_of(owner.metadata)
        if above is None or not goes_on(kind_of(reference), kind_of(above)):
            return codec.application_of(kind_of(reference), owner)
        reference = above
    return Unproved(f"its owners are a chain of more than {DEEPEST}")


def goes_on(kind: KindKey, above: KindKey) -> bool:
    """Whether the application is not an object of this kind but the one that controls it."""
    known = KINDS.get(kind)
    if above in KINDS:
        return known is not None and known.parent == above[1]
    return known is None or known.is_revision


def live(reference: OwnerReference, pod: Pod, workloads: Copies) -> Workload | None:
    """The object that a reference names, if it exists with that UID and selects the Pod.

    A CronJob selects nothing, and of a third party's kinds many do not.
    """
    owner = workloads.get(kind_of(reference), {}).get(f"{pod.metadata.namespace}/{reference.name}")
    if owner is None or owner.metadata.uid != reference.uid:
        return None
    selector = codec.selector_of(owner.spec.selector)
    if selector is not None and selector.requirements:
        return owner if selector.matches(pod.metadata.labels or {}) else None
    known = KINDS.get(kind_of(reference))
    return owner if known is None or known.name == "CronJob" else None


def unproved(reference: OwnerReference) -> Unproved:
    """The broken link, in words."""
    return Unproved(f"its owner {reference.kind} {reference.name} with UID {reference.uid} does not exist or does not select it")


def kind_of(reference: OwnerReference) -> KindKey:
    """The kind that a reference names."""
    return (reference.api_version, reference.kind)


def controller_of(meta: Meta) -> OwnerReference | None:
    """The reference with `controller: true`."""
    return next((one for one in meta.owner_references or () if one.controller), None)
