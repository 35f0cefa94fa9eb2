"""What subnets and pools say about themselves: a table of situations, and the arithmetic of free ranges."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipam.acceptance import Acceptance
from ipam.conditions import LARGEST_COUNT, PoolFacts, counted, free_ranges, pool_conditions, subnet_conditions
from ipam.prefix import AddressFamily, RangeSet, parse_prefix

V4 = AddressFamily.IPV4


def ranges(*texts: str) -> RangeSet:
    return RangeSet.parse(V4, texts)


FOUR = ranges("10.0.0.1-10.0.0.4")
FIRST = FOUR.first(1)[0]
GOOD = PoolFacts(verdict=Acceptance(accepted=True, prefix=parse_prefix("10.0.0.0/24"), ranges=FOUR), addresses=FOUR, free=4)
REFUSED = PoolFacts(verdict=Acceptance(accepted=False, reason="Overlap", message="m"), addresses=ranges())
RESERVED = replace(GOOD, addresses=ranges("10.0.0.2-10.0.0.4"), free=3, held=frozenset({FIRST}))


def said(facts: PoolFacts) -> dict[str, tuple[bool, str]]:
    return {one.type: (one.status, one.reason) for one in pool_conditions(facts)}


@pytest.mark.parametrize(
    ("facts", "type_", "status", "reason"),
    [
        (GOOD, "Accepted", True, "Accepted"),
        (GOOD, "Ready", True, "Ready"),
        (GOOD, "Exhausted", False, "AddressesFree"),
        (GOOD, "ReservedInUse", False, "NoneHeld"),
        (REFUSED, "Accepted", False, "Overlap"),
        (REFUSED, "Ready", False, "NotAccepted"),
        (REFUSED, "Exhausted", False, "NoAddresses"),
        (replace(GOOD, disabled=True), "Ready", False, "Disabled"),
        (replace(GOOD, terminating=True), "Ready", False, "Terminating"),
        (replace(GOOD, addresses=ranges(), free=0), "Ready", False, "NoAddresses"),
        (replace(GOOD, free=0, held=frozenset(FOUR)), "Exhausted", True, "NoFreeAddress"),
        (replace(GOOD, free=0, held=frozenset(FOUR)), "Ready", True, "Ready"),
        (replace(GOOD, free=0, held=frozenset(FOUR), cooling=1), "Exhausted", True, "AllCooling"),
        (RESERVED, "ReservedInUse", True, "ReservedAddressHeld"),
    ],
)
def test_a_pool_says_how_it_stands(facts: PoolFacts, type_: str, status: bool, reason: str) -> None:
    assert said(facts)[type_] == (status, reason)


def test_a_pool_names_the_reserved_addresses_that_are_in_use() -> None:
    words = {one.type: one.message for one in pool_conditions(RESERVED)}
    assert "10.0.0.1;" in words["ReservedInUse"]


@pytest.mark.parametrize(("facts", "state"), [(GOOD, "ready"), (replace(GOOD, free=0), "exhausted"), (REFUSED, "NotAccepted")])
def test_a_pools_state_is_one_word(facts: PoolFacts, state: str) -> None:
    assert facts.state == state


def test_a_subnet_without_room_for_another_pool_is_exhausted() -> None:
    found = {one.type: (one.status, one.reason) for one in subnet_conditions(GOOD.verdict, free=0)}
    assert found == {"Accepted": (True, "Accepted"), "Ready": (True, "Ready"), "Exhausted": (True, "NoFreeAddress")}


def test_free_ranges_are_cut_at_thirty_two() -> None:
    wide = ranges("10.0.0.0-10.0.0.255")
    every_second = list(wide)[::2]
    assert (len(free_ranges(wide, every_second)), free_ranges(wide, every_second)[0]) == (32, "10.0.0.1")


def test_a_count_fits_into_a_status() -> None:
    assert (counted(2**64), counted(5)) == (LARGEST_COUNT, 5)


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_free_ranges_are_the_addresses_without_those_held(addresses: set[int], held: set[int]) -> None:
    base = FOUR.spans[0][0]
    all_of_them = RangeSet.parse(V4, [])
    for value in addresses:
        all_of_them = all_of_them.union(RangeSet(V4, ((base + value, base + value),)))
    texts = free_ranges(all_of_them, {base + value for value in held})
    assert set(RangeSet.parse(V4, texts)) == {base + value for value in addresses - held}
