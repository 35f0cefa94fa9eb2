"""Which source speaks for which interface, who keeps the default route, and where a Pod's routes go."""

from __future__ import annotations

import pytest

from ipam.annotations import Source, parse_routes
from ipam.errors import AnnotationError
from ipam.interfaces import PodRequest, parse_pod
from ipam.networks import DEFAULT_NETWORK, NETWORKS, Attachment
from ipam.prefix import AddressFamily, parse_prefix
from ipam.route import routes_of, unmatched

V4, V6 = AddressFamily.IPV4, AddressFamily.IPV6
P = "ipam.spidernet.io/"
OURS = Attachment(ours=True)
LAN = Attachment(ours=True, pools={V4: ("lan",)})
TWO = {NETWORKS: "lan"}


def request(
    annotations: dict[str, str], lan: Attachment | None = OURS, namespace: dict[str, str] | None = None, **more: Attachment
) -> PodRequest:
    known = {"shop/lan": lan} if lan is not None else {}
    return parse_pod(annotations, "shop", namespace, known | {f"kube-system/{name}": one for name, one in more.items()})


def asked(found: PodRequest) -> dict[str, tuple[Source, tuple[str, ...]]]:
    return {one.interface: (one.source, one.names.get(V4, ())) for one in found.nics}


POOL, SUBNET, SPACE, NETWORK, DEFAULT = Source.POOL, Source.SUBNET, Source.NAMESPACE, Source.NETWORK, Source.DEFAULT


@pytest.mark.parametrize(
    ("annotations", "lan", "expected"),
    [
        ({}, OURS, {"eth0": (DEFAULT, ())}),
        (TWO, OURS, {"eth0": (DEFAULT, ()), "net1": (DEFAULT, ())}),
        (TWO, LAN, {"eth0": (DEFAULT, ()), "net1": (NETWORK, ("lan",))}),
        (TWO, Attachment(ours=False), {"eth0": (DEFAULT, ())}),
        (TWO | {P + "ippool": '{"ipv4":["a"]}'}, LAN, {"eth0": (POOL, ("a",)), "net1": (POOL, ("a",))}),
        (TWO | {P + "subnet": '{"ipv4":["s"]}'}, LAN, {"eth0": (SUBNET, ("s",)), "net1": (NETWORK, ("lan",))}),
        (
            TWO | {P + "subnet": '{"interface":"net1","ipv4":["s"]}'},
            LAN,
            {"eth0": (DEFAULT, ()), "net1": (SUBNET, ("s",))},
        ),
        (TWO | {P + "ippools": '[{"ipv4":["a"]},{"ipv4":["b"]}]'}, LAN, {"eth0": (POOL, ("a",)), "net1": (POOL, ("b",))}),
        (
            {NETWORKS: "lan@x", P + "ippools": '[{"ipv4":["a"]},{"ipv4":["b"]}]'},
            LAN,
            {"eth0": (POOL, ("a",)), "x": (POOL, ("b",))},
        ),
        ({P + "ippools": '[{"interface":"net1","ipv4":["a"]}]'}, OURS, {"net1": (POOL, ("a",))}),
    ],
)
def test_each_interface_is_spoken_for_by_the_first_source_that_concerns_it(
    annotations: dict[str, str], lan: Attachment, expected: dict[str, tuple[Source, tuple[str, ...]]]
) -> None:
    assert asked(request(annotations, lan)) == expected


def test_the_namespace_speaks_for_every_interface_before_the_definition_does() -> None:
    found = request(TWO, LAN, namespace={P + "default-ipv4-ippool": '["ns"]'})
    assert asked(found) == {"eth0": (SPACE, ("ns",)), "net1": (SPACE, ("ns",))}


def test_an_interface_that_the_list_lacks_is_named() -> None:
    found = request(TWO | {P + "ippools": '[{"interface":"eth0","ipv4":["a"]}]'})
    assert (asked(found), found.absent, found.listed_in) == ({"eth0": (POOL, ("a",))}, ("net1",), P + "ippools")


def test_a_list_that_names_an_interface_which_the_pod_does_not_have_is_refused() -> None:
    with pytest.raises(AnnotationError, match="net5, which the Pod does not have"):
        request(TWO | {P + "ippools": '[{"interface":"net5","ipv4":["a"]}]'})


def test_a_network_without_definition_is_named() -> None:
    assert request(TWO, None).unknown == ("shop/lan",)


def test_eth0_of_a_network_that_is_not_ours_asks_for_nothing() -> None:
    found = request({DEFAULT_NETWORK: "flannel"}, flannel=Attachment(ours=False))
    assert found.nics == ()


@pytest.mark.parametrize(("lan", "network"), [(None, ""), (OURS, "kube-system/missing")], ids=["without Multus", "with Multus"])
def test_eth0_of_a_network_without_definition_follows_the_other_rules(lan: Attachment | None, network: str) -> None:
    found = request({DEFAULT_NETWORK: "missing", P + "ippool": '{"ipv4":["a"]}'}, lan)
    assert (asked(found), found.nics[0].network) == ({"eth0": (POOL, ("a",))}, network)


def test_the_default_networks_pools_are_eth0s() -> None:
    found = request({DEFAULT_NETWORK: "macvlan"}, macvlan=LAN)
    assert asked(found) == {"eth0": (NETWORK, ("lan",))}
    assert found.nics[0].network == "kube-system/macvlan"


@pytest.mark.parametrize(
    ("annotations", "without"),
    [
        ({}, []),
        (TWO, ["net1"]),
        (TWO | {P + "default-route-nic": "net1"}, ["eth0"]),
        (TWO | {P + "ippools": '[{"ipv4":["a"],"cleangateway":true},{"ipv4":["b"]}]'}, ["eth0", "net1"]),
        ({DEFAULT_NETWORK: "clean"}, ["eth0"]),
    ],
)
def test_one_interface_has_the_default_route(annotations: dict[str, str], without: list[str]) -> None:
    found = request(annotations, clean=Attachment(ours=True, clean_gateway=True))
    assert [one.interface for one in found.nics if one.clean_gateway] == without


@pytest.mark.parametrize(("chosen", "words"), [("net7", "no interface of the Pod"), ("eth0; rm", "no interface name")])
def test_a_default_route_by_an_interface_that_is_none_is_refused(chosen: str, words: str) -> None:
    with pytest.raises(AnnotationError, match=words):
        request(TWO | {P + "default-route-nic": chosen})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "is not a list"),
        ('[{"dst":"10.0.0.0/8"}]', "where a route belongs"),
        ('[{"dst":"10.0.0.0/8","gw":"10.6.0.1","dev":"eth0"}]', "where a route belongs"),
        ('[{"dst":"10.0.0.0/8","gw":3}]', "where a route belongs"),
        ('[{"dst":"10.0.0.1/8","gw":"10.6.0.1"}]', "cannot be read"),
        ('[{"dst":"10.0.0.0/8","gw":"fd00::1"}]', "two families"),
        ('[{"dst":"0.0.0.0/0","gw":"10.6.0.1"}]', "default-route-nic"),
        ('[{"dst":"10.0.0.0/8","gw":"10.6.0.1"},{"dst":"10.0.0.0/8","gw":"10.6.0.2"}]', "a destination twice"),
        ("[" + ",".join(['{"dst":"10.0.0.0/8","gw":"10.6.0.1"}'] * 101) + "]", "at most 100"),
    ],
)
def test_routes_that_cannot_be_understood_are_refused(text: str, words: str) -> None:
    with pytest.raises(AnnotationError, match=words):
        parse_routes(text)


def test_a_route_goes_to_the_interface_whose_subnet_holds_its_gateway() -> None:
    routes = parse_routes(
        '[{"dst":"10.0.0.0/8","gw":"10.6.0.1"},{"dst":"fd01::/64","gw":"fd00::1"},{"dst":"9.0.0.0/8","gw":"10.9.0.1"}]'
    )
    eth0, net1 = parse_prefix("10.6.0.0/16"), parse_prefix("fd00::/64")

    assert [str(one) for one in routes_of(eth0, routes)] == ["10.0.0.0/8 via 10.6.0.1"]
    assert [str(one) for one in routes_of(net1, routes, earlier=[eth0])] == ["fd01::/64 via fd00::1"]
    assert [str(one) for one in unmatched(routes, [eth0, net1])] == ["9.0.0.0/8 via 10.9.0.1"]


def test_a_route_of_two_interfaces_in_one_subnet_goes_to_the_first() -> None:
    routes, subnet = parse_routes('[{"dst":"10.0.0.0/8","gw":"10.6.0.1"}]'), parse_prefix("10.6.0.0/16")
    assert routes_of(subnet, routes, earlier=[subnet]) == []
