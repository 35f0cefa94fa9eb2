"""Pods that no rule covers: host-local gives them addresses of their node, beside applications with fixed ones of netmgr."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster, deployment
from tests.waiting import eventually

pytestmark = pytest.mark.lab
RANGES = {"node1": "10.99.1.0/24", "node2": "10.99.2.0/24"}
LEASES = "/var/lib/cni/networks/netmgr"
COVERED = {"ipam.spidernet.io/subnet": '{"ipv4":["nginx-subnet-v4"]}'}


def install(cluster: Cluster, fallback: str) -> None:
    done = cluster.netmgr("install", "--kubeconfig", str(cluster.lab.kubeconfig), "--fallback", fallback)
    assert done.returncode == 0, f"netmgr install: {done.stdout}{done.stderr}"


@pytest.fixture
def falling(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with a range for each node, and host-local for Pods that no rule covers."""
    give_range(cluster, "node1")
    give_range(cluster, "node2")
    install(cluster, "delegate:host-local")
    try:
        yield cluster
    finally:
        cluster.kubectl("delete", "deploy", "plain", "fixed", "--ignore-not-found", "--wait")
        eventually(lambda: cluster.items("ipa") + leases(cluster), lambda left: left == [], what="every address is given back")
        install(cluster, "none")


def give_range(cluster: Cluster, node: str) -> None:
    """What a cluster that deals out Pod ranges has in its Node objects."""
    spec = {"podCIDR": RANGES[node], "podCIDRs": [RANGES[node]]}
    cluster.kubectl("patch", "node", node, "-p", json.dumps({"spec": spec}))


def leases(cluster: Cluster) -> list[str]:
    """Addresses that host-local has given out on both nodes."""
    found = "".join(cluster.on(node, "bash", "-c", f"ls {LEASES} 2>/dev/null || true") for node in RANGES)
    return sorted(name for name in found.split() if name.startswith("10.99."))


def test_an_application_without_a_rule_is_host_locals_and_one_with_a_rule_is_ours(falling: Cluster) -> None:
    falling.apply(deployment("plain", 2, {}))
    falling.apply(deployment("fixed", 1, COVERED))
    plain, fixed = falling.running("app=plain", 2), falling.running("app=fixed", 1)

    addresses = sorted(pod["status"]["podIP"] for pod in plain)
    assert leases(falling) == addresses
    assert [one["spec"]["address"] for one in falling.items("ipa")] == [fixed[0]["status"]["podIP"]]
    listed = {uid for one in falling.items("nodedelegations") for uid in one["spec"]["pods"]}
    assert {pod["metadata"]["uid"] for pod in plain} <= listed

    falling.kubectl("delete", "deploy", "plain", "--wait")

    eventually(lambda: leases(falling), lambda left: left == [], what="host-local has its addresses back")
