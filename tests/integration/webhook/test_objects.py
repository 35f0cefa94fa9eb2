"""Subnets, pools and reservations: what the webhook fills in, and what it refuses, with the words that the author reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netmgr.api import spider
from netmgr.api.meta import Json, PartialObject
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.kube import paths
from netmgr.kube.errors import ApiError, Forbidden
from tests.integration.webhook.installed import Installed
from tests.waiting import eventually

EXAMPLES = Path(__file__).parents[3] / "examples"
FROM_ONE = {"ipam.spidernet.io/ippool": '{"ipv4":["one"]}'}
FROM_S = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "3"}


def body(kind: str, name: str, **spec: Any) -> Json:
    return {"apiVersion": spider.GROUP_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def refused(cluster: Installed, act: Any) -> str:
    with pytest.raises(Forbidden) as caught:
        cluster.call(act)
    return caught.value.message


def refused_change(cluster: Installed, collection: str, name: str, spec: Json) -> str:
    return refused(cluster, lambda api: api.merge_patch(paths.named(collection, name), {"spec": spec}, PartialObject))


def refused_deletion(cluster: Installed, collection: str, name: str) -> str:
    return refused(cluster, lambda api: api.delete(paths.named(collection, name)))


def in_use(cluster: Installed) -> str:
    """A pool `one` of 10.70.0.0/16 with a Pod; the address it holds."""
    cluster.pool("one", "10.70.0.0/16", "10.70.1.0-10.70.1.9")
    owner = cluster.deployment("app", 1, FROM_ONE)
    cluster.pods("app", FROM_ONE, owner, 1)
    address = next(iter(cluster.held(1)))
    eventually(
        lambda: cluster.read(paths.named(spider.POOLS, "one"), SpiderIPPool).status.allocated_ip_count,
        lambda count: count == 1,
        within=15,
        what="the pool counts it",
    )
    return address


def test_what_an_author_leaves_out_is_filled_in(cluster: Installed) -> None:
    routes = [{"dst": "10.9.0.0/16", "gw": "10.70.0.2"}]
    with cluster.asked():
        made = cluster.call(
            lambda api: api.create(
                spider.SUBNETS,
                body(
                    "SpiderSubnet", "s", subnet="10.70.0.0/16", gateway="10.70.0.1", routes=routes,
                    ips=["10.70.1.128-10.70.1.255", "10.70.1.0-10.70.1.127"],
                ),
                SpiderSubnet,
            )
        )  # fmt: skip
        eventually(lambda: cluster.read_subnet("s").status.accepted_ranges, bool, what="the subnet is accepted")
        one = cluster.call(
            lambda api: api.create(
                spider.POOLS,
                body("SpiderIPPool", "one", subnet="10.70.0.0/16", ips=["10.70.1.2", "10.70.1.1"], excludeIPs=["10.70.1.9"]),
                SpiderIPPool,
            )
        )
    assert (made.spec.ip_version, made.spec.ips) == (4, ["10.70.1.0-10.70.1.255"])
    assert made.metadata.labels == {"ipam.spidernet.io/subnet-cidr": "10-70-0-0-16"}
    assert (one.spec.ip_version, one.spec.ips, one.spec.gateway) == (4, ["10.70.1.1-10.70.1.2"], "10.70.0.1")
    assert [(route.dst, route.gw) for route in one.spec.routes] == [("10.9.0.0/16", "10.70.0.2")]
    assert one.metadata.labels == {
        "ipam.spidernet.io/ippool-cidr": "10-70-0-0-16",
        "ipam.spidernet.io/owner-spider-subnet": "s",
    }


def test_an_empty_list_of_routes_inherits_none(cluster: Installed) -> None:
    spec = {"subnet": "fd00:70::/64", "gateway": "fd00:70::1", "routes": [{"dst": "fd00:9::/64", "gw": "fd00:70::2"}]}
    with cluster.asked():
        cluster.create(spider.SUBNETS, body("SpiderSubnet", "s6", **spec, ips=["fd00:70::10-fd00:70::ff"]))
        eventually(lambda: cluster.read_subnet("s6").status.accepted_ranges, bool, what="the subnet is accepted")
        cluster.create(spider.POOLS, body("SpiderIPPool", "one", subnet="fd00:70::/64", ips=["fd00:70::10"], routes=[]))
        one = cluster.read(paths.named(spider.POOLS, "one"), SpiderIPPool)
    assert (one.spec.gateway, one.spec.routes) == ("fd00:70::1", [])


def test_the_example_of_gateway_and_routes_says_what_happens(cluster: Installed) -> None:
    with cluster.asked():
        example = (EXAMPLES / "gateway-and-routes.yaml").read_text()
        told = cluster.kubectl("apply", "-f", "-", stdin=example.partition("---")[0])
        eventually(lambda: cluster.read_subnet("routed").status.accepted_ranges, bool, what="the subnet is accepted")
        told += cluster.kubectl("apply", "-f", "-", stdin=example)
        both = cluster.read(paths.named(spider.POOLS, "inherits-both"), SpiderIPPool)
        gateway = cluster.read(paths.named(spider.POOLS, "inherits-the-gateway"), SpiderIPPool)
    assert told.count("created") == 3
    assert (both.spec.gateway, [route.dst for route in both.spec.routes or ()]) == ("10.246.0.1", ["10.9.0.0/16"])
    assert (gateway.spec.gateway, gateway.spec.routes) == ("10.246.0.1", [])


def test_the_controller_fills_in_what_came_while_no_webhook_answered(cluster: Installed) -> None:
    spec = {"subnet": "10.70.0.0/16", "gateway": "10.70.0.1", "ips": ["10.70.1.0-10.70.1.9"]}
    cluster.create(spider.SUBNETS, body("SpiderSubnet", "s", **spec))
    cluster.create(spider.POOLS, body("SpiderIPPool", "one", subnet="10.70.0.0/16", ips=["10.70.1.1"]))
    with cluster.asked():
        owner = cluster.deployment("app", 1, FROM_ONE)
        one = eventually(
            lambda: cluster.read(paths.named(spider.POOLS, "one"), SpiderIPPool),
            lambda pool: pool.spec.gateway is not None,
            what="the pool is completed",
        )
        cluster.pods("app", FROM_ONE, owner, 1)
        held = cluster.held(1)["10.70.1.1"]
    assert (one.spec.ip_version, one.spec.gateway) == (4, "10.70.0.1")
    assert held.spec.gateway == "10.70.0.1"


def test_a_route_with_host_bits_is_stored_in_its_canonical_form(cluster: Installed) -> None:
    with cluster.asked():
        routes = [{"dst": "10.9.0.7/16", "gw": "10.70.0.2"}]
        cluster.create(spider.POOLS, body("SpiderIPPool", "one", subnet="10.70.0.0/16", routes=routes))
        one = cluster.read(paths.named(spider.POOLS, "one"), SpiderIPPool)
    assert [route.dst for route in one.spec.routes] == ["10.9.0.0/16"]


BAD_POOLS = [
    (
        {"subnet": "10.70.0.0/24", "ips": ["10.70.0.1"]},
        "SpiderIPPool bad: subnet 10.70.0.0/24 overlaps SpiderSubnet s (10.70.0.0/16); write 10.70.0.0/16",
    ),
    (
        {"subnet": "10.70.0.0/16", "ips": ["10.70.1.40-10.70.2.9"]},
        "10.70.2.0-10.70.2.9 is not in spec.ips of SpiderSubnet s; add it there or choose others",
    ),
    (
        {"subnet": "10.70.0.0/16", "ips": ["10.70.1.5-10.70.1.15"]},
        "10.70.1.5-10.70.1.9 belongs to SpiderIPPool one, which is older; choose others",
    ),
    (
        {"subnet": "10.70.0.0/16", "ips": ["10.70.1.20-10.70.1.29"], "gateway": "10.70.1.25"},
        "gateway 10.70.1.25 is one of ips; take it out of ips or add it to excludeIPs",
    ),
    ({"subnet": "10.70.0.0/16", "ips": ["10.70.1.30-10.70.1.20"]}, "ends before it begins; write 10.70.1.20-10.70.1.30"),
]


@pytest.fixture(scope="module")
def bad_pools() -> list[tuple[Json, str]]:
    return BAD_POOLS


def test_a_pool_that_the_controller_would_not_accept_is_refused(cluster: Installed, bad_pools: list[tuple[Json, str]]) -> None:
    with cluster.asked():
        cluster.subnet("s", "10.70.0.0/16", "10.70.1.0-10.70.1.255")
        cluster.pool("one", "10.70.0.0/16", "10.70.1.0-10.70.1.9")
        eventually(lambda: (p := cluster.read_pool("one")) and p.status.accepted_ranges, bool, what="the pool is accepted")
        told = {
            words: refused(
                cluster, lambda api, spec=spec: api.create(spider.POOLS, body("SpiderIPPool", "bad", **spec), SpiderIPPool)
            )
            for spec, words in bad_pools
        }
    assert [(words, message) for words, message in told.items() if words not in message] == []


def test_a_subnet_that_leaves_out_what_pools_have_is_refused(cluster: Installed) -> None:
    with cluster.asked():
        cluster.subnet("s", "10.70.0.0/16", "10.70.1.0-10.70.1.255")
        cluster.pool("one", "10.70.0.0/16", "10.70.1.0-10.70.1.9")
        eventually(lambda: (p := cluster.read_pool("one")) and p.status.accepted_ranges, bool, what="the pool is accepted")
        words = refused_change(cluster, spider.SUBNETS, "s", {"ips": ["10.70.1.5-10.70.1.255"]})
        cluster.call(
            lambda api: api.merge_patch(paths.named(spider.SUBNETS, "s"), {"spec": {"ips": ["10.70.1.0-10.70.1.15"]}}, SpiderSubnet)
        )
    assert "SpiderSubnet s: 10.70.1.0-10.70.1.4 belongs to SpiderIPPool one; keep it in ips, or shrink that pool first" in words


def test_a_subnet_over_a_pool_of_another_prefix_is_refused(cluster: Installed) -> None:
    with cluster.asked():
        cluster.pool("one", "10.70.0.0/16", "10.70.1.0-10.70.1.9")
        eventually(lambda: (p := cluster.read_pool("one")) and p.status.accepted_ranges, bool, what="the pool is accepted")
        spec = {"subnet": "10.70.1.0/24", "ips": ["10.70.1.100"]}
        words = refused(cluster, lambda api: api.create(spider.SUBNETS, body("SpiderSubnet", "s", **spec), SpiderSubnet))
    assert "10.70.1.0/24 overlaps SpiderIPPool one of 10.70.0.0/16" in words


def test_an_address_in_use_cannot_be_dropped(cluster: Installed) -> None:
    with cluster.asked():
        address = in_use(cluster)
        by_range = refused_change(cluster, spider.POOLS, "one", {"ips": ["10.70.1.5-10.70.1.9"]})
        by_exclusion = refused_change(cluster, spider.POOLS, "one", {"excludeIPs": [address]})
        path = paths.named(spider.POOLS, "one")
        smaller = cluster.call(lambda api: api.merge_patch(path, {"spec": {"ips": ["10.70.1.0-10.70.1.1"]}}, SpiderIPPool))
    words = f"SpiderIPPool one: {address} ({cluster.namespace}/app-rs-1): in use and would be dropped"
    assert words in by_range
    assert words in by_exclusion
    assert smaller.spec.ips == ["10.70.1.0-10.70.1.1"]


def test_a_pool_in_use_is_not_deleted_and_says_who_uses_it(cluster: Installed) -> None:
    with cluster.asked():
        address = in_use(cluster)
        words = refused_deletion(cluster, spider.POOLS, "one")
        of_all = refused(cluster, lambda api: api.delete(spider.POOLS))
    assert "SpiderIPPool one: 1 addresses are in use" in of_all
    assert f"SpiderIPPool one: 1 addresses are in use: {address} ({cluster.namespace}/app-rs-1)" in words
    assert "delete these Pods' applications" in words


def test_a_pool_in_use_is_not_deleted_while_no_webhook_answers_and_an_empty_one_is(cluster: Installed) -> None:
    with cluster.asked():
        in_use(cluster)
        cluster.pool("empty", "10.71.0.0/16", "10.71.1.0-10.71.1.9")
    with pytest.raises(ApiError, match=r"failed calling webhook \"in-use.netmgr.io\""):
        cluster.delete(spider.POOLS, "one")
    cluster.delete(spider.POOLS, "empty")
    assert cluster.read_pool("empty") is None


def test_a_subnet_whose_addresses_pools_have_is_not_deleted(cluster: Installed) -> None:
    with cluster.asked():
        cluster.subnet("s", "10.70.0.0/16", "10.70.1.0-10.70.1.255")
        cluster.pool("one", "10.70.0.0/16", "10.70.1.0-10.70.1.9")
        eventually(lambda: cluster.read_subnet("s").status.allocated_ip_count, lambda n: n == 10, within=15, what="the count")
        words = refused_deletion(cluster, spider.SUBNETS, "s")
        cluster.delete(spider.POOLS, "one")
        eventually(lambda: cluster.read_subnet("s").status.allocated_ip_count, lambda n: n == 0, what="the subnet is whole")
        cluster.delete(spider.SUBNETS, "s")
    assert "SpiderSubnet s: 1 pools have addresses of it: one; delete these first" in words


def test_the_ranges_of_an_automatic_pool_are_not_edited_by_hand(cluster: Installed) -> None:
    with cluster.asked():
        cluster.subnet("s", "10.70.0.0/16", "10.70.1.0-10.70.1.255")
        cluster.deployment("app", 1, FROM_S)
        pool = eventually(lambda: cluster.auto_pool("app"), lambda found: found is not None, what="a pool")
        assert pool is not None
        words = refused_change(cluster, spider.POOLS, pool.metadata.name, {"ips": ["10.70.1.0-10.70.1.99"]})
        cluster.scale("app", 1)
        cluster.annotate("app", FROM_S | {"ipam.spidernet.io/ippool-ip-number": "5"})
        eventually(lambda: cluster.pool_counts("app"), lambda counts: counts == (0, 5), what="a pool of 5")
    assert f"is an automatic pool: its ranges follow Deployment {cluster.namespace}/app" in words


def test_reserving_an_address_in_use_is_a_warning(cluster: Installed) -> None:
    with cluster.asked():
        address = in_use(cluster)
        told = cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body("SpiderReservedIP", "late", ips=[address])))
        late = cluster.read(paths.named(spider.RESERVED, "late"), SpiderReservedIP)
    assert f"SpiderReservedIP late: in use and kept until its Pod ends: {address} ({cluster.namespace}/app-rs-1)" in told
    assert late.spec.ip_version == 4


def test_of_two_pools_made_at_the_same_moment_the_younger_is_told_why_it_lost(cluster: Installed) -> None:
    """Both pass any webhook, which judges by copies: the controller accepts range by range, and says so in condition and Event."""
    cluster.pool("aaa", "10.72.0.0/16", "10.72.1.0-10.72.1.9")
    cluster.pool("bbb", "10.72.0.0/16", "10.72.1.5-10.72.1.19")
    with cluster.asked():

        def verdict() -> tuple[str, str, list[str]]:
            pool = cluster.read_pool("bbb")
            assert pool is not None
            found = next((one for one in pool.status.conditions or () if one.type == "Accepted"), None)
            return (found.reason, found.message, pool.status.accepted_ranges or []) if found else ("", "", [])

        reason, message, ranges = eventually(verdict, lambda seen: bool(seen[0]), what="a verdict")
        events = eventually(lambda: events_about(cluster, "bbb"), bool, what="an Event")
    words = "10.72.1.5-10.72.1.9 belongs to SpiderIPPool aaa, which is older; choose others"
    assert (reason, ranges) == ("PartlyAccepted", ["10.72.1.10-10.72.1.19"])
    assert words in message
    assert any(words in text for text in events)


def events_about(cluster: Installed, name: str) -> list[str]:
    path, selector = paths.in_namespace(paths.EVENTS, "default"), f"involvedObject.name={name}"
    found: list[Json] = cluster.call(lambda api: api.list(path, dict[str, Any], field_selector=selector))
    return [str(one.get("message", "")) for one in found]
