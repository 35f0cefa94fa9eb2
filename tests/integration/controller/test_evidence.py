"""Two facts free an address: its Pod needs it no more, and nothing is attached. One of them alone never does."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from ipam.release import Fence
from netmgr.api import allocation, spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json, Meta, PartialObject
from netmgr.controller.fencing import fenced
from netmgr.controller.world import Key, World
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.keyed_queue import KeyedQueue
from tests.integration.controller.cluster import Cluster
from tests.integration.controller.lost_node import LOST, LostNode, asked_for, condition, pod_events
from tests.waiting import eventually

WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "2"}
SUCCEEDED: Json = {"phase": "Succeeded"}
EVICTED: Json = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}


def one_pod(cluster: Cluster, node: str = LOST) -> str:
    """The address of an application's only Pod, which is called `app-rs-1`."""
    cluster.subnet("s", "10.75.0.0/16", "10.75.1.0-10.75.1.255")
    owner = cluster.deployment("app", 1, WANTS)
    cluster.pods("app", WANTS, owner, 1, node=node)
    return next(iter(cluster.held(1)))


def ends(cluster: Cluster, status: Json) -> None:
    path = paths.named(paths.PODS, "app-rs-1", "status", namespace=cluster.namespace)
    cluster.call(lambda api: api.merge_patch(path, {"status": status}, PartialObject))


def report(cluster: Cluster, address: str, status: Json) -> None:
    """Write an allocation's status."""
    path = paths.named(allocation.ALLOCATIONS, address, "status")
    cluster.call(lambda api: api.merge_patch(path, {"status": status}, PartialObject))


def pool_of(cluster: Cluster, address: str) -> str:
    return cluster.allocations()[address].spec.pool


@pytest.mark.parametrize("status", [SUCCEEDED, EVICTED], ids=["completed", "evicted"])
def test_a_pod_that_has_ended_keeps_its_address_until_its_sandbox_is_detached(cluster: Cluster, status: Json) -> None:
    with cluster.controller():
        address = one_pod(cluster, "node-a")
        ends(cluster, status)
        asked_for(cluster, address)
        assert set(cluster.allocations()) == {address}
        cluster.detach(address)
        cluster.held(0)


def test_an_evicted_pods_address_serves_its_successor_while_the_object_of_the_pod_is_still_there(cluster: Cluster) -> None:
    exact = WANTS | {"ipam.spidernet.io/ippool-ip-number": "1"}
    with cluster.controller():
        cluster.subnet("s", "10.75.0.0/16", "10.75.1.0-10.75.1.255")
        owner = cluster.deployment("app", 1, exact)
        cluster.pods("app", exact, owner, 1)
        address = next(iter(cluster.held(1)))
        ends(cluster, EVICTED)
        cluster.pods("app", exact, owner, 2)
        asked_for(cluster, address)
        cluster.detach(address)
        eventually(
            cluster.allocations, lambda held: address in held and held[address].spec.pod.name == "app-rs-2", what="handed on"
        )


def test_a_del_of_a_living_pod_frees_nothing(cluster: Cluster) -> None:
    """Its sandbox is made anew, with the same address."""
    with cluster.controller():
        address = one_pod(cluster, "node-a")
        cluster.detach(address)
        second = cluster.deployment("other", 1, WANTS)
        cluster.pods("other", WANTS, second, 1)
        assert address in cluster.held(2)


def test_a_report_about_an_earlier_holder_frees_nothing(cluster: Cluster) -> None:
    with cluster.controller():
        address = one_pod(cluster, "node-a")
        report(cluster, address, {"phase": "Detached", "podUID": "an-earlier-one"})
        cluster.delete(paths.PODS, "app-rs-1", gracePeriodSeconds=0)
        asked_for(cluster, address)
        assert set(cluster.allocations()) == {address}


def test_a_node_that_is_not_ready_frees_nothing_without_the_pools_grace(cluster: Cluster, lost: LostNode) -> None:
    with cluster.controller():
        address = one_pod(cluster)
        lost.goes_silent()
        cluster.delete(paths.PODS, "app-rs-1", gracePeriodSeconds=0)
        asked_for(cluster, address)
        report(cluster, address, {"releasingSince": "2026-01-01T00:00:00Z"})
        pool = pool_of(cluster, address)
        eventually(lambda: pod_events(cluster, pool), lambda told: "ReleaseWaits" in str(told), what="what it waits for")
        assert set(cluster.allocations()) == {address}


def test_the_grace_does_not_begin_while_the_agent_lives(cluster: Cluster, lost: LostNode) -> None:
    """The kubelet is lost, the agent is not: it will answer."""
    with cluster.controller():
        address = one_pod(cluster)
        path = paths.named(spider.POOLS, pool_of(cluster, address))
        cluster.call(lambda api: api.merge_patch(path, {"spec": {"nodeLostGraceSeconds": 30}}, PartialObject))
        lost.status({"conditions": [condition("Unknown")]})
        cluster.delete(paths.PODS, "app-rs-1", gracePeriodSeconds=0)
        asked_for(cluster, address)
        report(cluster, address, {"releasingSince": "2026-01-01T00:00:00Z", "message": "looked at again"})
        second = cluster.deployment("other", 1, WANTS)
        cluster.pods("other", WANTS, second, 1)
        assert address in cluster.held(2)


def test_an_agent_that_falls_silent_before_it_answers_is_noticed_without_an_event(cluster: Cluster, lost: LostNode) -> None:
    """A Lease that is no longer renewed is no event, and the Node need not change either."""
    lost.status({"conditions": [condition("Unknown")]})
    cluster.delete(paths.LEASES, f"netmgr-agent-{LOST}")
    with cluster.controller():
        cluster.agent(LOST, seconds=6)
        address = one_pod(cluster)
        pool = pool_of(cluster, address)
        cluster.delete(paths.PODS, "app-rs-1", gracePeriodSeconds=0)
        asked_for(cluster, address)
        assert "ReleaseWaits" not in str(pod_events(cluster, pool))
        eventually(lambda: pod_events(cluster, pool), lambda told: "ReleaseWaits" in str(told), what="the silence is noticed")


def test_a_controller_that_hears_no_agent_does_not_take_that_for_the_agents_silence(cluster: Cluster, lost: LostNode) -> None:
    """Its watch of Leases may be what is broken: the Lease is read before a grace counts."""
    lost.status({"conditions": [condition("Unknown")]})

    async def judge(lease_is_there: bool) -> Fence:
        async with Api(load(cluster.server.kubeconfig), user_agent="test") as api:
            world = World(api, cluster.namespace, KeyedQueue[Key]("deaf"))
            await api.get(paths.named(paths.NODES, LOST), PartialObject)
            if not lease_is_there:
                await api.delete(paths.named(world.leases.path, f"netmgr-agent-{LOST}"))
            return await fenced(world, asked_long_ago(cluster.namespace), timedelta(seconds=30))

    assert asyncio.run(judge(lease_is_there=True)) is Fence.NONE
    assert asyncio.run(judge(lease_is_there=False)) is Fence.GRACE


def asked_long_ago(namespace: str) -> IPAllocation:
    """An allocation on the lost node whose agent was asked in another year."""
    holder = allocation.HolderPod(namespace=namespace, name="a", uid="u")
    spec = allocation.AllocationSpec(
        address="10.75.1.1",
        prefix_length=16,
        pool="p",
        node_name=LOST,
        interface="eth0",
        siblings=1,
        claimant=allocation.Claimant(),
        pod=holder,
        boot_id="boot-1",
    )
    status = allocation.AllocationStatus(phase="Releasing", pod_uid="u", releasing_since="2025-01-01T00:00:00Z")
    return IPAllocation(metadata=Meta(name="10.75.1.1"), spec=spec, status=status)
