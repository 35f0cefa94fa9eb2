"""A cluster without nodes: workloads, Pods and agents' Leases are written as the real ones would, the controller is a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.endpoint import ENDPOINTS
from netmgr.api.meta import Json, PartialObject
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.api.workload import Pod
from netmgr.controller.kinds import KINDS
from netmgr.install.objects import Settings, objects, path_of
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.errors import NotFound
from tests.integration.apiserver import ApiServer
from tests.waiting import eventually

NODE = "node-a"


class Cluster:
    """Reads and writes as an administrator, one call at a time."""

    def __init__(self, server: ApiServer, namespace: str, folder: Path) -> None:
        self.server, self.namespace, self.folder = server, namespace, folder
        self.leases = namespace

    def call(self, act: Any) -> Any:
        async def once() -> Any:
            async with Api(load(self.server.kubeconfig), user_agent="test") as api:
                return await act(api)

        return asyncio.run(once())

    def create(self, path: str, body: Json) -> PartialObject:
        made: PartialObject = self.call(lambda api: api.create(path, body, PartialObject))
        return made

    def here(self, collection: str) -> str:
        return paths.in_namespace(collection, self.namespace)

    @contextmanager
    def controller(self, identity: str = "one", *options: str, kubeconfig: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """A controller process (as the administrator, unless told otherwise); ended by SIGTERM unless the test ended it."""
        log = self.folder / f"controller-{identity}.log"
        argv = [str(Path(sys.executable).parent / "netmgr"), "controller"]
        argv += ["--kubeconfig", str(kubeconfig or self.server.kubeconfig)]
        argv += ["--namespace", self.namespace, "--identity", identity, *options]
        with log.open("ab") as out:
            process = subprocess.Popen(argv, stdout=out, stderr=out)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(20)

    def limited_controller(self) -> Path:
        """Credentials of the controller's account, with the rights that the installer gives it and no others."""
        kinds = {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
        rights = [one for one in objects(Settings(namespace=self.namespace)) if one["kind"] in kinds]

        async def grant(api: Api) -> None:
            for one in rights:
                await api.apply(path_of(one), one, "test", PartialObject, force=True)

        self.call(grant)
        return self.server.kubeconfig_of(f"system:serviceaccount:{self.namespace}:netmgr-controller")

    def agent(self, node: str = NODE, seconds: int = 3600) -> None:
        """The Lease of a live agent."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        notes = {"netmgr.io/boot-id": "boot-1", "netmgr.io/node": node}
        meta = {"name": f"netmgr-agent-{node}", "labels": {"netmgr.io/component": "agent"}, "annotations": notes}
        spec = {"holderIdentity": node, "leaseDurationSeconds": seconds, "renewTime": now}
        self.create(paths.in_namespace(paths.LEASES, self.leases), {"metadata": meta, "spec": spec})

    def subnet(self, name: str, prefix: str, *ranges: str, **more: Any) -> None:
        body = {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderSubnet", "metadata": {"name": name}}
        self.create(spider.SUBNETS, {**body, "spec": {"subnet": prefix, "ips": list(ranges), **more}})

    def pool(self, name: str, prefix: str, *ranges: str, **more: Any) -> None:
        body = {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderIPPool", "metadata": {"name": name}}
        self.create(spider.POOLS, {**body, "spec": {"subnet": prefix, "ips": list(ranges), **more}})

    def reserve(self, name: str, *ranges: str) -> None:
        body = {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderReservedIP", "metadata": {"name": name}}
        self.create(spider.RESERVED, {**body, "spec": {"ips": list(ranges)}})

    def reserved(self, name: str) -> list[str]:
        one: SpiderReservedIP = self.call(lambda api: api.get(paths.named(spider.RESERVED, name), SpiderReservedIP))
        return one.spec.ips

    def annotate(self, workload: str, annotations: dict[str, Any], collection: str = paths.DEPLOYMENTS) -> None:
        """Change the Pod template's annotations."""
        path = paths.named(collection, workload, namespace=self.namespace)
        body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        self.call(lambda api: api.merge_patch(path, body, PartialObject))

    def event_messages(self, about: str) -> list[str]:
        """What Events say about an object of this namespace."""
        selector = f"involvedObject.name={about}"
        events: list[Json] = self.call(lambda api: api.list(self.here(paths.EVENTS), dict[str, Any], field_selector=selector))
        return [str(one.get("message", "")) for one in events]

    def book(self, subnet: str) -> str:
        """Which pools have ranges of a subnet, as its status says."""
        return self.read_subnet(subnet).status.controlled_ip_pools or ""

    def write_book(self, subnet: str, entries: Json) -> None:
        """Which pools have ranges of a subnet, as an earlier leader left it."""
        body = {"status": {"controlledIPPools": json.dumps(entries)}}
        path = paths.named(spider.SUBNETS, subnet, "status")
        self.call(lambda api: api.merge_patch(path, body, PartialObject))

    def deployment(self, name: str, replicas: int, annotations: dict[str, str]) -> str:
        """A Deployment and its ReplicaSet, as the Deployment controller would make it; UID of the ReplicaSet."""
        template = {"metadata": {"labels": labels(name), "annotations": annotations}, "spec": pod_spec()}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels(name)}, "template": template}
        top = self.create(self.here(paths.DEPLOYMENTS), {"metadata": {"name": name}, "spec": spec})
        owner = reference("Deployment", name, top.metadata.uid)
        meta = {"name": f"{name}-rs", "ownerReferences": [owner]}
        return self.create(self.here(paths.REPLICA_SETS), {"metadata": meta, "spec": spec}).metadata.uid

    def stateful_set(self, name: str, replicas: int, annotations: dict[str, str], start: int = 0) -> str:
        template = {"metadata": {"labels": labels(name), "annotations": annotations}, "spec": pod_spec()}
        spec = {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": labels(name)}, "template": template}
        spec["ordinals"] = {"start": start}
        return self.create(self.here(paths.STATEFUL_SETS), {"metadata": {"name": name}, "spec": spec}).metadata.uid

    def ordinal(self, name: str, annotations: dict[str, str], owner_uid: str, number: int, node: str = NODE) -> str:
        """The Pod of one ordinal; its UID."""
        owner = reference("StatefulSet", name, owner_uid)
        meta = {"name": f"{name}-{number}", "labels": labels(name), "annotations": annotations, "ownerReferences": [owner]}
        return self.create(self.here(paths.PODS), {"metadata": meta, "spec": {**pod_spec(), "nodeName": node}}).metadata.uid

    def bare_pod(self, name: str, annotations: dict[str, str] | None = None, node: str = NODE) -> str:
        """A Pod that nobody controls, already bound; its UID."""
        body = {"metadata": {"name": name, "annotations": annotations or {}}, "spec": {**pod_spec(), "nodeName": node}}
        return self.create(self.here(paths.PODS), body).metadata.uid

    def pods(self, name: str, annotations: dict[str, str], owner_uid: str, *numbers: int, node: str = NODE) -> None:
        """Pods of that ReplicaSet, already bound."""

        async def create(api: Api) -> None:
            await asyncio.gather(
                *(api.create(self.here(paths.PODS), self.pod_body(name, annotations, owner_uid, i, node), Pod) for i in numbers)
            )

        self.call(create)

    def pod_body(self, name: str, annotations: dict[str, str], owner_uid: str, number: int, node: str) -> Json:
        owner = reference("ReplicaSet", f"{name}-rs", owner_uid)
        meta = {"name": f"{name}-rs-{number}", "labels": labels(name), "annotations": annotations, "ownerReferences": [owner]}
        return {"metadata": meta, "spec": {**pod_spec(), "nodeName": node}}

    def scale(self, name: str, replicas: int, collection: str = paths.DEPLOYMENTS) -> None:
        path = paths.named(collection, name, namespace=self.namespace)
        self.call(lambda api: api.merge_patch(path, {"spec": {"replicas": replicas}}, PartialObject))

    def delete(self, collection: str, name: str, **options: Any) -> None:
        path = paths.named(collection, name, namespace=self.namespace if collection not in CLUSTER_SCOPED else "")
        self.call(lambda api: api.delete(path, options=options or None))

    def release(self, pod: str, address: str) -> None:
        """Delete a Pod at once; its node's agent reports the address detached."""
        self.delete(paths.PODS, pod, gracePeriodSeconds=0)
        eventually(lambda: self.allocations()[address].status.phase, lambda phase: phase == "Releasing", what="the question")
        self.detach(address)

    def total(self, pool: str) -> int | None:
        """Addresses of a pool, as its status says."""
        found = self.read_pool(pool)
        return found.status.total_ip_count if found else None

    def runs_at(self, pod: str, address: str) -> None:
        """What the kubelet reports of a Pod that has its address (an empty one: its sandbox is gone)."""
        addresses = [{"ip": address}] if address else None
        status = {"phase": "Running", "podIP": address or None, "podIPs": addresses}
        path = paths.named(paths.PODS, pod, "status", namespace=self.namespace)
        self.call(lambda api: api.merge_patch(path, {"status": status}, PartialObject))

    def detach(self, name: str) -> None:
        """What the agent reports after a DEL."""
        path = paths.named(allocation.ALLOCATIONS, name)

        async def report(api: Api) -> None:
            one = await api.get(path, IPAllocation)
            status = {"phase": allocation.DETACHED, "podUID": one.spec.pod.uid, "containerID": "c1"}
            await api.merge_patch(f"{path}/status", {"metadata": {"uid": one.metadata.uid}, "status": status}, IPAllocation)

        self.call(report)

    def allocations(self) -> dict[str, IPAllocation]:
        """Of this test's namespace, by name."""
        found: list[IPAllocation] = self.call(lambda api: api.list(allocation.ALLOCATIONS, IPAllocation))
        return {one.metadata.name: one for one in found if one.spec.pod.namespace == self.namespace}

    def held(self, count: int, within: float = 20) -> dict[str, IPAllocation]:
        return eventually(self.allocations, lambda seen: len(seen) == count, within=within, what=f"{count} allocations")

    def auto_pool(self, application: str) -> SpiderIPPool | None:
        found: list[SpiderIPPool] = self.call(lambda api: api.list(spider.POOLS, SpiderIPPool))
        suffix = f"_Deployment_{self.namespace}_{application}"
        return next((p for p in found if (p.metadata.annotations or {}).get("netmgr.io/application", "").endswith(suffix)), None)

    def pools_of(self, application: str) -> list[SpiderIPPool]:
        """An application's auto pools."""
        found: list[SpiderIPPool] = self.call(lambda api: api.list(spider.POOLS, SpiderIPPool))
        suffix = f"_{self.namespace}_{application}"
        return [one for one in found if (one.metadata.annotations or {}).get("netmgr.io/application", "").endswith(suffix)]

    def subnets_of(self, application: str) -> list[str]:
        """Prefixes of an application's auto pools."""
        return sorted(one.spec.subnet for one in self.pools_of(application))

    def pool_counts(self, application: str) -> tuple[int | None, int | None] | None:
        pool = self.auto_pool(application)
        return (pool.status.allocated_ip_count, pool.status.total_ip_count) if pool else None

    def read_subnet(self, name: str) -> SpiderSubnet:
        found: SpiderSubnet = self.call(lambda api: api.get(paths.named(spider.SUBNETS, name), SpiderSubnet))
        return found

    def read_pool(self, name: str) -> SpiderIPPool | None:
        async def read(api: Api) -> SpiderIPPool | None:
            try:
                return await api.get(paths.named(spider.POOLS, name), SpiderIPPool)
            except NotFound:
                return None

        found: SpiderIPPool | None = self.call(read)
        return found

    def refusal(self, pod: str) -> str:
        """Message of our False condition on a Pod."""
        one: Pod = self.call(lambda api: api.get(paths.named(paths.PODS, pod, namespace=self.namespace), Pod))
        ours = (c for c in one.status.conditions or () if c.type == "netmgr.io/AddressesAllocated" and c.status == "False")
        return next((c.message for c in ours), "")

    def told(self, pod: str) -> str:
        """Our False condition on a Pod, once it is there."""
        return eventually(lambda: self.refusal(pod), bool, what="a reason on the Pod")

    def clean(self, *collections: str) -> None:
        """Remove workloads, Pods and cluster-scoped objects: other tests use the same API server, and the next controller would
        serve what this test left. No controller recorded what no page explains.
        """
        logs = {path.name: path.read_text() for path in self.folder.glob("controller-*.log")}
        assert [name for name, text in logs.items() if "reason_not_listed" in text] == []

        async def remove(api: Api) -> None:
            await remove_workloads(api)
            await remove_endpoints(api)
            for collection in (allocation.ALLOCATIONS, spider.POOLS, spider.SUBNETS, spider.RESERVED, *collections):
                for one in await api.list(collection, PartialObject):
                    path = paths.named(collection, one.metadata.name)
                    try:
                        await api.merge_patch(path, {"metadata": {"finalizers": None}}, PartialObject)
                        await api.delete(path)
                    except NotFound:
                        continue

        self.call(remove)


CLUSTER_SCOPED = frozenset({allocation.ALLOCATIONS, spider.POOLS, spider.SUBNETS, spider.RESERVED})


async def remove_workloads(api: Api) -> None:
    """All that runs Pods and all Pods, in all namespaces."""
    for collection in (*(kind.collection for kind in KINDS.values()), paths.PODS):
        for namespace in {one.metadata.namespace for one in await api.list(collection, PartialObject)}:
            await api.delete(paths.in_namespace(collection, namespace), options={"gracePeriodSeconds": 0})


async def remove_endpoints(api: Api) -> None:
    """All SpiderEndpoints of all namespaces, whatever holds them back."""
    for one in await api.list(ENDPOINTS, PartialObject):
        path = paths.named(ENDPOINTS, one.metadata.name, namespace=one.metadata.namespace)
        await api.merge_patch(path, {"metadata": {"finalizers": None}}, PartialObject)
        with suppress(NotFound):  # its deletion had begun
            await api.delete(path)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill -9."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait(5)


def reference(kind: str, name: str, uid: str) -> Json:
    return {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": True}


def labels(name: str) -> dict[str, str]:
    """What selects an application's Pods; a label's value ends at 63 characters."""
    return {"app": name[:63].rstrip("-")}


def pod_spec() -> Json:
    return {"containers": [{"name": "c", "image": "nginx"}], "terminationGracePeriodSeconds": 0}
