"""Orders of events that a state machine seldom hits: each is told step by step on the virtual clock."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from netmgr.kube import paths
from tests.unit.lives.cluster import SPACE, Cluster

FROM_POOL = {"ipam.spidernet.io/ippool": '{"ipv4":["p"]}'}
PREFIX = "10.250.0.0/24"
SILENCE = 60.0
"""Seconds after which an agent counts as silent."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes with an agent each, one leader."""
    with tempfile.TemporaryDirectory(prefix="nm-", dir="/dev/shm") as folder:
        made = Cluster(Path(folder), ("n1", "n2"))
        try:
            yield made
        finally:
            made.close()


def force_delete(cluster: Cluster, name: str) -> None:
    cluster.delete(paths.named(paths.PODS, name, namespace=SPACE), gracePeriodSeconds=0)


def test_a_pod_that_was_attached_again_after_a_reboot_is_not_proved_gone_by_that_reboot(cluster: Cluster) -> None:
    cluster.pool("p", PREFIX, "10.250.0.10")
    cluster.workload("Deployment", paths.DEPLOYMENTS, "web", 1, FROM_POOL)
    owner = cluster.twin.of(paths.REPLICA_SETS)[0]
    cluster.bind_pod(owner, "ReplicaSet", "web-rs-1", "web", "n1", FROM_POOL)
    cluster.kubelet("n1")
    cluster.pass_time(2.0)
    assert len(cluster.invariants.sandboxes()) == 1
    cluster.reboot("n1")
    cluster.start_agent("n1")
    cluster.pass_time(2.0)
    cluster.kubelet("n1")
    cluster.pass_time(2.0)
    assert len(cluster.invariants.sandboxes()) == 1
    cluster.kill_agent("n1")
    cluster.pass_time(SILENCE)
    force_delete(cluster, "web-rs-1")
    cluster.pass_time(SILENCE)
    cluster.invariants.look()
    assert cluster.invariants.violations == []
