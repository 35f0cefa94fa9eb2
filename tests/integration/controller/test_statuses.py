"""What subnets and pools report, and how seldom."""

from __future__ import annotations

import json
import time
from typing import Any

from netmgr.api import spider
from netmgr.api.meta import Condition, Json, PartialObject
from netmgr.controller.pods import seconds_text
from netmgr.kube import paths
from tests.integration.controller.cluster import Cluster
from tests.waiting import eventually


def one(cluster: Cluster) -> str:
    """This test's pool: Pods of other tests wait for theirs in the same cluster."""
    return f"one-{cluster.namespace}"


def wants(cluster: Cluster) -> dict[str, str]:
    return {"ipam.spidernet.io/ippool": json.dumps({"ipv4": [one(cluster)]})}


def said(conditions: list[Condition] | None) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in conditions or ()}


def of_pool(cluster: Cluster, name: str) -> dict[str, tuple[str, str]]:
    pool = cluster.read_pool(name)
    return said(pool.status.conditions if pool else None)


def patch_pool(cluster: Cluster, name: str, spec: Json) -> None:
    cluster.call(lambda api: api.merge_patch(paths.named(spider.POOLS, name), {"spec": spec}, PartialObject))


def events_about(cluster: Cluster, kind: str, name: str) -> list[str]:
    """Reasons and messages of Events about a cluster-scoped object."""
    selector = f"involvedObject.kind={kind},involvedObject.name={name}"
    path = paths.in_namespace(paths.EVENTS, "default")
    found: list[Json] = cluster.call(lambda api: api.list(path, dict[str, Any], field_selector=selector))
    return [f"{one['reason']}: {one['message']}" for one in found]


def pod_of(cluster: Cluster, number: int, count: int) -> None:
    owner = cluster.deployment(f"app{number}", 1, wants(cluster))
    cluster.pods(f"app{number}", wants(cluster), owner, 1)
    cluster.held(count)


def test_a_pool_counts_what_is_free_and_says_when_nothing_is(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.pool(one(cluster), "10.72.0.0/16", "10.72.1.1-10.72.1.3")
        pod_of(cluster, 1, 1)
        pool = eventually(
            lambda: cluster.read_pool(one(cluster)), lambda pool: pool is not None and pool.status.free_ip_count == 2, what="2 free"
        )
        assert pool is not None
        assert (pool.status.free_ranges, pool.status.cooling_ip_count) == (["10.72.1.2-10.72.1.3"], 0)
        assert said(pool.status.conditions)["Exhausted"] == ("False", "AddressesFree")
        pod_of(cluster, 2, 2)
        pod_of(cluster, 3, 3)
        seen = eventually(lambda: of_pool(cluster, one(cluster)), lambda all_: all_["Exhausted"][0] == "True", what="exhausted")
        assert (seen["Exhausted"][1], seen["Ready"]) == ("NoFreeAddress", ("True", "Ready"))
        eventually(
            lambda: events_about(cluster, "SpiderIPPool", one(cluster)), lambda seen: "NoFreeAddress" in str(seen), what="an Event"
        )


def test_a_transition_time_moves_only_with_its_status(cluster: Cluster) -> None:
    def condition(type_: str) -> Condition:
        pool = cluster.read_pool(one(cluster))
        return next(one for one in (pool.status.conditions if pool else None) or [Condition(type_, "")] if one.type == type_)

    with cluster.controller():
        cluster.pool(one(cluster), "10.72.0.0/16", "10.72.1.1-10.72.1.3")
        first = eventually(lambda: condition("Ready"), lambda one: one.status == "True", what="ready")
        time_before = first.last_transition_time
        eventually(seconds_text, lambda now: now > (time_before or ""), what="another second than that of the transition")
        patch_pool(cluster, one(cluster), {"ips": ["10.72.1.1-10.72.1.4"]})
        same = eventually(lambda: condition("Ready"), lambda one: (one.observed_generation or 0) > (first.observed_generation or 0))
        assert same.last_transition_time == time_before
        patch_pool(cluster, one(cluster), {"disable": True})
        other = eventually(lambda: condition("Ready"), lambda one: one.status == "False", what="disabled")
        assert (other.reason, other.last_transition_time != time_before) == ("Disabled", True)


def test_reserving_an_address_in_use_warns_on_both_objects_and_takes_it_from_nobody(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.pool(one(cluster), "10.72.0.0/16", "10.72.1.1-10.72.1.3")
        pod_of(cluster, 1, 1)
        cluster.reserve("gateways", "10.72.1.1")
        expected = ("True", "ReservedAddressHeld")
        eventually(lambda: of_pool(cluster, one(cluster)), lambda seen: seen.get("ReservedInUse") == expected, what="the condition")
        told = eventually(lambda: events_about(cluster, "SpiderReservedIP", "gateways"), bool, what="the Event")
        assert f"10.72.1.1 is in use by Pod {cluster.namespace}/app1-rs-1" in told[0]
        assert set(cluster.allocations()) == {"10.72.1.1"}
        cluster.delete(spider.RESERVED, "gateways")
        eventually(
            lambda: of_pool(cluster, one(cluster))["ReservedInUse"], lambda seen: seen == ("False", "NoneHeld"), what="it ends"
        )


def test_a_subnet_says_what_no_pool_has(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.subnet("s", "10.72.0.0/16", "10.72.1.0-10.72.1.3")
        cluster.pool(one(cluster), "10.72.0.0/16", "10.72.1.0-10.72.1.1")
        subnet = eventually(lambda: cluster.read_subnet("s"), lambda one: one.status.free_ip_count == 2, what="2 free")
        assert (subnet.status.free_ranges, said(subnet.status.conditions)["Ready"]) == (["10.72.1.2-10.72.1.3"], ("True", "Ready"))
        patch_pool(cluster, one(cluster), {"ips": ["10.72.1.0-10.72.1.3"]})
        seen = eventually(lambda: said(cluster.read_subnet("s").status.conditions), lambda all_: all_["Exhausted"][0] == "True")
        assert seen["Exhausted"] == ("True", "NoFreeAddress")


def test_a_prefix_of_more_addresses_than_a_status_can_count_is_reported(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.subnet("six", "fd00:72::/64", "fd00:72::1-fd00:72::ffff:ffff:ffff:ffff")
        subnet = eventually(lambda: cluster.read_subnet("six"), lambda one: one.status.total_ip_count is not None, what="a count")
    assert subnet.status.total_ip_count == 2**63 - 1


def test_a_pool_whose_addresses_come_and_go_is_written_once_a_second_at_most(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.pool(one(cluster), "10.72.0.0/16", "10.72.1.1-10.72.1.200")
        owner = cluster.deployment("many", 60, wants(cluster))
        began = time.monotonic()
        for start in range(0, 60, 10):
            cluster.pods("many", wants(cluster), owner, *range(start, start + 10))
        cluster.held(60)
        eventually(
            lambda: cluster.read_pool(one(cluster)),
            lambda pool: pool is not None and pool.status.allocated_ip_count == 60,
            what="60",
        )
        seconds = time.monotonic() - began
        assert len(status_writes(cluster, one(cluster))) <= seconds + 2


def status_writes(cluster: Cluster, pool: str) -> list[Json]:
    """Requests of the controller that wrote the pool's status, from the API server's audit log."""
    lines = (cluster.server.folder / "audit.log").read_text().splitlines()
    path = f"{paths.named(spider.POOLS, pool)}/status"
    found = [json.loads(line) for line in lines if path in line]
    uid_time = cluster.read_pool(pool)
    assert uid_time is not None
    since = uid_time.metadata.creation_timestamp
    return [one for one in found if one["requestURI"].startswith(path) and one["requestReceivedTimestamp"] >= since]
