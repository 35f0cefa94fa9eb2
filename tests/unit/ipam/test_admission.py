"""Comparisons of several objects: what a change adds or drops is judged, what was there before is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipam.acceptance import Acceptance, Declared, accept_subnets
from ipam.accepted_pools import accept_pools
from ipam.admission import Holding, pool_in_use, pool_problems, reserved_in_use, subnet_in_use, subnet_problems
from ipam.prefix import AddressFamily, RangeSet, parse_address

V4 = AddressFamily.IPV4


def declared(name: str, *ips: str, **more: Any) -> Declared:
    return Declared(name=name, created="2026-01-01T00:00:00Z", subnet=more.pop("subnet", "10.0.0.0/16"), ips=ips, **more)


def holding(address: str) -> Holding:
    return Holding(parse_address(address).value, "shop/app-1")


SUBNETS = accept_subnets([declared("s", "10.0.1.0-10.0.1.255")])
ONE = declared("one", "10.0.1.0-10.0.1.9")
POOLS = accept_pools([ONE], SUBNETS)


def test_a_pool_with_room_of_its_own_has_no_problem() -> None:
    assert pool_problems(declared("two", "10.0.1.10-10.0.1.19"), None, SUBNETS, POOLS, []) == []


def test_a_change_that_adds_nothing_is_not_judged_again() -> None:
    faulty = declared("two", "10.0.1.5-10.0.1.19")
    smaller = declared("two", "10.0.1.5-10.0.1.15")
    assert pool_problems(smaller, faulty, SUBNETS, POOLS, []) == []


def test_what_a_change_adds_is_judged() -> None:
    before, after = declared("two", "10.0.1.10-10.0.1.19"), declared("two", "10.0.1.8-10.0.1.19")
    assert pool_problems(after, before, SUBNETS, POOLS, []) == [
        "SpiderIPPool two: 10.0.1.8-10.0.1.9 belongs to SpiderIPPool one, which is older; choose others"
    ]


def test_a_gateway_that_is_excluded_may_lie_in_a_range() -> None:
    inside = declared("two", "10.0.1.20-10.0.1.29", gateway="10.0.1.25")
    excluded = declared("two", "10.0.1.20-10.0.1.29", gateway="10.0.1.25", exclude_ips=("10.0.1.25",))
    assert "gateway 10.0.1.25 is one of ips" in pool_problems(inside, None, SUBNETS, POOLS, [])[0]
    assert pool_problems(excluded, None, SUBNETS, POOLS, []) == []


@pytest.mark.parametrize(
    "after", [declared("one", "10.0.1.4-10.0.1.9"), declared("one", *ONE.ips, exclude_ips=("10.0.1.3",))], ids=str
)
def test_an_address_in_use_is_dropped_neither_by_ips_nor_by_exclusion(after: Declared) -> None:
    problems = pool_problems(after, ONE, SUBNETS, {}, [holding("10.0.1.3"), holding("10.0.1.9")])
    assert [text.partition("; ")[0] for text in problems] == [
        "SpiderIPPool one: 10.0.1.3 (shop/app-1): in use and would be dropped"
    ]


def test_many_addresses_are_counted_and_a_few_named() -> None:
    words = pool_in_use("one", "", [f"10.0.1.{number} (shop/app-{number})" for number in range(9)])
    assert words.startswith("SpiderIPPool one: 9 addresses are in use: 10.0.1.0 (shop/app-0), ")
    assert "10.0.1.4 (shop/app-4) and 4 more; delete these Pods' applications" in words


def test_an_applications_own_pool_goes_with_the_application() -> None:
    assert "delete Deployment shop/app first" in pool_in_use("auto", "Deployment shop/app", ["10.0.1.1 (shop/app-1)"])


def test_what_is_not_in_use_may_go() -> None:
    assert (pool_in_use("one", "", []), subnet_in_use("s", [])) == ("", "")


def test_a_subnet_keeps_what_pools_have() -> None:
    before, after = declared("s", "10.0.1.0-10.0.1.255"), declared("s", "10.0.1.4-10.0.1.255")
    assert subnet_problems(after, before, {}, POOLS) == [
        "SpiderSubnet s: 10.0.1.0-10.0.1.3 belongs to SpiderIPPool one; keep it in ips, or shrink that pool first"
    ]


def test_a_new_subnet_has_room_for_the_pools_of_its_prefix() -> None:
    assert subnet_problems(declared("s", "10.0.1.0-10.0.1.255"), None, {}, POOLS) == []
    assert subnet_problems(declared("s", "10.0.2.0-10.0.2.255"), None, {}, POOLS) != []


def test_a_subnet_overlaps_neither_subnets_nor_pools_of_another_prefix() -> None:
    narrow = declared("n", "10.0.1.200", subnet="10.0.1.0/24")
    problems = " ".join(subnet_problems(narrow, None, SUBNETS, POOLS))
    assert "10.0.1.0/24 overlaps SpiderSubnet s (10.0.0.0/16)" in problems
    assert "10.0.1.0/24 overlaps SpiderIPPool one of 10.0.0.0/16" in problems


def test_a_late_reservation_names_who_has_the_address() -> None:
    reserved = RangeSet.parse(V4, ["10.0.1.0-10.0.1.15"])
    assert reserved_in_use("gw", reserved, [holding("10.0.1.3"), holding("10.0.1.16")]) == (
        "SpiderReservedIP gw: in use and kept until its Pod ends: 10.0.1.3 (shop/app-1)"
    )


@st.composite
def ranges(draw: st.DrawFn) -> tuple[str, ...]:
    spans = draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=4))
    return tuple(f"10.0.1.{first}-10.0.1.{first + length}" for first, length in spans)


@given(older=st.lists(ranges(), max_size=4), newcomer=ranges())
def test_what_is_let_in_is_what_the_controller_accepts_as_a_whole(older: list[tuple[str, ...]], newcomer: tuple[str, ...]) -> None:
    """The webhook and the controller never disagree, as long as they see the same objects."""
    had = [declared(f"p{number}", *spans) for number, spans in enumerate(older)]
    new = Declared(name="new", created="2026-02-01T00:00:00Z", subnet="10.0.0.0/16", ips=newcomer)
    verdicts: dict[str, Acceptance] = accept_pools([*had, new], SUBNETS)
    problems = pool_problems(new, None, SUBNETS, accept_pools(had, SUBNETS), [])
    assert (problems == []) == (verdicts["new"].reason == "Accepted")
