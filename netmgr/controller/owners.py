"""A Pod's application: the top of its owner chain, verified link by link with live UIDs and selectors. Pure over the copies.

An ownerReference alone proves nothing (any author of a Pod can write one): the owner must exist with that UID, and its selector
must match the Pod's labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ipam.application import Application
from netmgr.api.meta import Meta, OwnerReference
from netmgr.api.workload import Pod, Workload
from netmgr.controller import codec
from netmgr.controller.kinds import KINDS, PARENTS


@dataclass(frozen=True, slots=True)
class Unproved:
    """The chain cannot be verified (yet)."""

    why: str


def top_owner(pod: Pod, workloads: Mapping[str, Mapping[str, Workload]]) -> Application | Unproved | None:
    """The application; None for a Pod that nobody controls. `workloads` are the live objects by kind, by `namespace/name`."""
    reference = controller_of(pod.metadata)
    if reference is None:
        return None
    kind = KINDS.get(reference.kind)
    if "_" in reference.api_version + reference.kind:  # no real one has it, and it would pass for another in a subnet's book
        return unproved(reference.kind, reference.name, reference.uid)
    if kind is None or kind.group_version != reference.api_version:
        return Application(
            group_version=reference.api_version,
            kind=reference.kind,
            namespace=pod.metadata.namespace,
            name=reference.name,
            uid=reference.uid,
        )
    owner = live(reference, pod, workloads)
    if owner is None or kind.name in PARENTS:
        return unproved(reference.kind, reference.name, reference.uid)
    above = controller_of(owner.metadata)
    if above is None or above.kind != kind.parent:
        return codec.application_of(kind.name, owner)
    top = live(above, pod, workloads)
    return unproved(above.kind, above.name, above.uid) if top is None else codec.application_of(kind.parent, top)


def live(reference: OwnerReference, pod: Pod, workloads: Mapping[str, Mapping[str, Workload]]) -> Workload | None:
    """The object that a reference names, if it exists with that UID and selects the Pod (a CronJob selects nothing)."""
    owner = workloads.get(reference.kind, {}).get(f"{pod.metadata.namespace}/{reference.name}")
    if owner is None or owner.metadata.uid != reference.uid:
        return None
    return owner if reference.kind == "CronJob" or selects(owner, pod.metadata.labels or {}) else None


def unproved(kind: str, name: str, uid: str) -> Unproved:
    """The broken link, in words."""
    return Unproved(f"its owner {kind} {name} with UID {uid} does not exist or does not select it")


def controller_of(meta: Meta) -> OwnerReference | None:
    """The reference with `controller: true`."""
    return next((one for one in meta.owner_references or () if one.controller), None)


def selects(owner: Workload, labels: Mapping[str, str]) -> bool:
    """Whether the owner's selector matches; an empty selector matches nothing here."""
    selector = codec.selector_of(owner.spec.selector)
    return selector is not None and bool(selector.requirements) and selector.matches(labels)
