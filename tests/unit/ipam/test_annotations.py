"""Annotations are untrusted: each form that is understood, and each that is refused with a remedy."""

from __future__ import annotations

import pytest

from ipam.annotations import AddressRequest, InterfaceRequest, IpNumber, Source, parse_number, parse_request
from ipam.errors import AnnotationError
from ipam.prefix import AddressFamily

V4, V6 = AddressFamily.IPV4, AddressFamily.IPV6
P = "ipam.spidernet.io/"


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, ()),
        ({"subnet": '{"ipv4":["s"]}'}, (InterfaceRequest("eth0", Source.SUBNET, {V4: ("s",)}),)),
        (
            {"subnet": '{"interface":"net1","ipv4":["s"],"ipv6":["s6"]}'},
            (InterfaceRequest("net1", Source.SUBNET, {V4: ("s",), V6: ("s6",)}),),
        ),
        ({"ippool": '{"ipv4":["b","a"]}'}, (InterfaceRequest("eth0", Source.POOL, {V4: ("b", "a")}),)),
        ({"ippool": '{"ipv4":["app-*"]}'}, (InterfaceRequest("eth0", Source.POOL, {V4: ("app-*",)}),)),
        (
            {"ippools": '[{"ipv4":["a"]},{"ipv4":["b"]}]', "ippool": '{"ipv4":["c"]}'},
            (InterfaceRequest("eth0", Source.POOL, {V4: ("a",)}), InterfaceRequest("net1", Source.POOL, {V4: ("b",)})),
        ),
        (
            {"subnet": '{"ipv4":["s"]}', "ippool": '{"ipv4":["c"]}'},
            (InterfaceRequest("eth0", Source.SUBNET, {V4: ("s",)}),),
        ),
    ],
)
def test_the_first_source_that_says_anything_wins(annotations: dict[str, str], expected: tuple[InterfaceRequest, ...]) -> None:
    assert parse_request({P + key: value for key, value in annotations.items()}).interfaces == expected


def test_the_namespace_speaks_for_pods_that_say_nothing() -> None:
    request = parse_request({}, {P + "default-ipv4-ippool": '["a","b"]'})
    assert request.interfaces == (InterfaceRequest("eth0", Source.NAMESPACE, {V4: ("a", "b")}),)


@pytest.mark.parametrize(("text", "expected"), [("5", IpNumber(5, flexible=False)), ("+3", IpNumber(3, flexible=True))])
def test_a_number_is_fixed_or_added_to_the_replicas(text: str, expected: IpNumber) -> None:
    assert parse_number(text) == expected


@pytest.mark.parametrize("text", ["-1", "3+2", "++1", "five", "", "+", "0", "1.5", "99999999", " 3", "٣"])
def test_other_numbers_are_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(AnnotationError, match=r"ippool-ip-number.*write"):
        parse_number(text)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("subnet", '{"ipv4": s}', "is not JSON"),
        ("subnet", "[]", "is not an object"),
        ("subnet", "{}", "names nothing"),
        ("subnet", '{"ipv4":"s"}', "where a list of names belongs"),
        ("subnet", '{"ipv4":[""]}', "no object name"),
        ("subnet", '{"ipv4":["*"]}', "no object name"),
        ("subnet", '{"ipv4":["s\\n neighbor"]}', "no object name"),
        ("subnet", '{"ipv4":["s","s"]}', "names one twice"),
        ("subnet", '{"ipv5":["s"]}', "unknown keys"),
        ("subnet", '{"interface":"eth0; rm","ipv4":["s"]}', "no interface name"),
        ("ippools", '[{"interface":"eth0","ipv4":["a"]},{"ipv4":["b"]}]', "names some interfaces"),
        ("ippools", '[{"interface":"a","ipv4":["a"]},{"interface":"a","ipv4":["b"]}]', "an interface twice"),
        ("ippool-reclaim", "maybe", "neither true nor false"),
        ("subnet", "[" * 100000, "is not JSON"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_key_and_value(key: str, value: str, words: str) -> None:
    with pytest.raises(AnnotationError, match=words) as refused:
        parse_request({P + key: value})
    assert refused.value.key == P + key


def test_no_annotation_asks_for_nothing() -> None:
    assert parse_request(None) == AddressRequest()
