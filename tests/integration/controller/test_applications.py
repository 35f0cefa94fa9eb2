"""An application's pool is made, grows and shrinks with its replicas, and goes with it."""

from __future__ import annotations

from netmgr.kube import paths
from tests.integration.controller.cluster import Cluster
from tests.waiting import eventually

WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["nginx-subnet-v4"]}', "ipam.spidernet.io/ippool-ip-number": "+3"}


def test_the_walkthrough_sizes_five_six_five_and_nothing_left(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.subnet("nginx-subnet-v4", "10.244.0.0/16", "10.244.100.0-10.244.200.1")
        owner = cluster.deployment("nginx", 2, WANTS)
        cluster.pods("nginx", WANTS, owner, 1, 2)
        first = set(cluster.held(2))
        eventually(lambda: cluster.pool_counts("nginx"), lambda counts: counts == (2, 5), what="2 of 5")
        pool = cluster.auto_pool("nginx")
        assert pool is not None
        assert pool.metadata.name.startswith("auto-nginx-v4-eth0-")
        cluster.scale("nginx", 3)
        cluster.pods("nginx", WANTS, owner, 3)
        assert first < set(cluster.held(3))
        eventually(lambda: cluster.pool_counts("nginx"), lambda counts: counts == (3, 6), what="3 of 6")
        cluster.delete(paths.PODS, "nginx-rs-3", gracePeriodSeconds=0)
        cluster.scale("nginx", 2)
        third = next(iter(set(cluster.allocations()) - first))
        eventually(lambda: cluster.allocations()[third].status.phase, lambda phase: phase == "Releasing", what="the question")
        cluster.detach(third)
        assert set(cluster.held(2)) == first
        eventually(lambda: cluster.pool_counts("nginx"), lambda counts: counts == (2, 5), what="2 of 5 again")
        for number in (1, 2):
            cluster.delete(paths.PODS, f"nginx-rs-{number}", gracePeriodSeconds=0)
        cluster.delete(paths.DEPLOYMENTS, "nginx")
        for name in first:
            cluster.detach(name)
        eventually(lambda: cluster.auto_pool("nginx"), lambda found: found is None, what="the pool is gone")
        eventually(
            lambda: cluster.read_subnet("nginx-subnet-v4").status.allocated_ip_count, lambda n: n == 0, what="the subnet is whole"
        )


def test_a_manual_pool_counts_what_its_pods_hold(cluster: Cluster) -> None:
    wants = {"ipam.spidernet.io/ippool": '{"ipv4":["by-hand"]}'}
    with cluster.controller():
        cluster.subnet("s", "10.244.0.0/16", "10.244.100.0-10.244.200.1")
        cluster.pool("by-hand", "10.244.0.0/16", "10.244.120.10-10.244.120.20")
        owner = cluster.deployment("nginx-m", 2, wants)
        cluster.pods("nginx-m", wants, owner, 1, 2)
        assert set(cluster.held(2)) == {"10.244.120.10", "10.244.120.11"}

        def counts() -> tuple[int | None, int | None]:
            pool = cluster.read_pool("by-hand")
            return (pool.status.allocated_ip_count, pool.status.total_ip_count) if pool else (None, None)

        eventually(counts, lambda seen: seen == (2, 11), what="2 of 11")


def test_a_reserved_address_is_given_to_nobody_and_the_pool_makes_up_for_it(cluster: Cluster) -> None:
    wants = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "3"}
    with cluster.controller():
        cluster.subnet("s", "10.60.0.0/16", "10.60.1.0-10.60.1.31")
        cluster.reserve("gateways", "10.60.1.0", "10.60.1.9")
        owner = cluster.deployment("app", 3, wants)
        eventually(lambda: cluster.pool_counts("app"), lambda counts: counts == (0, 3), what="a pool of 3")
        pool = cluster.auto_pool("app")
        assert pool is not None
        cluster.reserve("later", (pool.spec.ips or [""])[0].partition("-")[0])
        eventually(lambda: cluster.pool_counts("app"), lambda counts: counts == (0, 4), what="one address more")
        cluster.pods("app", wants, owner, 1, 2, 3)
        held = set(cluster.held(3))
        later = cluster.reserved("later")
    assert held.isdisjoint({"10.60.1.0", "10.60.1.9", *later})


def test_the_second_subnet_serves_where_the_first_has_no_room(cluster: Cluster) -> None:
    wants = {"ipam.spidernet.io/subnet": '{"ipv4":["tiny","roomy"]}', "ipam.spidernet.io/ippool-ip-number": "5"}
    with cluster.controller():
        cluster.subnet("tiny", "10.60.0.0/24", "10.60.0.1-10.60.0.3")
        cluster.subnet("roomy", "10.61.0.0/24", "10.61.0.1-10.61.0.30")
        cluster.deployment("app", 1, wants)
        pool = eventually(lambda: cluster.auto_pool("app"), lambda found: found is not None, what="a pool")
    assert pool is not None
    assert pool.spec.subnet == "10.61.0.0/24"


def test_an_application_that_names_another_subnet_moves_there_and_loses_no_pod(cluster: Cluster) -> None:
    wants = {"ipam.spidernet.io/subnet": '{"ipv4":["one"]}', "ipam.spidernet.io/ippool-ip-number": "2"}
    moved = wants | {"ipam.spidernet.io/subnet": '{"ipv4":["two"]}'}
    with cluster.controller():
        cluster.subnet("one", "10.60.0.0/24", "10.60.0.1-10.60.0.30")
        cluster.subnet("two", "10.61.0.0/24", "10.61.0.1-10.61.0.30")
        owner = cluster.deployment("app", 1, wants)
        cluster.pods("app", wants, owner, 1)
        old = next(iter(cluster.held(1)))
        cluster.annotate("app", moved)
        eventually(lambda: cluster.subnets_of("app"), lambda found: found == ["10.60.0.0/24", "10.61.0.0/24"], what="two pools")
        told = eventually(lambda: cluster.event_messages("app"), bool, what="a word")
        cluster.pods("app", moved, owner, 2)
        new = next(iter(set(cluster.held(2)) - {old}))
        cluster.delete(paths.PODS, "app-rs-1", gracePeriodSeconds=0)
        eventually(lambda: cluster.allocations()[old].status.phase, lambda phase: phase == "Releasing", what="the question")
        cluster.detach(old)
        eventually(lambda: cluster.subnets_of("app"), lambda found: found == ["10.61.0.0/24"], what="the old pool is gone")
        eventually(lambda: cluster.book("one"), lambda book: "app" not in book, what="its range is given back")
    assert new.startswith("10.61.0.")
    assert any("goes with the last of them" in text for text in told)


def test_a_rollout_without_a_spare_address_says_what_is_wrong(cluster: Cluster) -> None:
    wants = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "+0"}
    with cluster.controller():
        cluster.subnet("s", "10.60.0.0/24", "10.60.0.1-10.60.0.30")
        owner = cluster.deployment("app", 1, wants)
        cluster.pods("app", wants, owner, 1)
        cluster.held(1)
        cluster.pods("app", wants, owner, 2)
        message = eventually(lambda: cluster.refusal("app-rs-2"), bool, what="a reason on the surge Pod")
        told = eventually(lambda: cluster.event_messages("app"), bool, what="a word on the Deployment")
    assert "maxUnavailable" in message
    assert '"+1"' in message
    assert any("maxUnavailable" in text for text in told)


def test_the_same_name_in_two_namespaces_is_two_applications(cluster: Cluster, other: Cluster) -> None:
    wants = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "2"}
    with cluster.controller():
        cluster.subnet("s", "10.60.0.0/24", "10.60.0.1-10.60.0.30")
        for one in (cluster, other):
            one.pods("app", wants, one.deployment("app", 1, wants), 1)
        mine, theirs = cluster.held(1), other.held(1)
    assert {one.spec.pool for one in mine.values()}.isdisjoint({one.spec.pool for one in theirs.values()})
    assert set(mine).isdisjoint(theirs)


def test_a_name_of_more_than_63_characters_has_a_pool(cluster: Cluster) -> None:
    name = "a-very-long-name-" * 9 + "end"
    wants = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "2"}
    with cluster.controller():
        cluster.subnet("s", "10.60.0.0/24", "10.60.0.1-10.60.0.30")
        owner = cluster.deployment(name, 1, wants)
        cluster.pods(name, wants, owner, 1)
        held = cluster.held(1)
    assert all(one.spec.pool.startswith("auto-a-very-long-name-") for one in held.values())


def test_a_pool_that_outlives_its_application_serves_the_next_one_of_that_name(cluster: Cluster) -> None:
    wants = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-reclaim": "false"}
    with cluster.controller():
        cluster.subnet("s", "10.60.0.0/24", "10.60.0.1-10.60.0.30")
        cluster.deployment("app", 1, wants)
        before = eventually(lambda: cluster.auto_pool("app"), lambda found: found is not None, what="a pool")
        cluster.delete(paths.DEPLOYMENTS, "app")
        cluster.delete(paths.REPLICA_SETS, "app-rs")
        owner = cluster.deployment("app", 3, wants)
        cluster.pods("app", wants, owner, 1)
        held = cluster.held(1)
        eventually(lambda: cluster.pool_counts("app"), lambda counts: counts == (1, 4), what="sized for the new one")
        after = cluster.pools_of("app")
    assert before is not None
    assert [one.metadata.uid for one in after] == [before.metadata.uid]
    assert all(one.spec.pool == before.metadata.name for one in held.values())


def test_what_the_first_subnet_cannot_grow_by_comes_from_the_second(cluster: Cluster) -> None:
    wants = {"ipam.spidernet.io/subnet": '{"ipv4":["tiny","roomy"]}', "ipam.spidernet.io/ippool-ip-number": "+0"}
    with cluster.controller():
        cluster.subnet("tiny", "10.60.0.0/24", "10.60.0.1-10.60.0.3")
        cluster.subnet("roomy", "10.61.0.0/24", "10.61.0.1-10.61.0.30")
        owner = cluster.deployment("app", 2, wants)
        cluster.pods("app", wants, owner, 1, 2)
        first = set(cluster.held(2))
        cluster.scale("app", 5)
        cluster.pods("app", wants, owner, 3, 4, 5)
        held = set(cluster.held(5))
    assert first < held
    assert {name for name in held if name.startswith("10.60.")} == {"10.60.0.1", "10.60.0.2", "10.60.0.3"}
    assert len({name for name in held if name.startswith("10.61.")}) == 2
