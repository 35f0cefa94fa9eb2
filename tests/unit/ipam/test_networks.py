"""Multus' annotations and NetworkAttachmentDefinitions: each form that is understood, each that is refused."""

from __future__ import annotations

import pytest

from ipam.errors import AnnotationError
from ipam.networks import DEFAULT_NETWORK, NETWORKS, Attachment, parse_attachment, parse_default_network, parse_networks
from ipam.prefix import AddressFamily

V4, V6 = AddressFamily.IPV4, AddressFamily.IPV6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  ", []),
        ("a", [("shop/a", "net1")]),
        ("a@lan0", [("shop/a", "lan0")]),
        ("ns/a, b ,c@x", [("ns/a", "net1"), ("shop/b", "net2"), ("shop/c", "x")]),
        ("a,a", [("shop/a", "net1"), ("shop/a", "net2")]),
        ('[{"name":"a"},{"name":"b","namespace":"ns","interface":"lan0"}]', [("shop/a", "net1"), ("ns/b", "lan0")]),
        ('[{"name":"a","ips":["10.1.1.1"],"mac":"02:00:00:00:00:01","default-route":["10.1.1.254"]}]', [("shop/a", "net1")]),
        ('{"name":"a"}', [("shop/a", "net1")]),
        ("[]", []),
    ],
)
def test_networks_are_named_as_multus_names_them(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(one.reference, one.interface) for one in parse_networks({NETWORKS: text}, "shop")] == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a/b/c", "which is no network"),
        ("a,,b", "which is no network"),
        ("a@", "which is no network"),
        ("A", "network's name"),
        ("ns_/a", "network's namespace"),
        ("a@lan0@b", "which is no network"),
        ("a@0123456789abcdef", "network's interface"),
        ("[{}]", "network's name"),
        ('[{"name":3}]', "network's name"),
        ('["a"]', "no object"),
        ("[", "is not JSON"),
        ("a@lan0,b@lan0", "two networks one interface"),
        ("a@eth0", "two networks one interface"),
        ("a@net2,b", "two networks one interface"),
    ],
)
def test_what_multus_would_not_understand_is_refused_with_a_remedy(text: str, words: str) -> None:
    with pytest.raises(AnnotationError, match=words) as refused:
        parse_networks({NETWORKS: text}, "shop")
    assert refused.value.remedy


def test_a_default_network_without_namespace_is_multus_own() -> None:
    found = parse_default_network({DEFAULT_NETWORK: "calico"})
    assert found is not None
    assert (found.reference, found.interface) == ("kube-system/calico", "eth0")


def test_two_default_networks_are_refused() -> None:
    with pytest.raises(AnnotationError, match="more than one network"):
        parse_default_network({DEFAULT_NETWORK: "a,b"})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", Attachment(ours=False)),
        ('{"type":"macvlan","ipam":{"type":"host-local"}}', Attachment(ours=False)),
        ('{"type":"macvlan"}', Attachment(ours=False)),
        ('{"type":"netmgr"}', Attachment(ours=True)),
        ('{"type":"macvlan","ipam":{"type":"netmgr-ipam"}}', Attachment(ours=True)),
        ('{"type":"macvlan","ipam":{"type":"spiderpool"}}', Attachment(ours=True)),
        (
            '{"plugins":[{"type":"macvlan","ipam":{"type":"netmgr-ipam","default_ipv4_ippool":["a","b*"],"clean_gateway":true}}]}',
            Attachment(ours=True, pools={V4: ("a", "b*")}, clean_gateway=True),
        ),
        (
            '{"type":"bridge","ipam":{"type":"netmgr-ipam","default_ipv6_ippool":["six"]}}',
            Attachment(ours=True, pools={V6: ("six",)}),
        ),
    ],
)
def test_a_definition_says_whether_its_addresses_are_ours_and_from_which_pools(config: str, expected: Attachment) -> None:
    assert parse_attachment("shop/a", config) == expected


@pytest.mark.parametrize(
    "config",
    [
        "{",
        '{"ipam":{"type":"netmgr-ipam","default_ipv4_ippool":"a"}}',
        '{"ipam":{"type":"netmgr-ipam","clean_gateway":"yes"}}',
    ],
)
def test_a_definition_that_cannot_be_understood_names_itself(config: str) -> None:
    with pytest.raises(AnnotationError, match="shop/a"):
        parse_attachment("shop/a", config)
