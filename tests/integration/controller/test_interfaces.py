"""Several interfaces of one Pod: NetworkAttachmentDefinitions, lists by interface, routes, the networks that a pool admits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json, PartialObject
from netmgr.api.network import NETWORKS
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.client import exists as found_at
from netmgr.kube.errors import NotFound
from tests.integration.controller.cluster import Cluster
from tests.multus import DEFINITION, NAME
from tests.waiting import eventually

P = "ipam.spidernet.io/"
LIST = "k8s.v1.cni.cncf.io/networks"


def define(cluster: Cluster) -> None:
    cluster.create(paths.CRDS, DEFINITION)
    eventually(lambda: cluster.call(served), bool, within=20, what="NetworkAttachmentDefinitions are served")


async def served(api: Api) -> bool:
    try:
        await api.list(NETWORKS, PartialObject)
    except NotFound:
        return False
    return True


def undefine(cluster: Cluster) -> None:
    path = paths.named(paths.CRDS, NAME)
    if cluster.call(lambda api: found_at(api, path)):
        cluster.call(lambda api: api.delete(path))
        eventually(lambda: cluster.call(lambda api: found_at(api, path)), lambda there: not there, within=20)


@contextmanager
def multus(cluster: Cluster) -> Iterator[None]:
    try:
        define(cluster)
        yield
    finally:
        undefine(cluster)


@pytest.fixture
def attached(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster that knows NetworkAttachmentDefinitions: `lan` with addresses of ours, `theirs` with host-local's."""
    with multus(cluster):
        network(cluster, "lan", {"type": "netmgr-ipam"})
        network(cluster, "theirs", {"type": "host-local"})
        cluster.pool("first", "10.81.0.0/24", "10.81.0.1-10.81.0.9", gateway="10.81.0.254")
        cluster.pool("second", "10.82.0.0/24", "10.82.0.1-10.82.0.9", gateway="10.82.0.254")
        yield cluster


def network(cluster: Cluster, name: str, ipam: Json) -> None:
    config = json.dumps({"cniVersion": "1.0.0", "name": name, "type": "macvlan", "master": "eth1", "ipam": ipam})
    body = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": {"name": name}}
    cluster.create(cluster.here(NETWORKS), {**body, "spec": {"config": config}})


def by_interface(held: dict[str, IPAllocation]) -> dict[str, IPAllocation]:
    return {one.spec.interface: one for one in held.values()}


def pools(*names: str, **first: Any) -> str:
    return json.dumps([{"ipv4": [name], **(first if i == 0 else {})} for i, name in enumerate(names)])


def test_two_interfaces_that_name_one_pool_get_two_addresses(attached: Cluster) -> None:
    with attached.controller():
        attached.bare_pod("two", {LIST: "lan", P + "ippool": '{"ipv4":["first"]}'})

        held = attached.held(2)

        assert set(by_interface(held)) == {"eth0", "net1"}
        assert {one.spec.siblings for one in held.values()} == {1}


def test_a_list_without_names_follows_the_order_of_the_networks(attached: Cluster) -> None:
    with attached.controller():
        attached.bare_pod("two", {LIST: "theirs, lan@lan0", P + "ippools": pools("first", "second", "second")})

        held = by_interface(attached.held(3))

        assert {name: one.spec.pool for name, one in held.items()} == {"eth0": "first", "net1": "second", "lan0": "second"}
        assert held["lan0"].spec.network == f"{attached.namespace}/lan"


def test_the_definitions_own_pools_serve_where_the_pod_says_nothing_about_the_interface(attached: Cluster) -> None:
    network(attached, "pooled", {"type": "netmgr-ipam", "default_ipv4_ippool": ["sec*"], "clean_gateway": True})
    attached.subnet("s1", "10.93.0.0/24", "10.93.0.1-10.93.0.99")
    notes = {LIST: "pooled", P + "subnet": '{"ipv4":["s1"]}'}
    with attached.controller():
        attached.pods("app", notes, attached.deployment("app", 1, notes), 1)

        held = by_interface(attached.held(2))

        assert held["eth0"].spec.pool.startswith("auto")
        assert (held["net1"].spec.pool, held["net1"].spec.clean_gateway) == ("second", True)


def test_an_interface_that_the_list_lacks_is_named_in_the_refusal(attached: Cluster) -> None:
    with attached.controller():
        attached.bare_pod("two", {LIST: "lan", P + "ippools": '[{"interface":"eth0","ipv4":["first"]}]'})

        words = eventually(lambda: attached.refusal("two"), bool, within=10)

        assert ("no entry for net1" in words, attached.allocations()) == (True, {})


def test_a_full_pool_on_one_interface_takes_no_address_of_the_other(attached: Cluster) -> None:
    attached.pool("empty", "10.83.0.0/24")
    with attached.controller():
        attached.bare_pod("two", {LIST: "lan", P + "ippools": pools("first", "empty")})

        words = eventually(lambda: attached.refusal("two"), bool, within=10)

        assert ("SpiderIPPool empty" in words, attached.allocations()) == (True, {})


def test_routes_go_with_the_interface_whose_subnet_holds_their_gateway(attached: Cluster) -> None:
    routes = [{"dst": "172.16.1.0/24", "gw": "10.81.0.5"}, {"dst": "172.16.2.0/24", "gw": "10.82.0.5"}]
    notes = {
        LIST: "lan",
        P + "ippools": pools("first", "second"),
        P + "routes": json.dumps(routes),
        P + "default-route-nic": "net1",
    }
    with attached.controller():
        attached.bare_pod("two", notes)

        held = by_interface(attached.held(2))

        assert [(one.dst, one.gw) for one in held["eth0"].spec.routes or ()] == [("172.16.1.0/24", "10.81.0.5")]
        assert [(one.dst, one.gw) for one in held["net1"].spec.routes or ()] == [("172.16.2.0/24", "10.82.0.5")]
        assert (held["eth0"].spec.clean_gateway, held["net1"].spec.clean_gateway) == (True, False)


def test_a_route_that_no_interface_can_use_is_refused_before_an_address_is_taken(attached: Cluster) -> None:
    routes = json.dumps([{"dst": "172.16.1.0/24", "gw": "192.0.2.1"}])
    with attached.controller():
        attached.bare_pod("one", {P + "ippool": '{"ipv4":["first"]}', P + "routes": routes})

        words = eventually(lambda: attached.refusal("one"), bool, within=10)

        assert ("172.16.1.0/24 via 192.0.2.1" in words, "10.81.0.0/24" in words, attached.allocations()) == (True, True, {})


def test_a_pool_takes_gateway_and_routes_from_the_subnet_of_its_prefix(attached: Cluster) -> None:
    route = {"dst": "172.16.3.0/24", "gw": "10.84.0.253"}
    attached.subnet("whole", "10.84.0.0/24", "10.84.0.1-10.84.0.9", gateway="10.84.0.254", routes=[route])
    attached.pool("heir", "10.84.0.0/24", "10.84.0.1-10.84.0.4")
    attached.pool("none", "10.84.0.0/24", "10.84.0.5-10.84.0.9", routes=[])
    with attached.controller():
        attached.bare_pod("two", {LIST: "lan", P + "ippools": pools("heir", "none")})

        held = by_interface(attached.held(2))

        assert (held["eth0"].spec.gateway, [one.dst for one in held["eth0"].spec.routes or ()]) == (
            "10.84.0.254",
            ["172.16.3.0/24"],
        )
        assert (held["net1"].spec.gateway, held["net1"].spec.routes) == ("10.84.0.254", None)


def test_a_pool_admits_the_networks_that_it_names_and_eth0_needs_no_multus(attached: Cluster) -> None:
    attached.pool("lan-only", "10.85.0.0/24", "10.85.0.1-10.85.0.9", multusName=[f"{attached.namespace}/lan"])
    attached.pool("by-name", "10.86.0.0/24", "10.86.0.1-10.86.0.9", multusName=["lan"])
    with attached.controller():
        attached.bare_pod("two", {LIST: "lan,lan", P + "ippools": pools("first", "lan-only", "by-name")})
        attached.bare_pod("wrong", {P + "ippool": '{"ipv4":["lan-only"]}'})

        held = by_interface(attached.held(3))

        assert {name: one.spec.pool for name, one in held.items()} == {"eth0": "first", "net1": "lan-only", "net2": "by-name"}
        assert "spec.multusName" in eventually(lambda: attached.refusal("wrong"), bool, within=10)


def test_the_clusters_own_network_may_be_named_to_the_controller(attached: Cluster) -> None:
    attached.pool("calico-only", "10.87.0.0/24", "10.87.0.1-10.87.0.9", multusName=["kube-system/calico"])
    with attached.controller("one", "--default-network", "kube-system/calico"):
        attached.bare_pod("one", {P + "ippool": '{"ipv4":["calico-only"]}'})

        assert set(by_interface(attached.held(1))) == {"eth0"}


def test_a_definition_that_comes_later_gives_its_interface_an_address(cluster: Cluster) -> None:
    cluster.pool("first", "10.88.0.0/24", "10.88.0.1-10.88.0.9")
    with cluster.controller():
        cluster.bare_pod("two", {LIST: "lan", P + "ippool": '{"ipv4":["first"]}'})
        assert set(by_interface(cluster.held(1))) == {"eth0"}
        with multus(cluster):
            network(cluster, "lan", {"type": "netmgr-ipam"})

            assert set(by_interface(cluster.held(2, within=40))) == {"eth0", "net1"}


def test_a_definition_that_cannot_be_understood_is_said_on_the_pod(attached: Cluster) -> None:
    network(attached, "broken", {"type": "netmgr-ipam", "default_ipv4_ippool": "first"})
    with attached.controller():
        attached.bare_pod("two", {LIST: "broken", P + "ippool": '{"ipv4":["first"]}'})

        words = eventually(lambda: attached.refusal("two"), bool, within=10)

        assert f"{attached.namespace}/broken" in words


def test_subnets_for_two_interfaces_become_two_pools_of_the_application(attached: Cluster) -> None:
    attached.subnet("s1", "10.91.0.0/24", "10.91.0.1-10.91.0.99")
    attached.subnet("s2", "10.92.0.0/24", "10.92.0.1-10.92.0.99")
    notes = {LIST: "lan@lan0", P + "subnets": '[{"ipv4":["s1"]},{"ipv4":["s2"]}]'}
    with attached.controller():
        attached.pods("app", notes, attached.deployment("app", 2, notes), 1, 2)

        held = attached.held(4)

        assert {one.spec.interface for one in held.values()} == {"eth0", "lan0"}
        assert len({one.spec.pool for one in held.values()}) == 2
