"""Install twice changes nothing; uninstall refuses while addresses are in use and leaves nothing afterwards."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster, deployment, from_subnet
from tests.waiting import eventually

pytestmark = pytest.mark.lab
KINDS = "deploy,ds,sa,cm,clusterrole,clusterrolebinding,role,rolebinding,crd,validatingadmissionpolicy,padv"


def versions(cluster: Cluster) -> dict[str, str]:
    """Generation of every object that the installer made (status moves by itself, spec must not)."""
    items = cluster.items(KINDS, namespace="netmgr-system")
    ours = [o for o in items if "netmgr" in o["metadata"]["name"] or o["kind"] == "PoolAdvertisement"]
    return {f"{o['kind']}/{o['metadata']['name']}": o["metadata"]["resourceVersion"] for o in ours}


def test_a_second_install_changes_nothing(cluster: Cluster) -> None:
    before = versions(cluster)
    done = cluster.netmgr("install", "--kubeconfig", str(cluster.lab.kubeconfig))
    assert done.returncode == 0
    assert versions(cluster) == before


def test_uninstall_refuses_while_addresses_are_in_use(cluster: Cluster) -> None:
    cluster.apply(deployment("in-use", 1, from_subnet("nginx-subnet-v4")))
    cluster.running("app=in-use", 1)
    done = cluster.netmgr("uninstall", "--kubeconfig", str(cluster.lab.kubeconfig))
    assert done.returncode == 3
    cluster.running("app=in-use", 1)
    cluster.kubectl("delete", "deploy", "in-use", "--wait")
    eventually(lambda: cluster.items("ipa"), lambda left: left == [], what="no allocation left")


def test_uninstall_leaves_nothing_and_install_works_again(cluster: Cluster) -> None:
    eventually(lambda: cluster.items("ipa"), lambda left: left == [], what="no allocation left")
    done = cluster.netmgr("uninstall", "--kubeconfig", str(cluster.lab.kubeconfig))
    assert done.returncode == 0, done.stdout + done.stderr
    left = cluster.kubectl("get", "crd,clusterrole,clusterrolebinding,validatingadmissionpolicy", "-o", "name")
    assert [line for line in left.splitlines() if "netmgr" in line or "spidernet" in line] == []
    for node in ("node1", "node2"):
        assert "netmgr" not in cluster.on(node, "ls", "/etc/cni/net.d", "/opt/cni/bin")
        assert cluster.on(node, "ip", "route", "show", "proto", "80") == ""
    again = cluster.netmgr("install", "--kubeconfig", str(cluster.lab.kubeconfig))
    assert again.returncode == 0, again.stdout + again.stderr
