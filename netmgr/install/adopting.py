"""I/O: makes kinds that another product brought netmgr's own, and marks them, so that `netmgr uninstall` leaves them there."""

from __future__ import annotations

from typing import Any

from netmgr.api.meta import Json, Meta, PartialObject
from netmgr.install.objects import MANAGED_BY, MANAGER, custom_resources, path_of, title
from netmgr.install.spiderpool import GROUP
from netmgr.kube.client import Api
from netmgr.kube.errors import NotFound

ADOPTED = "netmgr.io/adopted-from"
"""Annotation of a kind that was there before netmgr: whose it was."""


def is_adopted(meta: Meta) -> bool:
    """Whether somebody else created the kind."""
    return ADOPTED in (meta.annotations or {})


def is_ours(meta: Meta) -> bool:
    """Whether the installer manages the object."""
    return (meta.labels or {}).get(MANAGED_BY) == MANAGER


async def adopt_kinds(api: Api, *, dry_run: bool) -> list[str]:
    """Apply netmgr's kinds over those that are there; what was changed, in words. The mark comes first, so none lacks it."""
    done: list[str] = []
    for one in custom_resources():
        try:
            known: PartialObject | None = await api.get(path_of(one), PartialObject)
        except NotFound:
            known = None
        if known is not None and is_ours(known.metadata):
            continue
        done.append(f"{title(one)} {'created' if known is None else 'taken over'}")
        if not dry_run:
            await _adopt(api, one, known)
    return done


async def _adopt(api: Api, one: Json, known: PartialObject | None) -> None:
    if known is not None and one["spec"]["group"] == GROUP:  # of netmgr's own group nobody else's can be
        former = (known.metadata.labels or {}).get(MANAGED_BY, "somebody")
        body: Json = {"metadata": {"uid": known.metadata.uid, "annotations": {ADOPTED: former}}}
        await api.merge_patch(path_of(one), body, PartialObject)
    await api.apply(path_of(one), one, MANAGER, dict[str, Any], force=True)
