"""Pools come, change and go in any order: who has which range depends on their ages alone."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ipam.acceptance import Declared, accept_subnets, understand
from ipam.accepted_pools import AcceptedPools, accept_pools
from ipam.prefix import AddressFamily, RangeSet, parse_address

PREFIX = "10.0.0.0/24"
SUBNETS = accept_subnets(
    [
        Declared(name="s", created="", subnet=PREFIX, ips=("10.0.0.2-10.0.0.60",)),
        Declared(name="t", created="", subnet="10.0.1.0/24", ips=("10.0.1.0-10.0.1.9",)),
    ]
)
RANGES = st.tuples(st.integers(0, 70), st.integers(0, 9)).map(lambda pair: f"10.0.0.{pair[0]}-10.0.0.{pair[0] + pair[1]}")


def pool(name: str, created: int, *ips: str, subnet: str = PREFIX) -> Declared:
    return Declared(name=name, created=f"2026-01-0{created}T00:00:00Z", subnet=subnet, ips=ips)


def by_the_rule(pools: list[Declared]) -> dict[str, RangeSet | None]:
    """What each may give out, by the rule alone: the oldest takes what it declares, each younger one what is left."""
    left = SUBNETS["s"].ranges
    assert left is not None
    given: dict[str, RangeSet | None] = {}
    for one in sorted(pools, key=lambda each: each.age_order):
        parsed = understand("SpiderIPPool", one)
        given[one.name] = getattr(parsed, "addresses", None)
        if given[one.name] is not None:
            given[one.name] = left.intersect(parsed.addresses)  # type: ignore[union-attr] # it has addresses
            left = left.subtract(parsed.addresses)  # type: ignore[union-attr] # it has addresses
    return given


class Pools(RuleBasedStateMachine):
    """A controller's life: pools are made, edited and deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted = AcceptedPools(SUBNETS)
        self.there: dict[str, Declared] = {}

    @rule(name=st.sampled_from("abcdef"), created=st.integers(1, 3), ips=st.lists(RANGES, min_size=1, max_size=3))
    def put(self, name: str, created: int, ips: list[str]) -> None:
        before = dict(self.accepted.verdicts)
        self.there[name] = pool(name, created, *ips)
        changed = self.accepted.put(self.there[name])
        assert changed == {one for one in self.accepted.verdicts if before.get(one) != self.accepted.verdicts[one]}

    @rule(name=st.sampled_from("abcdef"))
    def spoil(self, name: str) -> None:
        self.there[name] = pool(name, 1, "10.9.9.9")
        self.accepted.put(self.there[name])

    @rule(name=st.sampled_from("abcdef"))
    def remove(self, name: str) -> None:
        self.there.pop(name, None)
        self.accepted.remove(name)

    @invariant()
    def ages_alone_decide(self) -> None:
        assert {name: one.ranges for name, one in self.accepted.verdicts.items()} == by_the_rule(list(self.there.values()))

    @invariant()
    def the_order_of_events_leaves_no_trace(self) -> None:
        assert self.accepted.verdicts == accept_pools(self.there.values(), SUBNETS)


TestPools = Pools.TestCase


def test_a_pool_of_a_larger_prefix_than_the_subnets_is_told_which_to_write() -> None:
    verdict = accept_pools([pool("p", 1, "10.0.1.1", subnet="10.0.0.0/23")], SUBNETS)["p"]
    assert not verdict.accepted
    assert "SpiderSubnet s (10.0.0.0/24)" in verdict.message


def test_ten_thousand_pools_are_judged_one_by_one_without_looking_at_all() -> None:
    many = [pool(f"p{n}", 1, f"10.{n >> 8}.{n & 255}.1-10.{n >> 8}.{n & 255}.9", subnet="10.0.0.0/8") for n in range(10_000)]
    accepted = AcceptedPools({})
    for one in many:
        accepted.put(one)
    late = accepted.put(pool("late", 2, "10.3.7.9-10.3.8.1", subnet="10.0.0.0/8"))
    assert late == {"late"}
    assert "SpiderIPPool p775" in accepted.verdicts["late"].message
    assert accepted.remove("p776") == {"p776", "late"}
    ranges = accepted.verdicts["late"].ranges
    assert ranges == RangeSet(AddressFamily.IPV4, ((parse_address("10.3.7.10").value, parse_address("10.3.8.1").value),))
