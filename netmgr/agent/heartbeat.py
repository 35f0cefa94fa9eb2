"""I/O: the agent's Lease: that this node is alive, its boot id, and attachments whose allocation has vanished (strays)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from netmgr.api.meta import Json
from netmgr.api.workload import Lease
from netmgr.kube.client import Api
from netmgr.kube.errors import ApiError, NotFound
from netmgr.kube.leader import now_text
from netmgr.kube.paths import LEASES, in_namespace, named

log = logging.getLogger(__name__)
PERIOD = 10.0
DURATION = 40


class Heartbeat:
    """Renews Lease `netmgr-agent-<node>` every ten seconds, and at once when `soon()` is called."""

    def __init__(self, api: Api, namespace: str, node: str, boot: str, strays: Callable[[], list[Json]]) -> None:
        self._api, self._node, self._boot, self._strays = api, node, boot, strays
        self._collection = in_namespace(LEASES, namespace)
        self._name = f"netmgr-agent-{node}"
        self._path = named(LEASES, self._name, namespace=namespace)
        self._wake = asyncio.Event()

    def soon(self) -> None:
        """Something in the Lease has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Never returns; cancel the task to end it."""
        while True:
            self._wake.clear()
            try:
                await self.beat()
            except ApiError as error:
                log.warning("heartbeat_failed node=%s error=%s", self._node, error)
            try:
                await asyncio.wait_for(self._wake.wait(), PERIOD)
            except TimeoutError:
                continue

    async def beat(self) -> None:
        """Write the Lease once."""
        body = self._body()
        try:
            await self._api.merge_patch(self._path, body, Lease, timeout=PERIOD)
        except NotFound:
            await self._api.create(self._collection, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **body}, Lease)

    def _body(self) -> Json:
        annotations = {
            "netmgr.io/boot-id": self._boot,
            "netmgr.io/node": self._node,
            "netmgr.io/strays": msgspec.json.encode(self._strays()).decode(),
        }
        return {
            "metadata": {"name": self._name, "labels": {"netmgr.io/component": "agent"}, "annotations": annotations},
            "spec": {"holderIdentity": self._node, "leaseDurationSeconds": DURATION, "renewTime": now_text()},
        }
