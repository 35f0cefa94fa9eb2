"""The one loop that reads an object, decides on a change, writes it and begins anew when somebody was faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from netmgr.api.meta import Json
from netmgr.kube.client import Api
from netmgr.kube.errors import AlreadyExists, Conflict
from netmgr.kube.store import Watched

W = TypeVar("W", bound=Watched)

ATTEMPTS = 6


async def update(
    api: Api,
    path: str,
    type_: type[W],
    change: Callable[[W], Json | None],
    *,
    subresource: str = "",
    current: W | None = None,
) -> W:
    """Merge-patch what `change` says into the object at `path`, guarded by UID and resourceVersion.

    `change` is pure: it gets the object and gives the patch, or None where nothing is to be done. `current` saves the first
    read. Conflict is raised after six lost races; NotFound as it comes.
    """
    target = f"{path}/{subresource}" if subresource else path
    for attempt in range(ATTEMPTS):
        if current is None:
            current = await api.get(path, type_)
        patch = change(current)
        if patch is None:
            return current
        guard = {"uid": current.metadata.uid, "resourceVersion": current.metadata.resource_version}
        try:
            return await api.merge_patch(target, patch | {"metadata": patch.get("metadata", {}) | guard}, type_)
        except AlreadyExists:
            raise
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
            current = None
    raise AssertionError("unreachable: the last attempt returns or raises")
