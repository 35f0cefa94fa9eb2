"""An address whose node is silent is freed on proof only; a released one rests as long as its pool says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from netmgr.api import allocation, spider
from netmgr.api.meta import PartialObject
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.config import load
from tests.integration.controller.cluster import Cluster
from tests.integration.controller.lost_node import LOST, LostNode, asked_for, pod_events
from tests.waiting import eventually

OTHER = "node-b"
WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "2"}


@pytest.mark.parametrize("proof", [LostNode.out_of_service, LostNode.started_anew])
def test_the_address_of_a_gone_pod_on_a_silent_node_waits_for_proof(
    cluster: Cluster, lost: LostNode, proof: Callable[[LostNode], None]
) -> None:
    with cluster.controller():
        cluster.subnet("s", "10.64.0.0/16", "10.64.1.0-10.64.1.255")
        owner = cluster.deployment("app", 1, WANTS)
        cluster.pods("app", WANTS, owner, 1, node=LOST)
        address = next(iter(cluster.held(1)))
        pool = cluster.allocations()[address].spec.pool
        lost.goes_silent()
        cluster.delete(paths.PODS, "app-rs-1", gracePeriodSeconds=0)
        asked_for(cluster, address)
        told = eventually(lambda: pod_events(cluster, pool), bool, what="a word about what it waits for")
        assert any("ReleaseWaits" in text and LOST in text for text in told)
        assert set(cluster.allocations()) == {address}
        proof(lost)
        cluster.held(0)
        eventually(lambda: pod_events(cluster, pool), lambda seen: "ReleasedWithoutAgent" in str(seen), what="why it was freed")


def test_a_reboot_proves_nothing_about_a_pod_that_was_attached_again_after_it(cluster: Cluster, lost: LostNode) -> None:
    with cluster.controller():
        cluster.subnet("s", "10.64.0.0/16", "10.64.1.0-10.64.1.255")
        owner = cluster.deployment("app", 1, WANTS)
        cluster.pods("app", WANTS, owner, 1, node=LOST)
        address, held = next(iter(cluster.held(1).items()))
        lost.started_anew()
        attached = {"phase": "", "podUID": held.spec.pod.uid, "bootID": "boot-2"}  # what the agent says in the second boot
        lost.patch(paths.named(allocation.ALLOCATIONS, address, "status"), {"status": attached})
        lost.goes_silent()
        cluster.delete(paths.PODS, "app-rs-1", gracePeriodSeconds=0)
        told = eventually(lambda: pod_events(cluster, held.spec.pool), bool, what="a word about what it waits for")

    assert ("ReleaseWaits" in str(told), set(cluster.allocations())) == (True, {address})


def test_a_node_objects_disappearance_alone_frees_nothing(cluster: Cluster, lost: LostNode) -> None:
    with cluster.controller():
        cluster.subnet("s", "10.64.0.0/16", "10.64.1.0-10.64.1.255")
        owner = cluster.deployment("app", 1, WANTS)
        cluster.pods("app", WANTS, owner, 1, node=LOST)
        address = next(iter(cluster.held(1)))
        pool = cluster.allocations()[address].spec.pool
        lost.goes_silent()
        lost.remove()
        cluster.delete(paths.PODS, "app-rs-1", gracePeriodSeconds=0)
        asked_for(cluster, address)
        eventually(lambda: pod_events(cluster, pool), bool, what="the word that it waits")
        assert set(cluster.allocations()) == {address}


def test_the_pools_grace_counts_from_the_question(cluster: Cluster, lost: LostNode) -> None:
    with cluster.controller():
        cluster.subnet("s", "10.64.0.0/16", "10.64.1.0-10.64.1.255")
        path = paths.named(spider.SUBNETS, "s")
        cluster.call(lambda api: api.merge_patch(path, {"spec": {"nodeLostGraceSeconds": 600}}, PartialObject))
        owner = cluster.deployment("app", 1, WANTS)
        cluster.pods("app", WANTS, owner, 1, node=LOST)
        address = next(iter(cluster.held(1)))
        lost.goes_silent()
        cluster.delete(paths.PODS, "app-rs-1", gracePeriodSeconds=0)
        asked_for(cluster, address)
        assert set(cluster.allocations()) == {address}
        long_ago = {"status": {"releasingSince": "2026-01-01T00:00:00Z"}}
        status = paths.named(allocation.ALLOCATIONS, address, "status")
        cluster.call(lambda api: api.merge_patch(status, long_ago, PartialObject))
        cluster.held(0)


def test_the_ordinals_address_leaves_a_node_that_is_out_of_service(cluster: Cluster, lost: LostNode) -> None:
    cluster.agent(OTHER)
    with cluster.controller():
        cluster.subnet("s", "10.64.0.0/16", "10.64.1.0-10.64.1.255")
        owner = cluster.stateful_set("db", 1, WANTS)
        cluster.ordinal("db", WANTS, owner, 0, node=LOST)
        address = next(iter(cluster.held(1)))
        lost.goes_silent()
        cluster.delete(paths.PODS, "db-0", gracePeriodSeconds=0)
        successor = cluster.ordinal("db", WANTS, owner, 0, node=OTHER)
        eventually(lambda: cluster.refusal("db-0"), bool, what="the condition says what it waits for")
        lost.out_of_service()
        now = eventually(cluster.allocations, lambda held: held[address].spec.pod.uid == successor, what="re-bound")
        assert (set(now), now[address].spec.node_name) == ({address}, OTHER)


def test_a_released_address_rests_for_the_pools_cooldown_and_counts_as_used(cluster: Cluster) -> None:
    wants = {"ipam.spidernet.io/ippool": '{"ipv4":["one"]}'}
    with cluster.controller():
        cluster.pool("one", "10.64.0.0/16", "10.64.1.1")
        path = paths.named(spider.POOLS, "one")
        cluster.call(lambda api: api.merge_patch(path, {"spec": {"cooldownSeconds": 3}}, PartialObject))
        owner = cluster.deployment("app", 1, wants)
        cluster.pods("app", wants, owner, 1)
        cluster.held(1)
        cluster.delete(paths.PODS, "app-rs-1", gracePeriodSeconds=0)
        asked_for(cluster, "10.64.1.1")
        cluster.detach("10.64.1.1")
        cooling = eventually(lambda: cluster.allocations()["10.64.1.1"], lambda one: one.status.phase == "Cooling", what="it rests")
        cluster.pods("app", wants, owner, 2)
        message = eventually(lambda: cluster.refusal("app-rs-2"), bool, what="a reason")
        after = eventually(
            cluster.allocations,
            lambda held: bool(held) and held["10.64.1.1"].metadata.uid != cooling.metadata.uid,
            what="the next holder",
        )
    assert "no free address" in message
    assert after["10.64.1.1"].spec.pod.name == "app-rs-2"


def test_the_api_servers_clock_is_known_from_its_answers(cluster: Cluster) -> None:
    async def read() -> float:
        async with Api(load(cluster.server.kubeconfig), user_agent="test") as api:
            before = api.server_time()
            await api.get(paths.named(paths.NAMESPACES, "default"), PartialObject)
            return (api.server_time() - before).total_seconds()

    drift = asyncio.run(read())
    assert -1.5 < drift < 5
