"""Kinds of third parties, as their authors would make them: a Rollout with a scale, a Runner with nothing, KubeVirt's two kinds."""

from __future__ import annotations

from netmgr.api.meta import Json, PartialObject
from netmgr.kube import paths
from netmgr.kube.client import Api, exists
from tests.integration.controller.cluster import Cluster, pod_spec
from tests.waiting import eventually

ROLLOUTS = "/apis/argoproj.io/v1alpha1/rollouts"
RUNNERS = "/apis/ci.example.com/v1/runners"
MACHINES = "/apis/kubevirt.io/v1/virtualmachines"
INSTANCES = "/apis/kubevirt.io/v1/virtualmachineinstances"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SCALE = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
KINDS: tuple[tuple[str, str, str, str, Json], ...] = (
    ("argoproj.io", "v1alpha1", "rollouts", "Rollout", {"scale": SCALE, "status": {}}),
    ("ci.example.com", "v1", "runners", "Runner", {"status": {}}),
    ("kubevirt.io", "v1", "virtualmachines", "VirtualMachine", {"status": {}}),
    ("kubevirt.io", "v1", "virtualmachineinstances", "VirtualMachineInstance", {"status": {}}),
)


def install(cluster: Cluster) -> None:
    """The CRDs, once for all tests of this API server."""

    async def make(api: Api) -> None:
        for group, version, plural, kind, subresources in KINDS:
            if not await exists(api, paths.named(paths.CRDS, f"{plural}.{group}")):
                await api.create(paths.CRDS, definition(group, version, plural, kind, subresources), PartialObject)

    cluster.call(make)
    for group, version, plural, _, _ in KINDS:
        path = f"/apis/{group}/{version}/{plural}"
        eventually(lambda p=path: cluster.call(lambda api: served(api, p)), bool, what=f"{plural} are served")  # type: ignore[misc]


def forget(cluster: Cluster) -> None:
    """Remove what earlier tests made of these kinds."""

    async def remove(api: Api) -> None:
        for group, version, plural, _, _ in KINDS:
            collection = f"/apis/{group}/{version}/{plural}"
            for namespace in {one.metadata.namespace for one in await api.list(collection, PartialObject)}:
                await api.delete(paths.in_namespace(collection, namespace))

    cluster.call(remove)


async def served(api: Api, path: str) -> bool:
    try:
        await api.list(path, PartialObject)
    except Exception:  # noqa: BLE001 - whatever it says meanwhile
        return False
    return True


def definition(group: str, version: str, plural: str, kind: str, subresources: Json) -> Json:
    schema = {"type": "object", "properties": {"spec": ANYTHING, "status": ANYTHING}}
    served_version = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [{**served_version, "subresources": subresources}],
        },
    }


def make(cluster: Cluster, collection: str, name: str, spec: Json, owner: Json | None = None) -> Json:
    """An object, and the ownerReference by which others name it as their controller."""
    kind = next(one[3] for one in KINDS if collection.endswith(f"/{one[2]}"))
    group_version = "/".join(collection.split("/")[2:4])
    meta = {"name": name, "ownerReferences": [owner] if owner else []}
    made = cluster.create(cluster.here(collection), {"apiVersion": group_version, "kind": kind, "metadata": meta, "spec": spec})
    return {"apiVersion": group_version, "kind": kind, "name": name, "uid": made.metadata.uid, "controller": True}


def template(name: str, annotations: dict[str, str]) -> Json:
    """A Pod template and the selector that goes with it."""
    pods = {"metadata": {"labels": {"app": name}, "annotations": annotations}, "spec": pod_spec()}
    return {"template": pods, "selector": {"matchLabels": {"app": name}}}


def replica_set(cluster: Cluster, name: str, app: str, owner: Json, annotations: dict[str, str]) -> Json:
    """A ReplicaSet that a third party's object controls."""
    body = {"metadata": {"name": name, "ownerReferences": [owner]}, "spec": {"replicas": 1, **template(app, annotations)}}
    made = cluster.create(cluster.here(paths.REPLICA_SETS), body)
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": made.metadata.uid, "controller": True}


def pod(cluster: Cluster, name: str, app: str, owner: Json, annotations: dict[str, str], node: str = "node-a") -> str:
    """A bound Pod; its UID."""
    meta = {"name": name, "labels": {"app": app}, "annotations": annotations, "ownerReferences": [owner]}
    return cluster.create(cluster.here(paths.PODS), {"metadata": meta, "spec": {**pod_spec(), "nodeName": node}}).metadata.uid
