"""Two controllers: whoever leads, however it ends, every Pod gets an address and no address is held twice."""

from __future__ import annotations

import msgspec

from netmgr.api import allocation
from netmgr.kube import paths
from netmgr.kube.errors import Conflict
from tests.integration.controller.cluster import Cluster, kill
from tests.waiting import eventually

WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "+2"}


def test_the_leader_killed_in_the_middle_of_forty_pods(cluster: Cluster) -> None:
    with cluster.controller("one") as leader:
        cluster.subnet("s", "10.60.0.0/16", "10.60.1.0-10.60.2.255")
        owner = cluster.deployment("many", 40, WANTS)
        eventually(lambda: cluster.pool_counts("many"), lambda counts: counts == (0, 42), what="a pool of 42")
        with cluster.controller("two"):
            cluster.pods("many", WANTS, owner, *range(5))
            cluster.held(5)
            kill(leader)
            cluster.pods("many", WANTS, owner, *range(5, 40))
            held = cluster.held(40, within=60)
    assert len({one.spec.pod.uid for one in held.values()}) == 40


def test_a_second_address_of_a_write_that_nobody_waited_for_is_freed(cluster: Cluster) -> None:
    """A leader that is killed with a create on its way leaves an address beside the one that its successor chose."""
    with cluster.controller():
        cluster.subnet("s", "10.60.0.0/16", "10.60.1.0-10.60.2.255")
        owner = cluster.deployment("one", 1, WANTS)
        cluster.pods("one", WANTS, owner, 1)
        name, first = next(iter(cluster.held(1).items()))
        second = "10.60.2.200"
        spec = msgspec.to_builtins(first.spec) | {"address": second}
        body = {"apiVersion": allocation.GROUP_VERSION, "kind": "IPAllocation", "metadata": {"name": second}, "spec": spec}
        cluster.create(allocation.ALLOCATIONS, body)
        eventually(lambda: cluster.allocations()[second].status.phase, lambda phase: phase == "Releasing", what="the question")
        assert cluster.allocations()[name].status.phase == ""
        cluster.detach(second)
        assert set(cluster.held(1)) == {name}


def test_an_entry_whose_pool_is_gone_is_closed_by_the_next_leader(cluster: Cluster) -> None:
    """A leader that is killed between the deletion of a pool and the write of the book leaves the range booked."""
    cluster.subnet("s", "10.60.0.0/16", "10.60.1.0-10.60.2.255")
    left = {"auto-gone-v4-eth0-0123456789ab": {"ips": ["10.60.1.0-10.60.1.3"], "application": "apps_v1_Deployment_default_gone"}}
    cluster.write_book("s", left)
    with cluster.controller():
        eventually(lambda: cluster.book("s"), lambda text: "gone" not in text, within=20, what="the entry is closed")


def test_a_stale_leaders_delete_is_refused(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.subnet("s", "10.60.0.0/16", "10.60.1.0-10.60.2.255")
        owner = cluster.deployment("one", 1, WANTS)
        cluster.pods("one", WANTS, owner, 1)
        name, stale = next(iter(cluster.held(1).items()))
        cluster.detach(name)
        path = paths.named(allocation.ALLOCATIONS, name)
        try:
            cluster.call(lambda api: api.delete(path, uid=stale.metadata.uid, resource_version=stale.metadata.resource_version))
        except Conflict as error:
            refused = str(error)
    assert name in refused
    assert set(cluster.allocations()) == {name}


def test_a_force_deleted_pod_keeps_its_address_until_the_agent_reports(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.subnet("s", "10.60.0.0/16", "10.60.1.0-10.60.2.255")
        owner = cluster.deployment("one", 1, WANTS)
        cluster.pods("one", WANTS, owner, 1)
        name = next(iter(cluster.held(1)))
        cluster.delete(paths.PODS, "one-rs-1", gracePeriodSeconds=0)
        eventually(lambda: cluster.allocations()[name].status.phase, lambda phase: phase == "Releasing", what="the question")
        cluster.pods("one", WANTS, owner, 2)
        assert name in cluster.held(2)
        cluster.detach(name)
        assert name not in cluster.held(1)
