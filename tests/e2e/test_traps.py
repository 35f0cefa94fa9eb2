"""The traps that lose or double an address elsewhere, each by its own test."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster, deployment, from_subnet
from tests.waiting import eventually

pytestmark = pytest.mark.lab
SPACE = "traps"


@pytest.fixture(scope="module")
def application(cluster: Cluster) -> Iterator[str]:
    """Selector of an application of two Pods with a pool of four, in a namespace of its own."""
    cluster.kubectl("create", "namespace", SPACE)
    cluster.apply(deployment("fixed", 2, from_subnet("nginx-subnet-v4", "+2")), SPACE)
    cluster.running("app=fixed", 2, SPACE)
    yield "app=fixed"
    cluster.kubectl("delete", "namespace", SPACE, "--wait")


def holders(cluster: Cluster) -> dict[str, str]:
    """Address to the UID of the Pod that holds it, in this test's namespace."""
    allocations = [a for a in cluster.items("ipa") if a["spec"]["pod"]["namespace"] == SPACE]
    return {a["metadata"]["name"]: a["spec"]["pod"]["uid"] for a in allocations}


def sandbox_process(cluster: Cluster, node: str, pod_uid: str) -> str:
    """Process id, on the node, of the Pod's pause process."""
    tasks = cluster.on(node, "ctr", "-n", "k8s.io", "containers", "ls", "-q").split()
    for task in tasks:
        info = json.loads(cluster.on(node, "ctr", "-n", "k8s.io", "containers", "info", task))
        labels = info.get("Labels") or {}
        if labels.get("io.kubernetes.pod.uid") == pod_uid and labels.get("io.cri-containerd.kind") == "sandbox":
            rows = [line.split() for line in cluster.on(node, "ctr", "-n", "k8s.io", "tasks", "ls").splitlines()]
            return next(row[1] for row in rows if row[0] == task)
    raise AssertionError(f"no sandbox of Pod {pod_uid} on {node}")


def test_a_killed_pause_process_keeps_the_address(cluster: Cluster, application: str) -> None:
    pod = cluster.running(application, 2, SPACE)[0]
    name, uid, address = pod["metadata"]["name"], pod["metadata"]["uid"], pod["status"]["podIP"]
    restarts = pod["status"]["containerStatuses"][0]["restartCount"]
    node = pod["spec"]["nodeName"]
    cluster.on(node, "kill", "-9", sandbox_process(cluster, node, uid))
    eventually(
        lambda: cluster.get("pod", name, namespace=SPACE)["status"]["containerStatuses"][0],
        lambda status: bool(status["restartCount"] > restarts and status["ready"]),
        within=90,
        what=f"{name} runs in a new sandbox",
    )
    assert cluster.get("pod", name, namespace=SPACE)["status"]["podIP"] == address
    eventually(lambda: cluster.tor_routes().get(address), lambda hops: hops is not None, what=f"route of {address}")
    assert address in cluster.fetch(address, "/whoami")


def test_a_force_deleted_pod_keeps_its_address_until_the_sandbox_ends(cluster: Cluster, application: str) -> None:
    slow = {"lifecycle": {"preStop": {"exec": {"command": ["/bin/sleep", "8"]}}}}
    container = {"name": "nginx", "image": "nginx", "imagePullPolicy": "IfNotPresent", **slow}
    text = deployment("slow", 1, from_subnet("nginx-subnet-v4", "1"), containers=[container], terminationGracePeriodSeconds=20)
    cluster.apply(text, SPACE)
    pod = cluster.running("app=slow", 1, SPACE)[0]
    address, uid = pod["status"]["podIP"], pod["metadata"]["uid"]
    cluster.kubectl("delete", "deploy", "slow", "-n", SPACE, "--cascade=orphan")
    cluster.kubectl("delete", "rs", "-l", "app=slow", "-n", SPACE, "--cascade=orphan")
    cluster.kubectl("delete", "pod", pod["metadata"]["name"], "-n", SPACE, "--force", "--grace-period=0")
    assert holders(cluster)[address] == uid
    eventually(lambda: holders(cluster), lambda held: address not in held, within=60, what=f"{address} is free")
    routed = cluster.on(pod["spec"]["nodeName"], "ip", "-j", "route", "show", address)
    assert json.loads(routed) == []


def test_an_allocation_deleted_by_an_administrator_comes_back(cluster: Cluster, application: str) -> None:
    pod = cluster.running(application, 2, SPACE)[0]
    address, uid = pod["status"]["podIP"], pod["metadata"]["uid"]
    cluster.kubectl("delete", "ipa", address)
    eventually(lambda: holders(cluster).get(address), lambda holder: holder == uid, what=f"{address} held again")
    eventually(lambda: cluster.tor_routes().get(address), lambda hops: hops is not None, what=f"route of {address}")
    assert address in cluster.fetch(address, "/whoami")


def test_no_address_is_left_when_the_application_goes(cluster: Cluster, application: str) -> None:
    cluster.kubectl("delete", "deploy", "fixed", "-n", SPACE, "--wait")
    eventually(lambda: holders(cluster), lambda held: held == {}, within=60, what="all addresses free")
