"""SpiderEndpoints with the controller's own rights and the real garbage collector."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster, Object, deployment, from_subnet
from tests.waiting import eventually

pytestmark = pytest.mark.lab


@pytest.fixture
def shown(cluster: Cluster) -> Iterator[Cluster]:
    """The lab with SpiderEndpoints on; off again afterwards, and none of them left."""
    config = ("--kubeconfig", str(cluster.lab.kubeconfig))
    done = cluster.netmgr("install", *config, "--spider-endpoints")
    assert done.returncode == 0, done.stdout + done.stderr
    yield cluster
    done = cluster.netmgr("install", *config)
    assert done.returncode == 0, done.stdout + done.stderr
    eventually(lambda: cluster.items("se"), lambda left: left == [], what="no SpiderEndpoint left")


def named(cluster: Cluster) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in cluster.items("se")}


def test_a_pod_has_one_while_it_lives(shown: Cluster) -> None:
    shown.apply(deployment("shown", 1, from_subnet("nginx-subnet-v4")))
    pod = shown.running("app=shown", 1)[0]
    name, address = pod["metadata"]["name"], pod["status"]["podIP"]
    one = eventually(lambda: named(shown), lambda found: name in found, what="a SpiderEndpoint")[name]
    assert [entry["ipv4"] for entry in one["status"]["current"]["ips"]] == [f"{address}/16"]
    assert one["status"]["ownerControllerName"] == "shown"
    shown.kubectl("delete", "deploy", "shown", "--wait")
    eventually(lambda: named(shown), lambda found: name not in found, what="it goes with the Pod")


def test_switched_off_what_was_written_goes(cluster: Cluster, shown: Cluster) -> None:
    shown.apply(deployment("shown", 1, from_subnet("nginx-subnet-v4")))
    name = shown.running("app=shown", 1)[0]["metadata"]["name"]
    eventually(lambda: named(shown), lambda found: name in found, what="a SpiderEndpoint")
    assert cluster.netmgr("install", "--kubeconfig", str(cluster.lab.kubeconfig)).returncode == 0
    eventually(lambda: named(cluster), lambda found: found == {}, what="none is left")
    cluster.kubectl("delete", "deploy", "shown", "--wait")
