"""Static Pods: the kubelet starts them from a file, the runtime knows them by the hash of that file, the API server by a mirror."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster
from tests.waiting import eventually

pytestmark = pytest.mark.lab
POOL = {
    "apiVersion": "spiderpool.spidernet.io/v2beta1",
    "kind": "SpiderIPPool",
    "metadata": {"name": "statics"},
    "spec": {"subnet": "10.245.0.0/24", "ips": ["10.245.0.10-10.245.0.12"]},
}
FILE = "/etc/kubernetes/manifests/steady.json"
MIRROR = "steady-node1"


def manifest(version: str) -> str:
    container = {"name": "nginx", "image": "nginx", "imagePullPolicy": "IfNotPresent", "env": [{"name": "V", "value": version}]}
    meta = {"name": "steady", "namespace": "default", "annotations": {"ipam.spidernet.io/ippool": '{"ipv4":["statics"]}'}}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def place(cluster: Cluster, version: str) -> None:
    """Write the kubelet's file, whole: aside, then renamed (names with a dot in front are not read)."""
    aside = FILE.replace("steady", ".steady")
    cluster.on("node1", "bash", "-c", f"printf %s '{manifest(version)}' > {aside} && mv {aside} {FILE}")


def pod_ip(cluster: Cluster) -> str:
    done = cluster.try_kubectl("get", "pod", MIRROR, "-o", "jsonpath={.status.podIP}")
    return done.stdout if done.returncode == 0 else ""


def held(cluster: Cluster) -> dict[str, tuple[str, str]]:
    """Addresses of the pool, each with the holder's UID at the API server and at the runtime."""
    ours = (one["spec"] for one in cluster.items("ipa") if one["spec"]["pool"] == "statics")
    return {one["address"]: (one["pod"]["uid"], one["pod"].get("runtimeUID", "")) for one in ours}


@pytest.fixture
def steady(cluster: Cluster) -> Iterator[Cluster]:
    """A static Pod on node1 that runs."""
    cluster.apply(json.dumps(POOL))
    place(cluster, "1")
    try:
        eventually(lambda: pod_ip(cluster), bool, within=90, what="the static Pod has an address")
        yield cluster
    finally:
        cluster.on("node1", "rm", "-f", FILE)
        eventually(lambda: held(cluster), lambda left: left == {}, within=120, what="the static Pod's address is free")
        cluster.kubectl("delete", "sp", "statics")


def test_a_static_pod_has_a_fixed_address_through_its_mirrors_and_its_sandboxes(steady: Cluster) -> None:
    address = pod_ip(steady)
    mirror, runtime = held(steady)[address]
    assert address in {"10.245.0.10", "10.245.0.11", "10.245.0.12"}
    assert mirror != runtime != ""
    assert f"{address} dev nm" in steady.on("node1", "ip", "route", "show", "proto", "80")

    steady.kubectl("delete", "pod", MIRROR, "--force", "--grace-period=0")

    eventually(lambda: pod_ip(steady), bool, within=60, what="the mirror is there again")
    assert pod_ip(steady) == address
    assert f"{address} dev nm" in steady.on("node1", "ip", "route", "show", "proto", "80")


def test_a_static_pod_whose_file_changes_is_another_pod(steady: Cluster) -> None:
    before = held(steady)

    place(steady, "2")

    eventually(
        lambda: held(steady), lambda now: len(now) == 1 and now != before and pod_ip(steady) in now, within=120, what="one address"
    )
