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


@dataclass(frozen=True, slots=True)
class Unproved:
    """The chain cannot be verified (yet)."""

    why: str


def top_owner(
    pod: Pod,
    deployments: Mapping[str, Workload],
    replica_sets: Mapping[str, Workload],
    stateful_sets: Mapping[str, Workload],
) -> Application | Unproved | None:
    """The application; None for a Pod that nobody controls."""
    reference = controller_of(pod.metadata)
    if reference is None:
        return None
    namespace = pod.metadata.namespace
    known = {"ReplicaSet": replica_sets, "StatefulSet": stateful_sets}.get(reference.kind)
    if known is None:
        return Application(
            group_version=reference.api_version, kind=reference.kind, namespace=namespace, name=reference.name, uid=reference.uid
        )
    owner = known.get(f"{namespace}/{reference.name}")
    if owner is None or owner.metadata.uid != reference.uid or not selects(owner, pod.metadata.labels or {}):
        return unproved(reference.kind, reference.name, reference.uid)
    above = controller_of(owner.metadata)
    if above is None or above.kind != "Deployment":
        return codec.application_of(reference.kind, owner)
    deployment = deployments.get(f"{namespace}/{above.name}")
    if deployment is None or deployment.metadata.uid != above.uid or not selects(deployment, pod.metadata.labels or {}):
        return unproved("Deployment", above.name, above.uid)
    return codec.application_of("Deployment", deployment)


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
