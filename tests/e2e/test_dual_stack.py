"""Both families at once, and every example is taken by the API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import EXAMPLES, Cluster
from tests.multus import DEFINITION, NAME
from tests.waiting import eventually

pytestmark = pytest.mark.lab
ALL = sorted(EXAMPLES.parent.rglob("*.yaml"))


@pytest.fixture(scope="module")
def networks(cluster: Cluster) -> Iterator[None]:
    """Multus' kind, which some examples have."""
    cluster.apply(json.dumps(DEFINITION))
    cluster.kubectl("wait", f"crd/{NAME}", "--for=condition=Established", "--timeout=30s")
    yield
    cluster.kubectl("delete", "crd", NAME)


@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize("file", ALL, ids=lambda file: file.stem)
def test_the_api_server_takes_the_example(cluster: Cluster, file: Path) -> None:
    assert "(server dry run)" in cluster.kubectl("apply", "--dry-run=server", "-f", str(file))


def test_every_pod_is_reached_by_both_families_and_leaves_nothing(cluster: Cluster) -> None:
    example = EXAMPLES.parent / "dual-stack.yaml"
    cluster.apply(example)
    pods = cluster.running("app=dual", 2)
    addresses = {one["ip"] for pod in pods for one in pod["status"]["podIPs"]}
    done = cluster.netmgr("reach", "--lab", "single-tor", "--app", "deployment/dual", "--wait", "20", "--output", "json")
    report = json.loads(done.stdout)
    assert {one["address"] for one in report["addresses"]} == addresses
    assert {one["own"] for one in report["addresses"]} == {"192.0.2.10", "2001:db8:2::10"}
    assert {one["source"] for one in report["addresses"]} == {"preserved"}
    assert done.returncode == 0
    assert cluster.netmgr("check", "--lab", "single-tor", "--wait", "10").returncode == 0
    cluster.kubectl("delete", "deploy", "dual", "--wait")
    eventually(lambda: cluster.items("ipa"), lambda left: left == [], what="no allocation")
    mine = "ipam.spidernet.io/owner-application-name=dual"
    eventually(lambda: cluster.items("spiderippools", selector=mine), lambda left: left == [], what="no pool in the subnets")
    cluster.kubectl("delete", "-f", str(example), "--ignore-not-found", "--wait", "--timeout=60s")
