"""What changes on Spiderpool's own objects, so that they are netmgr's: finalizers, and what says whose an auto pool is. Pure.

No finalizer can be added to an object that is being deleted: such a pool keeps Spiderpool's until nobody uses it any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netmgr.api import spider
from netmgr.api.endpoint import ENDPOINTS, SpiderEndpoint
from netmgr.api.meta import Json, Meta
from netmgr.api.spider import FINALIZER, LabelKeys, SpiderIPPool, SpiderSubnet
from netmgr.controller import codec
from netmgr.controller.endpoint_view import MANAGED_BY, MANAGER
from netmgr.importing.found import Finding, Found
from netmgr.kube import paths

THEIRS = "spiderpool.spidernet.io"
"""Spiderpool's finalizer, the same on every kind."""


@dataclass(frozen=True, slots=True)
class Change:
    """A merge patch of one object's metadata."""

    title: str
    path: str
    metadata: Json


def guarded(meta: Meta, changed: Json) -> Json:
    """The change of the very object that was read; a list replaces the whole list, so nobody may have written meanwhile."""
    return {"uid": meta.uid, "resourceVersion": meta.resource_version, **changed} if changed else {}


def changes(found: Found, used: frozenset[str]) -> list[Change]:
    """Everything that is to be written on objects that are there; nothing on a second run."""
    many = [
        *(Change(f"SpiderIPPool {one.metadata.name}", paths.named(spider.POOLS, one.metadata.name), pool_metadata(found, one, used))
          for one in found.pools),
        *(Change(f"SpiderSubnet {one.metadata.name}", paths.named(spider.SUBNETS, one.metadata.name), subnet_metadata(one))
          for one in found.subnets),
        *(endpoint_change(one) for one in found.endpoints),
    ]  # fmt: skip
    return [one for one in many if one.metadata]


def pool_metadata(found: Found, pool: SpiderIPPool, used: frozenset[str]) -> Json:
    """Finalizer and, for an auto pool, its application as netmgr writes it."""
    meta = pool.metadata
    in_use = meta.name in used
    if in_use and meta.deletion_timestamp:
        return {}
    changed = finalizers(meta, FINALIZER if in_use else "")
    notes = {key: value for key, value in application_notes(found, pool).items() if (meta.annotations or {}).get(key) != value}
    return guarded(meta, changed | ({"annotations": notes} if notes else {}))


def subnet_metadata(subnet: SpiderSubnet) -> Json:
    """A subnet is held back by its pools alone."""
    return guarded(subnet.metadata, finalizers(subnet.metadata, ""))


def endpoint_change(one: SpiderEndpoint) -> Change:
    """A SpiderEndpoint holds nothing back any more, and is the controller's to write or to remove."""
    meta = one.metadata
    changed = finalizers(meta, "")
    if (meta.labels or {}).get(MANAGED_BY) != MANAGER:
        changed["labels"] = {MANAGED_BY: MANAGER}
    path = paths.named(ENDPOINTS, meta.name, namespace=meta.namespace)
    return Change(f"SpiderEndpoint {meta.namespace}/{meta.name}", path, guarded(meta, changed))


def finalizers(meta: Meta, ours: str) -> Json:
    """The list without Spiderpool's finalizer and with ours, if that differs from what is there."""
    have = list(meta.finalizers or ())
    if THEIRS not in have:
        return {}
    kept = [one for one in have if one != THEIRS]
    return {"finalizers": [*kept, ours] if ours and ours not in kept else kept}


def application_notes(found: Found, pool: SpiderIPPool) -> dict[str, str]:
    """The annotations by which netmgr knows an auto pool, from the labels by which Spiderpool does; nothing for other pools."""
    labels = pool.metadata.labels or {}
    name = labels.get(LabelKeys.APPLICATION_NAME)
    if not name:
        return {}
    parts = [labels.get(key, "") for key in (LabelKeys.APPLICATION_GV, LabelKeys.APPLICATION_KIND, LabelKeys.APPLICATION_NAMESPACE)]
    live = found.workload(parts[1], f"{parts[2]}/{name}")
    uid = live.metadata.uid if live is not None else ""
    of_prefix = next((one.metadata.name for one in found.subnets if one.spec.subnet == pool.spec.subnet), "")
    return {
        codec.APPLICATION: "_".join([*parts, name]),
        codec.APPLICATION_UID: labels.get(LabelKeys.APPLICATION_UID) or uid,
        codec.SUBNET: labels.get(LabelKeys.OWNER_SUBNET) or of_prefix,
        codec.RECLAIM: labels.get(LabelKeys.RECLAIM, "true"),
    }


def remarks(found: Found, used: frozenset[str]) -> Iterator[Finding]:
    """Objects on which something cannot be changed."""
    for pool in found.pools:
        if pool.metadata.deletion_timestamp and pool.metadata.name in used and THEIRS in (pool.metadata.finalizers or ()):
            words = f"is being deleted while addresses of it are in use; it keeps the finalizer {THEIRS}"
            remedy = "import again when its Pods are gone: the pool goes then"
            yield Finding(rule="PoolTerminating", object=f"SpiderIPPool {pool.metadata.name}", message=words, remedy=remedy)
