"""Ranges for pools: aligned, contiguous, grown in place, shrunk from the tail; and the ledger over them."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ipam.carve import Carved, CarveShortage, SubnetBook, plan_carve
from ipam.ledger import PoolLedger
from ipam.prefix import AddressFamily, RangeSet

V4 = AddressFamily.IPV4


def book(size: int = 256, **pools: tuple[int, int]) -> SubnetBook:
    taken = {name: RangeSet(V4, (span,)) for name, span in pools.items()}
    return SubnetBook(name="s", addresses=RangeSet(V4, ((0, size - 1),)), pools=taken)


def spans(plan: Carved | CarveShortage) -> tuple[tuple[int, int], ...]:
    assert isinstance(plan, Carved)
    return plan.ranges.spans


def test_a_new_pool_is_aligned_and_leaves_room_to_grow() -> None:
    assert spans(plan_carve(book(a=(0, 4)), "b", 5, frozenset())) == ((16, 20),)


def test_a_pool_grows_in_place() -> None:
    assert spans(plan_carve(book(a=(0, 4), b=(16, 20)), "a", 6, frozenset())) == ((0, 5),)


def test_a_pool_without_room_behind_it_keeps_what_it_has_and_takes_more_elsewhere() -> None:
    assert spans(plan_carve(book(32, a=(0, 3), b=(4, 15)), "a", 6, frozenset())) == ((0, 3), (16, 17))


def test_a_pool_shrinks_from_its_free_tail() -> None:
    assert plan_carve(book(a=(0, 5)), "a", 5, frozenset({0, 1})) == Carved(RangeSet(V4, ((0, 4),)))


def test_a_tail_in_use_stays_until_it_is_free() -> None:
    assert plan_carve(book(a=(0, 5)), "a", 4, frozenset({4})) == Carved(RangeSet(V4, ((0, 4),)), pending=1)


def test_a_full_subnet_says_how_many_are_missing() -> None:
    plan = plan_carve(book(8, a=(0, 5)), "b", 5, frozenset())
    assert plan == CarveShortage("s", 5, 2)
    assert "2 free addresses" in str(plan)


def test_without_a_contiguous_range_the_largest_ones_are_taken() -> None:
    full = book(16, a=(2, 3), b=(8, 13))
    assert spans(plan_carve(full, "c", 6, frozenset())) == ((0, 1), (4, 7))


class Lives(RuleBasedStateMachine):
    """Pools of one subnet that are resized while addresses are claimed and released."""

    def __init__(self) -> None:
        super().__init__()
        self.subnet = RangeSet(V4, ((3, 40), (50, 70)))
        self.pools: dict[str, RangeSet] = {}
        self.ledgers: dict[str, PoolLedger] = {}
        self.held: dict[str, list[int]] = {}

    @rule(pool=st.sampled_from("abc"), size=st.integers(1, 40))
    def resize(self, pool: str, size: int) -> None:
        taken = SubnetBook(name="s", addresses=self.subnet, pools=self.pools)
        plan = plan_carve(taken, pool, size, frozenset(self.held.get(pool, ())))
        if isinstance(plan, Carved):
            self.pools[pool] = plan.ranges
            self.ledgers.setdefault(pool, PoolLedger(plan.ranges)).resize(plan.ranges)
            self.held.setdefault(pool, [])

    @rule(pool=st.sampled_from("abc"))
    def claim(self, pool: str) -> None:
        if pool in self.ledgers and (value := self.ledgers[pool].take()) is not None:
            assert value not in self.held[pool]
            self.held[pool].append(value)

    @rule(pool=st.sampled_from("abc"), index=st.integers(0, 50))
    def release(self, pool: str, index: int) -> None:
        if held := self.held.get(pool):
            self.ledgers[pool].release(held.pop(index % len(held)))

    @invariant()
    def no_address_is_held_twice_or_outside_its_pool(self) -> None:
        everything = [value for held in self.held.values() for value in held]
        assert len(set(everything)) == len(everything)
        assert all(value in self.pools[pool] for pool, held in self.held.items() for value in held)

    @invariant()
    def pools_are_apart_and_inside_the_subnet(self) -> None:
        everything = [value for ranges in self.pools.values() for value in ranges]
        assert len(set(everything)) == len(everything)
        assert all(value in self.subnet for value in everything)

    @invariant()
    def free_and_held_are_the_whole_pool(self) -> None:
        assert all(self.ledgers[p].free + len(self.held[p]) == self.pools[p].size for p in self.pools)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_released_addresses_are_given_out_last() -> None:
    ledger = PoolLedger(RangeSet(V4, ((0, 3),)))
    first, second = ledger.take(), ledger.take()
    assert (first, second) == (0, 1)
    ledger.release(1)
    ledger.release(0)
    assert [ledger.take() for _ in range(5)] == [2, 3, 1, 0, None]
