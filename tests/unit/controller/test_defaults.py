"""What is filled in: what is lacking, and nothing that an author wrote."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmgr.api.meta import Meta
from netmgr.api.spider import PoolSpec, ReservedSpec, Route, SpiderIPPool, SpiderReservedIP, SpiderSubnet, SubnetSpec
from netmgr.controller.defaults import operations, pool_defaults, reserved_defaults, subnet_defaults

ROUTE = Route(dst="10.9.0.0/16", gw="10.0.0.2")
SUBNET = SpiderSubnet(Meta(name="s"), SubnetSpec(subnet="10.0.0.0/16", ip_version=4, gateway="10.0.0.1", routes=[ROUTE]))


def pool(**spec: Any) -> SpiderIPPool:
    return SpiderIPPool(Meta(name="p"), PoolSpec(**{"subnet": "10.0.0.0/16", "ip_version": 4, **spec}))


def test_gateway_and_routes_come_from_the_subnet() -> None:
    spec = pool_defaults(pool(), SUBNET)["spec"]
    assert spec == {"gateway": "10.0.0.1", "routes": [{"dst": "10.9.0.0/16", "gw": "10.0.0.2"}]}


@pytest.mark.parametrize(
    "own", [{"gateway": "10.0.0.9"}, {"routes": []}, {"routes": [Route(dst="10.8.0.0/16", gw="10.0.0.3")]}], ids=str
)
def test_what_a_pool_says_itself_stays(own: dict[str, Any]) -> None:
    assert own.keys().isdisjoint(pool_defaults(pool(**own), SUBNET).get("spec", {}))


def test_a_pool_without_a_subnet_inherits_nothing() -> None:
    assert pool_defaults(pool(), None) == {"metadata": {"labels": {"ipam.spidernet.io/ippool-cidr": "10-0-0-0-16"}}}


@pytest.mark.parametrize(
    ("texts", "merged"),
    [
        (["10.0.0.2", "10.0.0.1"], ["10.0.0.1-10.0.0.2"]),
        (["10.0.0.9-10.0.0.5", "10.0.0.1"], None),
        (["10.0.0.1-10.0.0.9"], None),
        (["fd00::1", "10.0.0.1"], None),
        (["garbage", "10.0.0.1"], None),
    ],
)
def test_several_ranges_are_sorted_and_merged_if_all_can_be_read(texts: list[str], merged: list[str] | None) -> None:
    subnet = SpiderSubnet(Meta(name="s"), SubnetSpec(subnet="10.0.0.0/16", ip_version=4, ips=texts))
    assert subnet_defaults(subnet).get("spec", {}).get("ips") == merged


def test_a_reservations_family_is_that_of_its_addresses() -> None:
    reserved = SpiderReservedIP(Meta(name="r"), ReservedSpec(ips=["fd00::2", "fd00::1"]))
    assert reserved_defaults(reserved) == {"spec": {"ipVersion": 6, "ips": ["fd00::1-fd00::2"]}}


def test_a_name_that_is_too_long_for_a_label_is_left_out() -> None:
    long = SpiderSubnet(Meta(name="s" * 100), SUBNET.spec)
    assert "ipam.spidernet.io/owner-spider-subnet" not in pool_defaults(pool(), long)["metadata"]["labels"]


def test_a_label_is_added_to_those_that_are_there() -> None:
    change = {"metadata": {"labels": {"a/b": "c"}}}
    assert operations(change, has_labels=True) == ({"op": "add", "path": "/metadata/labels/a~1b", "value": "c"},)
    assert operations(change, has_labels=False) == ({"op": "add", "path": "/metadata/labels", "value": {"a/b": "c"}},)


@given(st.lists(st.text(alphabet="0123456789.:-abcdef/", max_size=20), max_size=5))
def test_text_of_any_kind_is_left_alone_or_merged(texts: list[str]) -> None:
    subnet = SpiderSubnet(Meta(name="s"), SubnetSpec(subnet="10.0.0.0/16", ips=texts, exclude_ips=texts))
    assert subnet_defaults(subnet)["spec"]["ipVersion"] == 4
