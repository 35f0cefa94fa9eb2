"""Orders of events that a state machine seldom hits: each is told step by step on the virtual clock."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipam.prefix import RangeSet
from netmgr.api import allocation, spider
from netmgr.api.meta import Json
from netmgr.kube import paths
from tests.twins import Fault
from tests.unit.lives.cluster import SPACE, Cluster
from tests.unit.lives.invariants import FAMILY

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


def replica_set(cluster: Cluster) -> Json:
    """That of a Deployment whose Pods take their addresses from pool p."""
    cluster.workload("Deployment", paths.DEPLOYMENTS, "web", 2, FROM_POOL)
    return cluster.twin.of(paths.REPLICA_SETS)[0]


def bind(cluster: Cluster, owner: Json, number: int) -> None:
    cluster.bind_pod(owner, "ReplicaSet", f"web-rs-{number}", "web", "n1", FROM_POOL)


def holders(cluster: Cluster) -> dict[str, str]:
    """Pods by address."""
    return {one["spec"]["address"]: one["spec"]["pod"]["name"] for one in cluster.allocations()}


def book(cluster: Cluster) -> Json:
    """What the book of subnet s says."""
    found: Json = json.loads(cluster.twin.objects[spider.SUBNETS, "", "s"].get("status", {}).get("controlledIPPools") or "{}")
    return found


def force_delete(cluster: Cluster, name: str) -> None:
    cluster.delete(paths.named(paths.PODS, name, namespace=SPACE), gracePeriodSeconds=0)


def test_a_pod_that_was_attached_again_after_a_reboot_is_not_proved_gone_by_that_reboot(cluster: Cluster) -> None:
    cluster.pool("p", PREFIX, "10.250.0.10")
    bind(cluster, replica_set(cluster), 1)
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


def test_a_pool_that_is_about_to_shrink_gives_nothing_of_its_tail_however_often_it_is_asked(cluster: Cluster) -> None:
    cluster.pool("p", PREFIX, "10.250.0.10-10.250.0.13")
    cluster.pass_time(2.0)
    world = cluster.leaders[0].controller.world
    world.shrink("p", RangeSet.parse(FAMILY, ["10.250.0.10-10.250.0.11"]))
    assert [(ledger.addresses.size if (ledger := world.ledger("p")) else 0) for _ in range(2)] == [2, 2]
    world.end_shrink("p")
    assert (ledger.addresses.size if (ledger := world.ledger("p")) else 0) == 4


def test_an_address_that_was_asked_for_in_vain_goes_to_the_pod_that_found_the_pool_full(cluster: Cluster) -> None:
    cluster.pool("p", PREFIX, "10.250.0.10")
    owner = replica_set(cluster)
    cluster.pass_time(2.0)
    cluster.leaders[0].api.faults.append(Fault.LOST)
    bind(cluster, owner, 1)
    cluster.pass_time(0.004)
    bind(cluster, owner, 2)
    cluster.pass_time(0.012)
    force_delete(cluster, "web-rs-1")
    cluster.pass_time(5.0)
    assert holders(cluster) == {"10.250.0.10": "web-rs-2"}
    handler: Any = cluster.leaders[0].controller.handlers["pod"]
    assert handler.__self__.refused == {}


def test_an_address_that_another_pools_claim_held_is_given_out_once_that_is_gone(cluster: Cluster) -> None:
    cluster.pool("p", PREFIX, "10.250.0.10")
    spec = {"address": "10.250.0.10", "prefixLength": 24, "pool": "gone", "nodeName": "n9", "interface": "eth0", "siblings": 1}
    nobody = {"namespace": SPACE, "name": "nobody", "uid": "nobody"}
    body = {"metadata": {"name": "10.250.0.10"}, "spec": {**spec, "claimant": {"kind": "Pod"}, "pod": nobody}}
    cluster.create(allocation.ALLOCATIONS, body)
    bind(cluster, replica_set(cluster), 1)
    cluster.pass_time(2.0)
    assert holders(cluster) == {"10.250.0.10": "nobody"}
    cluster.delete(paths.named(allocation.ALLOCATIONS, "10.250.0.10"))
    cluster.pass_time(2.0)
    assert holders(cluster) == {"10.250.0.10": "web-rs-1"}


def test_a_forged_ordinal_takes_nothing_from_the_living_one_whose_sandbox_has_died(cluster: Cluster) -> None:
    cluster.pool("p", PREFIX, "10.250.0.10")
    owner = cluster.workload("StatefulSet", paths.STATEFUL_SETS, "db", 1, FROM_POOL)
    cluster.bind_pod(owner, "StatefulSet", "db-0", "db", "n1", FROM_POOL)
    cluster.kubelet("n1")
    cluster.pass_time(1.0)
    cluster.end_sandbox("n1", 0)
    cluster.late_del("n1", 0)
    cluster.pass_time(1.0)
    cluster.bind_pod(owner, "StatefulSet", "db-00", "db", "n2", FROM_POOL)
    cluster.pass_time(30.0)
    assert holders(cluster) == {"10.250.0.10": "db-0"}


def test_the_range_of_a_pool_that_is_gone_is_given_back_whatever_kind_its_application_was_of(cluster: Cluster) -> None:
    cluster.subnet("s", PREFIX, "10.250.0.8-10.250.0.27")
    entry = {"ghost": {"ips": ["10.250.0.8-10.250.0.11"], "application": "example.com_v1_Rollout_space_web"}}
    cluster.kill_leader()
    cluster.patch(paths.named(spider.SUBNETS, "s", "status"), {"status": {"controlledIPPools": json.dumps(entry)}})
    cluster.start_leader()
    cluster.pass_time(5.0)
    assert book(cluster) == {}


def test_what_a_pool_made_by_hand_has_just_grown_by_is_not_carved(cluster: Cluster) -> None:
    cluster.subnet("s", PREFIX, "10.250.0.8-10.250.0.27")
    cluster.pool("m", PREFIX, "10.250.0.8-10.250.0.9")
    cluster.pass_time(3.0)
    for last in (10, 15):  # the second one is in the book a second after the first
        cluster.patch(paths.named(spider.POOLS, "m"), {"spec": {"ips": [f"10.250.0.8-10.250.0.{last}"]}})
        cluster.pass_time(0.1)
    notes = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "12"}
    cluster.workload("Deployment", paths.DEPLOYMENTS, "web", 1, notes)
    cluster.pass_time(5.0)
    assert {name: entry["ips"] for name, entry in book(cluster).items() if name != "m"}.popitem()[1] == ["10.250.0.16-10.250.0.27"]


def test_a_pool_grows_by_nothing_that_a_write_of_which_nobody_learned_has_given_back(cluster: Cluster) -> None:
    cluster.subnet("s", PREFIX, "10.250.0.8-10.250.0.27")
    notes = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "+0"}
    cluster.workload("Deployment", paths.DEPLOYMENTS, "web", 2, notes)
    cluster.pass_time(5.0)
    path = paths.named(paths.DEPLOYMENTS, "web", namespace=SPACE)
    cluster.stall(0, spider.SUBNETS)
    cluster.leaders[0].api.faults.extend([Fault.SLOW, Fault.UNHEARD, Fault.UNHEARD])
    cluster.patch(path, {"spec": {"replicas": 1}})
    cluster.pass_time(3.2)
    assert [entry["ips"] for entry in book(cluster).values()] == [["10.250.0.8"]]
    cluster.patch(path, {"spec": {"replicas": 2}})
    for _ in range(50):
        cluster.pass_time(0.1)
        cluster.invariants.look()
    assert [one["spec"]["ips"] for one in cluster.twin.of(spider.POOLS)] == [["10.250.0.8-10.250.0.9"]]


def test_a_leader_that_ends_between_two_claims_of_a_pod_leaves_it_to_the_next_one(cluster: Cluster) -> None:
    cluster.pool("p", PREFIX, "10.250.0.10-10.250.0.19")
    choice = [{"interface": "eth0", "ipv4": ["p"]}, {"interface": "net1", "ipv4": ["p"]}]
    notes = {"ipam.spidernet.io/ippools": json.dumps(choice), "k8s.v1.cni.cncf.io/networks": f"{SPACE}/other"}
    cluster.workload("Deployment", paths.DEPLOYMENTS, "web", 1, notes)
    cluster.bind_pod(cluster.twin.of(paths.REPLICA_SETS)[0], "ReplicaSet", "web-rs-1", "web", "n1", notes)
    cluster.pass_time(2.0)
    assert {one["spec"]["interface"] for one in cluster.allocations()} == {"eth0", "net1"}
    cluster.kill_leader()
    cluster.delete(paths.named(allocation.ALLOCATIONS, "10.250.0.11"))  # as if it had never been asked for
    cluster.start_leader()
    cluster.pass_time(5.0)
    assert {one["spec"]["interface"] for one in cluster.allocations()} == {"eth0", "net1"}


def test_a_leader_that_ends_between_two_families_of_a_pod_leaves_the_other_to_the_next_one(cluster: Cluster) -> None:
    cluster.pool("p", PREFIX, "10.250.0.10")
    cluster.pool("q", "fd00:250::/64", "fd00:250::10")
    notes = {"ipam.spidernet.io/ippool": '{"ipv4":["p"],"ipv6":["q"]}'}
    cluster.workload("Deployment", paths.DEPLOYMENTS, "web", 1, notes)
    cluster.kill_leader()
    cluster.bind_pod(cluster.twin.of(paths.REPLICA_SETS)[0], "ReplicaSet", "web-rs-1", "web", "n1", notes)
    uid = cluster.pods()[0]["metadata"]["uid"]
    spec = {"address": "10.250.0.10", "prefixLength": 24, "pool": "p", "nodeName": "n1", "interface": "eth0", "siblings": 2}
    holder = {"namespace": SPACE, "name": "web-rs-1", "uid": uid}
    cluster.create(allocation.ALLOCATIONS, {"metadata": {"name": "10.250.0.10"}, "spec": {**spec, "claimant": {}, "pod": holder}})
    cluster.start_leader()
    cluster.pass_time(5.0)
    assert {one["spec"]["pool"] for one in cluster.allocations()} == {"p", "q"}


def test_an_application_whose_pool_is_being_deleted_gets_another_for_its_new_pods(cluster: Cluster) -> None:
    cluster.subnet("s", PREFIX, "10.250.0.8-10.250.0.27")
    notes = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}'}
    cluster.workload("Deployment", paths.DEPLOYMENTS, "web", 1, notes)
    owner = cluster.twin.of(paths.REPLICA_SETS)[0]
    cluster.bind_pod(owner, "ReplicaSet", "web-rs-1", "web", "n1", notes)
    cluster.pass_time(5.0)
    first = cluster.twin.of(spider.POOLS)[0]["metadata"]["name"]
    cluster.delete(paths.named(spider.POOLS, first))
    cluster.bind_pod(owner, "ReplicaSet", "web-rs-2", "web", "n1", notes)
    cluster.pass_time(60.0)
    assert set(holders(cluster).values()) == {"web-rs-1", "web-rs-2"}
    assert len({one["spec"]["pool"] for one in cluster.allocations()}) == 2
