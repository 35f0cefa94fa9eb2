"""What Spiderpool leaves in a cluster: pools with records, SpiderEndpoints, finalizers, webhooks, its controller's Deployment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from netmgr.api import spider
from netmgr.api.endpoint import ENDPOINTS
from netmgr.api.meta import Json, PartialObject
from netmgr.kube import paths
from tests.integration.controller.cluster import NODE, Cluster, pod_spec, reference
from tests.waiting import eventually

FINALIZERS = ["spiderpool.spidernet.io"]
LABELS = {"app.kubernetes.io/name": "spiderpool", "app.kubernetes.io/component": "spiderpool-controller"}
PREFIX = "10.67.0.0/16"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class Spiderpool:
    """Writes as its controller and agents did; `imported` runs the command."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.namespace = cluster, cluster.namespace
        self.records: dict[str, Json] = {}

    def imported(self, *options: str) -> tuple[int, Json]:
        """Exit code and answer of `netmgr import spiderpool`."""
        done = self.run("import", "spiderpool", *options, "--output", "json")
        return done.returncode, json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [str(Path(sys.executable).parent / "netmgr"), *words, "--kubeconfig", str(self.cluster.server.kubeconfig)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    def create(self, collection: str, body: Json) -> str:
        return self.cluster.create(collection, body).metadata.uid

    def subnet(self, *ranges: str) -> None:
        meta = {"name": "s", "finalizers": FINALIZERS, "labels": {"ipam.spidernet.io/subnet-cidr": "10-67-0-0-16"}}
        body = {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderSubnet", "metadata": meta}
        self.create(spider.SUBNETS, {**body, "spec": {"ipVersion": 4, "subnet": PREFIX, "ips": list(ranges)}})

    def auto_pool(self, kind: str, name: str, uid: str, ranges: str) -> str:
        """A pool of an application, called as versions since 0.5 call it, and its entry in the subnet's book."""
        pool = f"auto4-{name}-eth0-{uid.rpartition('-')[2][:5]}"
        labels = {"owner-spider-subnet": "s", "owner-application-gv": "apps_v1", "owner-application-kind": kind}
        labels |= {"owner-application-namespace": self.namespace, "owner-application-name": name, "interface": "eth0"}
        labels |= {"owner-application-uid": uid, "ip-version": "IPv4", "ippool-reclaim": "true"}
        affinity = {"app-api-group": "apps", "app-api-version": "v1", "app-kind": kind, "app-namespace": self.namespace}
        affinity |= {"app-name": name}
        prefixed = [{f"ipam.spidernet.io/{key}": value for key, value in one.items()} for one in (labels, affinity)]
        meta = {"name": pool, "finalizers": FINALIZERS, "labels": prefixed[0]}
        spec = {"ipVersion": 4, "subnet": PREFIX, "ips": [ranges], "podAffinity": {"matchLabels": prefixed[1]}}
        self.create(spider.POOLS, {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderIPPool", "metadata": meta, "spec": spec})
        book = json.loads(self.cluster.book("s") or "{}")
        book[pool] = {"ips": [ranges], "application": f"apps_v1_{kind}_{self.namespace}_{name}"}
        self.cluster.write_book("s", book)
        return pool

    def record(
        self, pool: str, pod: str, uid: str, address: str, owner: tuple[str, str], node: str = NODE, interface: str = "eth0"
    ) -> None:
        """The pool's entry and the SpiderEndpoint of a Pod."""
        self.records.setdefault(pool, {})[address] = {"pod": f"{self.namespace}/{pod}", "podUid": uid}
        status = {"allocatedIPs": json.dumps(self.records[pool]), "allocatedIPCount": len(self.records[pool])}
        self.patch(paths.named(spider.POOLS, pool, "status"), {"status": status})
        ips = [{"interface": interface, "ipv4": f"{address}/16", "ipv4Pool": pool, "vlan": 0, "cleanGateway": False}]
        body: Json = {
            "apiVersion": spider.GROUP_VERSION,
            "kind": "SpiderEndpoint",
            "metadata": {"name": pod, "finalizers": FINALIZERS},
            "status": {
                "current": {"uid": uid, "node": node, "ips": ips},
                "ownerControllerType": owner[0],
                "ownerControllerName": owner[1],
            },
        }
        self.create(self.cluster.here(ENDPOINTS), body)

    def runs(self, pod: str, address: str) -> None:
        """The kubelet reports the Pod's address."""
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        self.patch(paths.named(paths.PODS, pod, "status", namespace=self.namespace), {"status": status})

    def patch(self, path: str, body: Json) -> None:
        self.cluster.call(lambda api: api.merge_patch(path, body, PartialObject))

    def pods(self, name: str, annotations: dict[str, str], owner: str, pool: str, addresses: list[str]) -> dict[str, str]:
        """Running Pods of a Deployment's ReplicaSet: their UIDs by address."""
        uids: dict[str, str] = {}
        for number, address in enumerate(addresses):
            uid = self.create(self.cluster.here(paths.PODS), self.cluster.pod_body(name, annotations, owner, number, NODE))
            self.record(pool, f"{name}-rs-{number}", uid, address, ("Deployment", name))
            self.runs(f"{name}-rs-{number}", address)
            uids[address] = uid
        return uids

    def deployment(self, name: str, replicas: int, annotations: dict[str, str]) -> tuple[str, str]:
        """UIDs of a Deployment and of its ReplicaSet."""
        template = {"metadata": {"labels": {"app": name}, "annotations": annotations}, "spec": pod_spec()}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
        top = self.create(self.cluster.here(paths.DEPLOYMENTS), {"metadata": {"name": name}, "spec": spec})
        meta = {"name": f"{name}-rs", "ownerReferences": [reference("Deployment", name, top)]}
        return top, self.create(self.cluster.here(paths.REPLICA_SETS), {"metadata": meta, "spec": spec})

    def kind(self, group: str, name: str, plural: str) -> None:
        """A third party's kind, served."""
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": OPEN}}
        names = {"kind": name, "plural": plural, "singular": name.lower()}
        spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
        body = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
        }
        self.create(paths.CRDS, {**body, "spec": spec})
        listed = ("get", "--raw", f"/apis/{group}/v1/{plural}")
        eventually(lambda: self.cluster.server.kubectl(*listed).returncode, lambda code: code == 0, what=f"{plural} served")

    def controller(self, replicas: int = 1) -> None:
        """Spiderpool's own Deployment."""
        template = {"metadata": {"labels": LABELS}, "spec": pod_spec()}
        spec = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template}
        self.create(self.cluster.here(paths.DEPLOYMENTS), {"metadata": {"name": "sp", "labels": LABELS}, "spec": spec})

    def versions(self) -> dict[str, str]:
        """The resourceVersion of everything that an import could change."""

        async def read(api: Any) -> dict[str, str]:
            collections = (spider.SUBNETS, spider.POOLS, ENDPOINTS, paths.CRDS)
            return {
                f"{one.metadata.namespace}/{one.metadata.name}": one.metadata.resource_version
                for collection in collections
                for one in await api.list(collection, PartialObject)
            }

        found: dict[str, str] = self.cluster.call(read)
        return found

    def finalizers(self, path: str) -> list[str]:
        one: PartialObject = self.cluster.call(lambda api: api.get(path, PartialObject))
        return one.metadata.finalizers or []
