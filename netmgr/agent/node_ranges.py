"""I/O: the node's own Pod ranges, which the fallback plugin host-local gives addresses out of: one read at the start."""

from __future__ import annotations

import logging

import msgspec

from netmgr.kube.client import Api
from netmgr.kube.errors import ApiError
from netmgr.kube.paths import NODES, named

log = logging.getLogger(__name__)


class RangesSpec(msgspec.Struct, frozen=True, rename={"pod_cidrs": "podCIDRs"}):
    """`spec.podCIDRs` of a Node: one prefix for each family, where the cluster deals them out."""

    pod_cidrs: list[str] = []


class NodeRanges(msgspec.Struct, frozen=True):
    """A core/v1 Node."""

    spec: RangesSpec = RangesSpec()


async def ranges_of(api: Api, node: str) -> tuple[str, ...]:
    """The prefixes; none where the Node has none, or cannot be read now."""
    try:
        found = await api.get(named(NODES, node), NodeRanges)
    except ApiError as error:
        log.warning("node_unread node=%s error=%s", node, error)
        return ()
    if not found.spec.pod_cidrs:
        log.warning("node_without_ranges node=%s", node)
    return tuple(found.spec.pod_cidrs)
