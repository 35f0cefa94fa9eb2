"""A StatefulSet's address belongs to the ordinal: it follows to the next Pod, after the old holder's release."""

from __future__ import annotations

from netmgr.kube import paths
from tests.integration.controller.cluster import Cluster
from tests.waiting import eventually

WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "+1"}
OTHER = "node-b"


def test_the_ordinals_address_follows_its_pod_to_another_node_once_released(cluster: Cluster) -> None:
    cluster.agent(OTHER)
    with cluster.controller():
        cluster.subnet("s", "10.64.0.0/16", "10.64.1.0-10.64.1.255")
        owner = cluster.stateful_set("db", 1, WANTS)
        cluster.ordinal("db", WANTS, owner, 0)
        address = next(iter(cluster.held(1)))
        cluster.delete(paths.PODS, "db-0", gracePeriodSeconds=0)
        successor = cluster.ordinal("db", WANTS, owner, 0, node=OTHER)
        message = eventually(lambda: cluster.refusal("db-0"), bool, what="the condition says what it waits for")
        assert address in message
        assert "node-a" in message
        cluster.detach(address)
        now = eventually(cluster.allocations, lambda held: held[address].spec.pod.uid == successor, what="re-bound")
        assert (set(now), now[address].spec.node_name) == ({address}, OTHER)
        eventually(lambda: cluster.refusal("db-0"), lambda text: text == "", what="the condition is True")


def test_an_ordinal_that_is_scaled_away_keeps_nothing(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.subnet("s", "10.64.0.0/16", "10.64.1.0-10.64.1.255")
        owner = cluster.stateful_set("db", 1, WANTS)
        cluster.ordinal("db", WANTS, owner, 0)
        address = next(iter(cluster.held(1)))
        cluster.delete(paths.PODS, "db-0", gracePeriodSeconds=0)
        eventually(lambda: cluster.allocations()[address].status.phase, lambda phase: phase == "Releasing", what="the question")
        cluster.detach(address)
        cluster.scale("db", 0, paths.STATEFUL_SETS)
        assert cluster.held(0) == {}
