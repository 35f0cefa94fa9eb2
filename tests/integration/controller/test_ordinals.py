"""A StatefulSet's address belongs to the ordinal: it follows to the next Pod, after the old holder's release."""

from __future__ import annotations

from netmgr.kube import paths
from tests.integration.controller.cluster import NODE, Cluster
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


def test_an_ordinal_keeps_its_address_through_scale_down_and_up_where_that_is_asked_for(cluster: Cluster) -> None:
    wants = WANTS | {"netmgr.io/retain-ordinals": "true"}
    with cluster.controller():
        cluster.subnet("s", "10.64.0.0/16", "10.64.1.0-10.64.1.255")
        owner = cluster.stateful_set("db", 2, wants)
        for number in (0, 1):
            cluster.ordinal("db", wants, owner, number)
        before = {one.spec.pod.name: name for name, one in cluster.held(2).items()}
        cluster.scale("db", 1, paths.STATEFUL_SETS)
        cluster.release("db-1", before["db-1"])
        eventually(lambda: cluster.allocations()[before["db-1"]].status.phase, lambda phase: phase == "Detached", what="kept")
        pool = cluster.pools_of("db")[0]
        eventually(lambda: cluster.total(pool.metadata.name), lambda total: total == 3, what="replicas, one spare, one retained")
        cluster.scale("db", 2, paths.STATEFUL_SETS)
        successor = cluster.ordinal("db", wants, owner, 1, node=NODE)
        now = eventually(cluster.allocations, lambda held: held[before["db-1"]].spec.pod.uid == successor, what="its own again")
        assert set(now) == set(before.values())


def test_an_ordinal_moves_to_another_pool_with_its_annotation_and_gives_the_old_address_up(cluster: Cluster) -> None:
    moved = WANTS | {"ipam.spidernet.io/subnet": '{"ipv4":["t"]}'}
    with cluster.controller():
        cluster.subnet("s", "10.64.0.0/16", "10.64.1.0-10.64.1.255")
        cluster.subnet("t", "10.65.0.0/16", "10.65.1.0-10.65.1.255")
        owner = cluster.stateful_set("db", 1, WANTS)
        cluster.ordinal("db", WANTS, owner, 0)
        old = next(iter(cluster.held(1)))
        cluster.annotate("db", moved, paths.STATEFUL_SETS)
        cluster.release("db-0", old)
        cluster.ordinal("db", moved, owner, 0)
        now = eventually(cluster.allocations, lambda held: bool(held) and old not in held, what="the old address is free")
        assert all(name.startswith("10.65.") for name in now)
        eventually(lambda: [one.spec.subnet for one in cluster.pools_of("db")], lambda seen: seen == ["10.65.0.0/16"], what="moved")


def test_ordinals_that_begin_elsewhere_are_kept_too(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.subnet("s", "10.64.0.0/16", "10.64.1.0-10.64.1.255")
        owner = cluster.stateful_set("db", 1, WANTS, start=5)
        cluster.ordinal("db", WANTS, owner, 5)
        address = next(iter(cluster.held(1)))
        cluster.release("db-5", address)
        successor = cluster.ordinal("db", WANTS, owner, 5)
        eventually(lambda: cluster.allocations()[address].spec.pod.uid, lambda uid: uid == successor, what="the same address")


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
