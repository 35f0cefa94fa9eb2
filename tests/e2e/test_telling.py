"""What an installed controller says about itself, on its node's loopback and nowhere else."""

from __future__ import annotations

import re

import pytest

from tests.e2e.cluster import Cluster
from tests.waiting import eventually

pytestmark = pytest.mark.lab
PORT = 9473


def nodes(cluster: Cluster) -> list[str]:
    """Nodes with a controller that is Ready."""
    pods = cluster.running("app=netmgr-controller", 2, namespace="netmgr-system")
    return [pod["spec"]["nodeName"] for pod in pods]


def samples(cluster: Cluster, node: str) -> dict[str, float]:
    text = cluster.on(node, "curl", "-s", "-S", "-m", "5", f"http://127.0.0.1:{PORT}/metrics")
    return {key: float(value) for key, value in re.findall(r"^([^#\s]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}


def test_one_of_the_controllers_leads_and_nothing_was_refused_to_any(cluster: Cluster) -> None:
    """A refused request would be a right that the installer's roles lack.

    The controllers begin anew first: an API server that was killed refuses everybody until it has read its roles again.
    """
    cluster.kubectl("rollout", "restart", "deployment/netmgr-controller", "-n", "netmgr-system")
    cluster.kubectl("rollout", "status", "deployment/netmgr-controller", "-n", "netmgr-system", "--timeout=110s")
    seen = eventually(
        lambda: [samples(cluster, node) for node in nodes(cluster)],
        lambda all_: (
            sum(one["netmgr_leader"] for one in all_) == 1 and max(one["netmgr_reconciled_timestamp_seconds"] for one in all_) > 0
        ),
        what="one leader, that has reconciled",
    )
    assert [key for one in seen for key in one if re.match(r'netmgr_api_requests_total\{code="40[13]"', key)] == []


@pytest.mark.parametrize("node", ["node1", "node2"])
def test_nothing_answers_on_the_nodes_own_address(cluster: Cluster, node: str) -> None:
    told = cluster.get("node", node)["status"]["addresses"]
    address = next(one["address"] for one in told if one["type"] == "InternalIP")
    done = cluster.lab.run(node, ["curl", "-s", "-m", "3", f"http://{address}:{PORT}/metrics"])
    assert done.returncode == 7  # refused


def test_a_healthy_cluster_needs_no_repair(cluster: Cluster) -> None:
    done = cluster.netmgr("repair", "--dry-run", "--kubeconfig", str(cluster.lab.kubeconfig))
    assert (done.returncode, done.stdout) == (0, "no damage, 0 put right\n")
