"""What the API server admits and refuses by netmgr's CRDs alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netmgr.api.allocation import ALLOCATIONS, IPAllocation
from netmgr.api.bgp import NEIGHBORS, BGPNeighbor
from netmgr.api.meta import Json, PartialObject
from netmgr.api.spider import POOLS, RESERVED, SUBNETS, SpiderIPPool, SpiderSubnet
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.errors import Invalid
from netmgr.kube.paths import named
from tests.integration.apiserver import ApiServer

KINDS = {
    SUBNETS: "SpiderSubnet",
    POOLS: "SpiderIPPool",
    RESERVED: "SpiderReservedIP",
    ALLOCATIONS: "IPAllocation",
    NEIGHBORS: "BGPNeighbor",
}


def manifest(path: str, name: str, spec: Json) -> Json:
    return {
        "apiVersion": path.removeprefix("/apis/").rpartition("/")[0],
        "kind": KINDS[path],
        "metadata": {"name": name},
        "spec": spec,
    }


def allocation(address: str, **changes: Any) -> Json:
    spec: Json = {
        "address": address,
        "prefixLength": 16,
        "pool": "p",
        "nodeName": "node1",
        "interface": "eth0",
        "siblings": 1,
        "claimant": {},
        "pod": {"namespace": "default", "name": "a", "uid": "u"},
    }
    return spec | changes


async def refusal(server: ApiServer, path: str, name: str, spec: Json) -> str:
    async with Api(load(server.kubeconfig)) as api:
        with pytest.raises(Invalid) as caught:
            await api.create(path, manifest(path, name, spec), PartialObject)
        return caught.value.message


async def refused_change(server: ApiServer, path: str, name: str, spec: Json, change: Json) -> str:
    async with Api(load(server.kubeconfig)) as api:
        await api.create(path, manifest(path, name, spec), PartialObject)
        with pytest.raises(Invalid) as caught:
            await api.merge_patch(named(path, name), {"spec": change}, PartialObject)
        await api.delete(named(path, name))
        return caught.value.message


BAD_SPECS = [
    (
        {"subnet": "10.244.100.0/16"},
        "10.244.100.0/16 has bits set beyond its length, or is not written canonically; use 10.244.0.0/16",
    ),
    ({"subnet": "FD00:10::/64"}, "use fd00:10::/64"),
    ({"subnet": "10.244.0.0"}, "is no prefix; write address/length"),
    ({"subnet": "10.244.0.0/16", "ipVersion": 6}, "ipVersion 6 does not fit subnet 10.244.0.0/16; use 4"),
    ({"subnet": "10.244.0.0/16", "ips": ["10.245.0.1"]}, "10.245.0.1 is no address or range (a-b) inside 10.244.0.0/16"),
    ({"subnet": "10.244.0.0/16", "ips": ["10.244.0.1-10.245.0.1"]}, "10.244.0.1-10.245.0.1 is no address or range"),
    ({"subnet": "10.244.0.0/16", "ips": ["10.244.0.0/24"]}, "spec.ips[0] in body should match"),
    ({"subnet": "10.244.0.0/16", "ips": ["10.244.0.1-10.244.0.2-10.244.0.3"]}, "spec.ips[0] in body should match"),
    ({"subnet": "10.244.0.0/16", "ips": ["10.244.0.999"]}, "10.244.0.999 is no address or range"),
    ({"subnet": "10.244.0.0/16", "excludeIPs": ["fd00::1"]}, "fd00::1 is no address or range"),
    ({"subnet": "10.244.0.0/16", "gateway": "10.245.0.1"}, "gateway 10.245.0.1 is no address inside 10.244.0.0/16"),
    ({"subnet": "10.244.0.0/16", "gateway": "10.244.0.1", "ips": ["10.244.0.1"]}, "gateway 10.244.0.1 is one of ips"),
    ({"subnet": "10.244.0.0/16", "routes": [{"dst": "fd00::/64", "gw": "10.244.0.1"}]}, "of the same family"),
    ({"subnet": "10.244.0.0/16", "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}]}, "write gateway: 10.244.0.1 instead"),
    ({"subnet": "fd00:10::/64", "routes": [{"dst": "::/0", "gw": "fd00:10::1"}]}, "write gateway: fd00:10::1 instead"),
    ({"subnet": "10.244.0.0/16", "routes": [{"dst": "10.9.0.7/16", "gw": "10.244.0.1"}]}, "use 10.9.0.0/16"),
    (
        {"subnet": "10.244.0.0/16", "routes": [{"dst": "10.9.0.0/16", "gw": "10.245.0.1"}]},
        "route 10.9.0.0/16 via 10.245.0.1: gw is outside 10.244.0.0/16",
    ),
    (
        {
            "subnet": "10.244.0.0/16",
            "routes": [{"dst": "10.9.0.0/16", "gw": "10.244.0.1"}, {"dst": "10.9.0.0/16", "gw": "10.244.0.2"}],
        },
        "route 10.9.0.0/16 is written twice",
    ),
    ({}, "spec.subnet: Required value"),
]


@pytest.mark.parametrize(("spec", "words"), BAD_SPECS, ids=str)
@pytest.mark.parametrize("path", [SUBNETS, POOLS], ids=["subnet", "pool"])
def test_a_broken_subnet_or_pool_is_refused_with_words_that_help(api_server: ApiServer, path: str, spec: Json, words: str) -> None:
    assert words in asyncio.run(refusal(api_server, path, "broken", spec))


@pytest.mark.parametrize("path", [SUBNETS, POOLS], ids=["subnet", "pool"])
def test_subnet_and_version_never_change(api_server: ApiServer, path: str) -> None:
    spec = {"subnet": "10.7.0.0/16", "ipVersion": 4}
    changed = asyncio.run(refused_change(api_server, path, "fixed", spec, {"subnet": "10.8.0.0/16"}))
    assert "subnet cannot change from 10.7.0.0/16 to 10.8.0.0/16" in changed
    version = asyncio.run(refused_change(api_server, path, "fixed", spec, {"ipVersion": 6}))
    assert "ipVersion cannot change" in version


def test_a_pool_of_the_walk_through_is_admitted_with_its_defaults(api_server: ApiServer) -> None:
    async def create() -> SpiderIPPool:
        async with Api(load(api_server.kubeconfig)) as api:
            spec = {"ipVersion": 4, "subnet": "10.244.0.0/16", "ips": ["10.244.120.10-10.244.120.20"], "vlan": 0}
            made = await api.create(POOLS, manifest(POOLS, "nginx-v4-ippool", spec), SpiderIPPool)
            await api.delete(named(POOLS, "nginx-v4-ippool"))
            return made

    pool = asyncio.run(create())
    assert (pool.spec.default, pool.spec.disable) == (False, False)


def test_a_thousand_ranges_fit_in_one_pool(api_server: ApiServer) -> None:
    async def create() -> SpiderSubnet:
        ranges = [f"fd00:10:0:0:{number:x}::1-fd00:10:0:0:{number:x}::ffff" for number in range(1000)]
        async with Api(load(api_server.kubeconfig)) as api:
            spec = {"subnet": "fd00:10::/64", "ips": ranges, "excludeIPs": ranges}
            made = await api.create(SUBNETS, manifest(SUBNETS, "wide", spec), SpiderSubnet)
            await api.delete(named(SUBNETS, "wide"))
            return made

    assert len(asyncio.run(create()).spec.ips or ()) == 1000


BAD_SELECTORS = [
    ({"podAffinity": {}}, "leave podAffinity out to admit every Pod"),
    ({"namespaceAffinity": {"matchLabels": {}}}, "leave namespaceAffinity out to admit every namespace"),
    ({"nodeAffinity": {"matchExpressions": [{"key": "zone", "operator": "In"}]}}, "In zone: In and NotIn need values"),
    ({"nodeAffinity": {"matchExpressions": [{"key": "zone", "operator": "Exists", "values": ["a"]}]}}, "have none"),
]


@pytest.mark.parametrize(("spec", "words"), BAD_SELECTORS, ids=str)
def test_a_selector_that_says_nothing_or_cannot_match_is_refused(api_server: ApiServer, spec: Json, words: str) -> None:
    assert words in asyncio.run(refusal(api_server, POOLS, "broken", {"subnet": "10.244.0.0/16"} | spec))


def test_a_hundred_routes_fit_in_one_pool(api_server: ApiServer) -> None:
    async def create() -> SpiderIPPool:
        routes = [{"dst": f"fd00:{number:x}:ffff:ffff::/64", "gw": "fd00:ffff:10::1"} for number in range(1, 101)]
        async with Api(load(api_server.kubeconfig)) as api:
            body = manifest(POOLS, "wide-routes", {"subnet": "fd00:ffff:10::/64", "routes": routes})
            made = await api.create(POOLS, body, SpiderIPPool)
            await api.delete(named(POOLS, "wide-routes"))
            return made

    assert len(asyncio.run(create()).spec.routes or ()) == 100


def test_columns_are_those_that_users_know(api_server: ApiServer) -> None:
    body = {"ipVersion": 4, "subnet": "10.9.0.0/16", "podAffinity": {"matchLabels": {"ipam.spidernet.io/app-namespace": "shop"}}}

    async def create() -> None:
        async with Api(load(api_server.kubeconfig)) as api:
            await api.create(POOLS, manifest(POOLS, "columns", body), PartialObject)
            await api.create(SUBNETS, manifest(SUBNETS, "columns", {"subnet": "10.9.0.0/16"}), PartialObject)
            await api.merge_patch(
                named(POOLS, "columns", "status"), {"status": {"totalIPCount": 5, "allocatedIPCount": 2}}, PartialObject
            )

    asyncio.run(create())
    narrow = api_server.kubectl("get", "sp", "columns").stdout.splitlines()
    assert narrow[0].split() == ["NAME", "VERSION", "SUBNET", "ALLOCATED-IP-COUNT", "TOTAL-IP-COUNT", "DEFAULT", "DISABLE"]
    assert narrow[1].split() == ["columns", "4", "10.9.0.0/16", "2", "5", "false", "false"]
    wide = api_server.kubectl("get", "sp", "columns", "-o", "wide").stdout.splitlines()
    assert wide[0].split()[-6:] == ["NODENAME", "MULTUSNAME", "APP-NAMESPACE", "FREE-IP-COUNT", "READY", "EXHAUSTED"]
    assert "shop" in wide[1].split()
    header = api_server.kubectl("get", "ss").stdout.splitlines()[0]
    assert header.split() == ["NAME", "VERSION", "SUBNET", "ALLOCATED-IP-COUNT", "TOTAL-IP-COUNT"]
    api_server.kubectl("delete", "sp,ss", "columns")


GOOD_NAMES = [
    ("10.244.100.90", "10.244.100.90"),
    ("fd00-0010-0000-0000-0000-0000-0000-00ff", "fd00:10::ff"),
]


@pytest.mark.parametrize(("name", "address"), GOOD_NAMES)
def test_an_allocation_is_named_by_its_address(api_server: ApiServer, name: str, address: str) -> None:
    async def create() -> IPAllocation:
        async with Api(load(api_server.kubeconfig)) as api:
            made = await api.create(ALLOCATIONS, manifest(ALLOCATIONS, name, allocation(address)), IPAllocation)
            await api.delete(named(ALLOCATIONS, name), uid=made.metadata.uid, resource_version=made.metadata.resource_version)
            return made

    assert asyncio.run(create()).spec.address == address


BAD_ALLOCATIONS = [
    ("10.244.100.91", allocation("10.244.100.90"), "is not the address 10.244.100.90"),
    ("fd00-10--ff", allocation("fd00:10::ff"), "is not the address fd00:10::ff"),
    ("fd00-0010-0000-0000-0000-0000-0000-00fe", allocation("fd00:10::ff"), "is not the address fd00:10::ff"),
    ("fd00-0010-0000-0000-0000-0000-0000-00ff", allocation("fd00:10:0::ff"), "use fd00:10::ff"),
    ("10.244.100.90", allocation("10.244.100.90", siblings=0), "spec.siblings"),
]


@pytest.mark.parametrize(("name", "spec", "words"), BAD_ALLOCATIONS)
def test_an_allocation_under_another_name_is_refused(api_server: ApiServer, name: str, spec: Json, words: str) -> None:
    assert words in asyncio.run(refusal(api_server, ALLOCATIONS, name, spec))


def test_an_allocation_never_changes_its_address(api_server: ApiServer) -> None:
    spec = allocation("10.1.0.1")
    assert "address cannot change" in asyncio.run(
        refused_change(api_server, ALLOCATIONS, "10.1.0.1", spec, {"address": "10.1.0.2"})
    )


def test_allocations_are_selected_by_node(api_server: ApiServer) -> None:
    async def select() -> list[str]:
        async with Api(load(api_server.kubeconfig)) as api:
            for number, node in enumerate(["node1", "node2", "node1"]):
                body = manifest(ALLOCATIONS, f"10.2.0.{number}", allocation(f"10.2.0.{number}", nodeName=node))
                await api.create(ALLOCATIONS, body, PartialObject)
            found = await api.list(ALLOCATIONS, PartialObject, field_selector="spec.nodeName=node1")
            await asyncio.gather(*(api.delete(named(ALLOCATIONS, f"10.2.0.{number}")) for number in range(3)))
            return [one.metadata.name for one in found]

    assert asyncio.run(select()) == ["10.2.0.0", "10.2.0.2"]


def test_a_neighbor_gets_the_defaults_of_its_struct(api_server: ApiServer) -> None:
    async def create() -> BGPNeighbor:
        async with Api(load(api_server.kubeconfig)) as api:
            made = await api.create(NEIGHBORS, manifest(NEIGHBORS, "tor", {"asn": 23000}), BGPNeighbor)
            await api.delete(named(NEIGHBORS, "tor"))
            return made

    spec = asyncio.run(create()).spec
    assert (spec.address, spec.local_asn, spec.families, spec.import_routes) == ("defaultGateway", 64512, ["IPv4"], "none")
    assert (spec.timers.keepalive, spec.timers.hold, spec.timers.connect) == (3, 9, 1)


BAD_NEIGHBORS = [
    ({"asn": 23000, "address": "router1"}, "router1 is no address; write one, or the word defaultGateway"),
    ({"asn": 0}, "spec.asn"),
    ({"asn": 1, "timers": {"hold": 2}}, "use three times keepalive"),
]


@pytest.mark.parametrize(("spec", "words"), BAD_NEIGHBORS)
def test_a_broken_neighbor_is_refused_with_words_that_help(api_server: ApiServer, spec: Json, words: str) -> None:
    assert words in asyncio.run(refusal(api_server, NEIGHBORS, "broken", spec))


BAD_RESERVATIONS = [
    ({"ips": ["10.0.0.1-10.0.0"]}, "10.0.0.1-10.0.0 is no address or range"),
    ({"ips": ["10.0.0.1", "fd00::1"]}, "all addresses are of one family"),
    ({"ips": ["10.0.0.1"], "ipVersion": 6}, "all addresses are of one family"),
    ({"ips": []}, "should have at least 1 items"),
]


@pytest.mark.parametrize(("spec", "words"), BAD_RESERVATIONS, ids=str)
def test_a_broken_reservation_is_refused_with_words_that_help(api_server: ApiServer, spec: Json, words: str) -> None:
    assert words in asyncio.run(refusal(api_server, RESERVED, "broken", spec))
