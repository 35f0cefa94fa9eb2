"""A Node that an administrator changes and whose agent falls silent, for tests of release without an agent."""

from __future__ import annotations

from typing import Any

from netmgr.api.meta import Json, PartialObject
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import NotFound
from tests.integration.controller.cluster import Cluster
from tests.waiting import eventually

LOST = "node-lost"
OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}


class LostNode:
    """A Node that an administrator changes; its agent was alive once."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        cluster.agent(LOST)
        cluster.create(paths.NODES, {"metadata": {"name": LOST}})
        self.status({"nodeInfo": machine("boot-1"), "conditions": [condition("True")]})

    def patch(self, path: str, body: Json) -> None:
        self.cluster.call(lambda api: api.merge_patch(path, body, PartialObject))

    def status(self, status: Json) -> None:
        self.patch(paths.named(paths.NODES, LOST, "status"), {"status": status})

    def goes_silent(self) -> None:
        """No agent and no kubelet is heard of any more."""
        self.cluster.delete(paths.LEASES, f"netmgr-agent-{LOST}")
        self.status({"conditions": [condition("Unknown")]})

    def out_of_service(self) -> None:
        self.patch(paths.named(paths.NODES, LOST), {"spec": {"taints": [OUT_OF_SERVICE]}})

    def started_anew(self) -> None:
        self.status({"nodeInfo": machine("boot-2")})

    def remove(self) -> None:
        async def delete(api: Api) -> None:
            try:
                await api.delete(paths.named(paths.NODES, LOST))
            except NotFound:
                return

        self.cluster.call(delete)


def machine(boot: str) -> Json:
    """Node.status.nodeInfo: every field is required."""
    names = "machineID systemUUID kernelVersion osImage containerRuntimeVersion kubeletVersion kubeProxyVersion operatingSystem"
    return dict.fromkeys(names.split(), "") | {"bootID": boot}


def condition(status: str) -> Json:
    return {"type": "Ready", "status": status, "reason": "Test", "message": ""}


def asked_for(cluster: Cluster, address: str) -> None:
    eventually(lambda: cluster.allocations()[address].status.phase, lambda phase: phase == "Releasing", what="the question")


def pod_events(cluster: Cluster, pool: str) -> list[str]:
    """What Events say about a pool."""

    async def read(api: Api) -> list[str]:
        selector = f"involvedObject.name={pool}"
        found: list[Json] = await api.list(paths.in_namespace(paths.EVENTS, "default"), dict[str, Any], field_selector=selector)
        return [f"{one['reason']}: {one['message']}" for one in found]

    events: list[str] = cluster.call(read)
    return events
