"""Ranges as integers: parsing tables, set arithmetic, the minimal cover."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipam.errors import AddressError
from ipam.prefix import (
    Address,
    AddressFamily,
    RangeSet,
    address_of_name,
    allocation_name,
    merge,
    parse_address,
    parse_prefix,
    parse_range,
)

SMALL = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 20)), max_size=8)


def ranges(pairs: list[tuple[int, int]]) -> RangeSet:
    return RangeSet(AddressFamily.IPV4, merge((first, first + length) for first, length in pairs))


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.256", "010.0.0.1x", "10.0.0.1/24", "fe80::1%eth0", "a-b", "1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError, match="write"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.0.9-10.0.0.1", "write 10.0.0.1-10.0.0.9"),
        ("10.0.0.1-fd00::1", "mixes"),
        ("10.0.0.0/24", "not an IP address"),
    ],
)
def test_what_is_no_range_is_refused(text: str, words: str) -> None:
    with pytest.raises(AddressError, match=words):
        parse_range(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.244.100.0/16", "write 10.244.0.0/16"),
        ("fd00:6::1/64", "write fd00:6::/64"),
        ("10.0.0.1", "add its length"),
        ("10.0.0.0/33", "not a prefix"),
        ("10.0.0.0/255.0.0.0", "add its length"),
    ],
)
def test_what_is_no_prefix_is_refused_with_the_form_to_use(text: str, words: str) -> None:
    with pytest.raises(AddressError, match=words):
        parse_prefix(text)


@given(st.sampled_from(AddressFamily), st.integers(0, 2**32 - 1))
def test_an_address_is_its_text_and_its_name(family: AddressFamily, value: int) -> None:
    address = Address(family.number, value << (family.width - 32))
    assert parse_address(str(address)) == address
    assert address_of_name(allocation_name(address)) == address


def test_the_name_of_an_ipv6_address_is_written_in_full() -> None:
    assert allocation_name(parse_address("fd00::9")) == "fd00-0000-0000-0000-0000-0000-0000-0009"


@given(SMALL, SMALL)
def test_set_arithmetic_is_that_of_sets(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    a, b = ranges(left), ranges(right)
    assert set(a.union(b)) == set(a) | set(b)
    assert set(a.subtract(b)) == set(a) - set(b)
    assert set(a.intersect(b)) == set(a) & set(b)
    assert a.contains_all(b) == set(b).issubset(set(a))
    assert a.size == len(set(a))


@given(SMALL)
def test_the_cover_holds_exactly_the_addresses_and_no_two_prefixes_could_be_one(pairs: list[tuple[int, int]]) -> None:
    addresses = ranges(pairs)
    cover = addresses.cover()
    assert [value for prefix in cover for value in range(prefix.value, prefix.last + 1)] == list(addresses)
    halves = [(p.length, p.value >> (33 - p.length)) for p in cover if p.length]
    assert len(set(halves)) == len(halves)


@given(SMALL)
def test_texts_are_parsed_back(pairs: list[tuple[int, int]]) -> None:
    addresses = ranges(pairs)
    assert RangeSet.parse(AddressFamily.IPV4, addresses.texts()) == addresses
