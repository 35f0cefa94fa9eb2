"""An allocation that vanished while attached comes back from the agent's record, for the Pod that is really there."""

from __future__ import annotations

import json

from netmgr.api.meta import Json, PartialObject
from netmgr.kube import paths
from tests.integration.controller.cluster import NODE, Cluster
from tests.waiting import eventually

WANTS = {"ipam.spidernet.io/ippool": '{"ipv4":["of-strays"]}'}


def report(cluster: Cluster, records: list[Json]) -> None:
    path = paths.named(paths.LEASES, f"netmgr-agent-{NODE}", namespace=cluster.namespace)
    body = {"metadata": {"annotations": {"netmgr.io/strays": json.dumps(records)}}}
    cluster.call(lambda api: api.merge_patch(path, body, PartialObject))


def record(cluster: Cluster, pod: str, uid: str, claimant: Json) -> Json:
    return {
        "address": "10.68.1.7",
        "prefixLength": 16,
        "pool": "of-strays",
        "nodeName": NODE,
        "interface": "eth0",
        "siblings": 1,
        "claimant": claimant,
        "pod": {"namespace": cluster.namespace, "name": pod, "uid": uid},
    }


def test_a_record_that_names_somebody_elses_ordinal_gets_its_address_back_as_a_pod_of_its_own(cluster: Cluster) -> None:
    cluster.subnet("s", "10.68.0.0/16", "10.68.1.0-10.68.1.9")
    with cluster.controller():
        uid = cluster.bare_pod("stray", WANTS)
        forged = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "of-db", "ordinal": 0}
        report(cluster, [record(cluster, "stray", uid, {**forged, "namespace": cluster.namespace})])
        one = cluster.held(1)["10.68.1.7"]
    assert (one.spec.claimant.kind, one.spec.claimant.uid, one.spec.claimant.ordinal) == ("Pod", uid, None)


def test_a_record_of_a_pod_that_is_not_there_brings_nothing_back(cluster: Cluster) -> None:
    cluster.subnet("s", "10.68.0.0/16", "10.68.1.0-10.68.1.9")
    with cluster.controller():
        uid = cluster.bare_pod("stray", WANTS)
        gone = record(cluster, "stray", "another-uid", {"kind": "Pod"}) | {"address": "10.68.1.8"}
        report(cluster, [gone, record(cluster, "stray", uid, {"kind": "Pod"})])
        eventually(cluster.allocations, lambda held: set(held) == {"10.68.1.7"}, what="the living Pod's address alone")
