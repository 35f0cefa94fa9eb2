"""Bad input ends in a message a user can act on, where they look, and leaves the state as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster, deployment, from_subnet, subnet
from tests.waiting import eventually

pytestmark = pytest.mark.lab
CONDITION = "netmgr.io/AddressesAllocated"


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of this file's own."""
    name = "bad-input"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait")


def message_on_a_pod(cluster: Cluster, namespace: str, application: str) -> str:
    """The message of the False condition on the application's first Pod."""

    def look() -> list[str]:
        pods = cluster.items("pods", namespace=namespace, selector=f"app={application}")
        conditions = [c for pod in pods for c in pod["status"].get("conditions", [])]
        return [c["message"] for c in conditions if c["type"] == CONDITION and c["status"] == "False"]

    return eventually(look, bool, what=f"condition {CONDITION} of {application}")[0]


def warnings(cluster: Cluster, namespace: str) -> str:
    return cluster.kubectl("get", "events", "-n", namespace, "--field-selector", "type=Warning", "-o", "yaml")


def test_a_subnet_with_host_bits_is_refused_with_the_form_to_use(cluster: Cluster) -> None:
    done = cluster.try_kubectl("apply", "-f", "-", stdin=subnet("host-bits", "10.250.100.0/16", "10.250.100.1-10.250.100.9"))
    assert done.returncode != 0
    assert "10.250.0.0/16" in done.stderr


def test_an_overlapping_subnet_is_refused_and_names_the_other(cluster: Cluster) -> None:
    done = cluster.try_kubectl("apply", "-f", "-", stdin=subnet("overlap", "10.244.128.0/17", "10.244.128.1-10.244.128.9"))
    assert done.returncode != 0
    assert "nginx-subnet-v4" in done.stderr


def test_a_pool_outside_its_subnet_is_refused(cluster: Cluster) -> None:
    pool = {
        "apiVersion": "spiderpool.spidernet.io/v2beta1",
        "kind": "SpiderIPPool",
        "metadata": {"name": "outside"},
        "spec": {"subnet": "10.244.0.0/16", "ips": ["10.245.1.1-10.245.1.9"]},
    }
    done = cluster.try_kubectl("apply", "-f", "-", stdin=json.dumps(pool))
    assert done.returncode != 0
    assert "10.245.1.1" in done.stderr or "10.244.0.0/16" in done.stderr


def test_malformed_annotation_json_is_refused_before_there_is_a_pod(cluster: Cluster, namespace: str) -> None:
    wrong = deployment("typo", 1, {"ipam.spidernet.io/subnet": '{"ipv4": nginx-subnet-v4}'})
    done = cluster.try_kubectl("apply", "-n", namespace, "-f", "-", stdin=wrong)
    assert done.returncode != 0
    assert 'admission webhook "templates.netmgr.io" denied the request' in done.stderr
    assert "annotation ipam.spidernet.io/subnet" in done.stderr
    assert cluster.items("pods", namespace=namespace, selector="app=typo") == []


def test_an_unknown_subnet_is_a_warning_and_told_on_the_pod(cluster: Cluster, namespace: str) -> None:
    wrong = deployment("lost", 1, from_subnet("no-such-subnet"))
    done = cluster.try_kubectl("apply", "-n", namespace, "-f", "-", stdin=wrong)
    assert done.returncode == 0
    assert "SpiderSubnet no-such-subnet does not exist; Pods wait until it is created" in done.stderr
    assert "no-such-subnet" in message_on_a_pod(cluster, namespace, "lost")
    assert "no-such-subnet" in warnings(cluster, namespace)


def test_a_pool_in_use_is_not_deleted(cluster: Cluster, namespace: str) -> None:
    cluster.apply(deployment("holds", 1, from_subnet("nginx-subnet-v4")), namespace)
    address = cluster.running("app=holds", 1, namespace=namespace)[0]["status"]["podIP"]
    pool = cluster.auto_pool_of("holds")["metadata"]["name"]
    eventually(lambda: cluster.pool(pool)["status"].get("allocatedIPCount"), lambda count: count == 1, what="the pool's count")
    done = cluster.try_kubectl("delete", "sp", pool, "--wait=false")
    assert done.returncode != 0
    assert f"{address} ({namespace}/holds-" in done.stderr
    assert "deletionTimestamp" not in cluster.pool(pool)["metadata"]
    cluster.kubectl("delete", "deploy", "holds", "-n", namespace, "--wait")


def test_a_full_subnet_is_told_on_the_pod_and_gives_nothing_away(cluster: Cluster, namespace: str) -> None:
    cluster.apply(subnet("tiny", "10.251.0.0/24", "10.251.0.1-10.251.0.3"))
    try:
        cluster.apply(deployment("big", 2, from_subnet("tiny", "+3")), namespace)
        assert "tiny" in message_on_a_pod(cluster, namespace, "big")
        assert cluster.get("ss", "tiny")["status"].get("allocatedIPCount", 0) == 0
    finally:
        cluster.kubectl("delete", "deploy", "big", "-n", namespace, "--wait")
        cluster.kubectl("delete", "ss", "tiny", "--wait", "--timeout=60s")
