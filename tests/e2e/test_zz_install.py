"""Install twice changes nothing; uninstall refuses while addresses are in use and leaves nothing afterwards."""

from __future__ import annotations

import asyncio
import json

import pytest

from netmgr.api.allocation import ALLOCATIONS, IPAllocation
from netmgr.kube.client import Api
from netmgr.kube.errors import Forbidden
from tests.e2e.cluster import Cluster, deployment, from_subnet
from tests.waiting import eventually

pytestmark = pytest.mark.lab
NODES = ("node1", "node2")


@pytest.fixture(scope="module")
def ours(cluster: Cluster) -> list[str]:
    """`kind/name` of every object that the installer makes, as it says itself."""
    done = cluster.netmgr("install", "--kubeconfig", str(cluster.lab.kubeconfig), "--output", "json")
    assert done.returncode == 0, done.stderr
    return [one["object"] for one in json.loads(done.stdout)["objects"]]


def versions(cluster: Cluster, ours: list[str]) -> dict[str, str]:
    """The resourceVersion of each object of ours."""
    items = cluster.get("", *ours, namespace="netmgr-system")["items"]
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in items}


def test_a_second_install_leaves_every_resource_version_as_it_was(cluster: Cluster, ours: list[str]) -> None:
    before = versions(cluster, ours)
    done = cluster.netmgr("install", "--kubeconfig", str(cluster.lab.kubeconfig), "--output", "json")
    assert {one["result"] for one in json.loads(done.stdout)["objects"]} == {"unchanged", "kept"}
    assert len(before) == len(ours)
    assert versions(cluster, ours) == before


def test_a_dry_run_changes_nothing(cluster: Cluster, ours: list[str]) -> None:
    before = versions(cluster, ours)
    done = cluster.netmgr("install", "--kubeconfig", str(cluster.lab.kubeconfig), "--dry-run", "--replicas", "1")
    assert "deployment/netmgr-controller configured (dry run)" in done.stdout
    assert versions(cluster, ours) == before


def test_somebody_elses_kinds_are_not_taken_over(cluster: Cluster, ours: list[str]) -> None:
    name = "spidersubnets.spiderpool.spidernet.io"
    cluster.kubectl("label", "crd", name, "app.kubernetes.io/managed-by=Helm", "--overwrite")
    try:
        done = cluster.netmgr("install", "--kubeconfig", str(cluster.lab.kubeconfig))
    finally:
        cluster.kubectl("label", "crd", name, "app.kubernetes.io/managed-by=netmgr-install", "--overwrite")
    assert done.returncode == 1
    assert f"CustomResourceDefinition {name} belongs to another product" in done.stderr


def test_an_agent_cannot_report_about_another_node(cluster: Cluster, ours: list[str]) -> None:
    """With the agent's own account and a token that is bound to its node."""
    cluster.apply(deployment("guarded", 1, from_subnet("nginx-subnet-v4"), nodeName="node2"))
    address = cluster.running("app=guarded", 1)[0]["status"]["podIP"]
    agents = cluster.items("pods", namespace="netmgr-system", selector="app=netmgr-agent")
    agent = next(one for one in agents if one["spec"]["nodeName"] == "node1")["metadata"]
    bound = ("--bound-object-kind", "Pod", "--bound-object-name", agent["name"], "--bound-object-uid", agent["uid"])
    token = cluster.kubectl("create", "token", "netmgr-agent", "-n", "netmgr-system", *bound).strip()
    access = cluster.with_token(token)

    async def report() -> None:
        async with Api(access) as api:
            await api.merge_patch(f"{ALLOCATIONS}/{address}/status", {"status": {"phase": "Detached"}}, IPAllocation)

    async def delete() -> None:
        async with Api(access) as api:
            await api.delete(f"{ALLOCATIONS}/{address}")

    try:
        with pytest.raises(Forbidden, match="belongs to node node2; the token of"):
            asyncio.run(report())
        with pytest.raises(Forbidden, match="cannot delete resource"):
            asyncio.run(delete())
    finally:
        cluster.kubectl("delete", "deploy", "guarded", "--wait")


def test_uninstall_refuses_while_addresses_are_in_use(cluster: Cluster, ours: list[str]) -> None:
    cluster.apply(deployment("in-use", 1, from_subnet("nginx-subnet-v4")))
    cluster.running("app=in-use", 1)
    before = versions(cluster, ours)
    done = cluster.netmgr("uninstall", "--kubeconfig", str(cluster.lab.kubeconfig))
    assert done.returncode == 3
    assert "in-use" in done.stderr
    assert versions(cluster, ours) == before
    cluster.kubectl("delete", "deploy", "in-use", "--wait")


def test_uninstall_leaves_nothing_and_install_works_again(cluster: Cluster, ours: list[str]) -> None:
    eventually(lambda: cluster.items("ipa"), lambda left: left == [], what="no allocation left")
    done = cluster.netmgr("uninstall", "--kubeconfig", str(cluster.lab.kubeconfig))
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    left = cluster.kubectl("get", ",".join(kinds), "-A", "-o", "name", "--ignore-not-found")
    assert [line for line in left.splitlines() if ("netmgr" in line or "spider" in line) and not line.startswith("event")] == []
    for node in NODES:
        assert "netmgr" not in cluster.on(node, "ls", "-a", "/etc/cni/net.d", "/opt/cni/bin", "/run", "/var/lib")
        assert cluster.on(node, "ip", "-4", "route", "show", "proto", "80") == ""
        assert cluster.on(node, "ip", "-6", "route", "show", "proto", "80") == ""
        assert cluster.lab.run(node, ["pgrep", "-f", "bgpd|netmgr agent"]).stdout == ""
    assert cluster.tor_routes() == {}
    again = cluster.netmgr("install", "--kubeconfig", str(cluster.lab.kubeconfig))
    assert again.returncode == 0, again.stdout + again.stderr
