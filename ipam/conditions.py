"""What a subnet or a pool says about itself: conditions with reasons from a fixed list, and which addresses are free.

| condition | true | false |
| --- | --- | --- |
| Accepted | Accepted, PartlyAccepted | Overlap, Invalid |
| Ready | Ready | NotAccepted, Terminating, Disabled, NoAddresses |
| Exhausted | NoFreeAddress, AllCooling | AddressesFree, NoAddresses |
| ReservedInUse (pools) | ReservedAddressHeld | NoneHeld |

Ready: a Pod that the object admits may get an address as far as the object's own state goes. Exhausted is said apart from it,
since an application's own pool without a spare address is full on purpose.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from ipam.acceptance import Acceptance
from ipam.prefix import Address, AddressRange, RangeSet

LARGEST_COUNT = 2**63 - 1
"""Counts in a status are 64-bit integers; an IPv6 prefix may hold more."""
MOST_RANGES = 32
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Told:
    """One condition without its times."""

    type: str
    status: bool
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """How a pool stands.

    `addresses` may be given out, `free` counts those that nobody holds; `held` ones may lie outside, `cooling` ones are held too.
    """

    verdict: Acceptance
    addresses: RangeSet
    free: int = 0
    held: Collection[int] = ()
    cooling: int = 0
    disabled: bool = False
    terminating: bool = False

    @property
    def state(self) -> str:
        """One word: the reason why it is not ready, or `exhausted`, or `ready`."""
        size = self.addresses.size if self.free <= 0 else self.free
        reason = obstacle(self.verdict, terminating=self.terminating, disabled=self.disabled, size=size)
        return reason or ("ready" if self.free > 0 else "exhausted")


def pool_conditions(facts: PoolFacts) -> tuple[Told, ...]:
    """Everything that a pool says."""
    return (accepted(facts.verdict), pool_ready(facts), pool_exhausted(facts), reserved_in_use(facts))


def subnet_conditions(verdict: Acceptance, *, free: int, terminating: bool = False) -> tuple[Told, ...]:
    """Everything that a subnet says; `free` are the addresses that no pool has."""
    size = verdict.size
    ready = not_ready(verdict, terminating=terminating, disabled=False, size=size)
    return accepted(verdict), ready, exhausted(size=size, free=free, cooling=0, owner="no pool can be made or grown out of it")


def accepted(verdict: Acceptance) -> Told:
    """Whether the ranges count, or which of them do not."""
    return Told("Accepted", verdict.accepted, verdict.reason, verdict.message)


def pool_ready(facts: PoolFacts) -> Told:
    """Whether the pool gives addresses."""
    size = facts.addresses.size
    return not_ready(facts.verdict, terminating=facts.terminating, disabled=facts.disabled, size=size)


def not_ready(verdict: Acceptance, *, terminating: bool, disabled: bool, size: int) -> Told:
    """The condition, with the first reason that stands against it."""
    reason = obstacle(verdict, terminating=terminating, disabled=disabled, size=size)
    return Told("Ready", not reason, reason or "Ready", OBSTACLES.get(reason, ""))


OBSTACLES = {
    "NotAccepted": "it is not accepted; see that condition",
    "Terminating": "it is being deleted and gives no further address",
    "Disabled": "spec.disable is set: no further address is given, those in use stay",
    "NoAddresses": "spec.ips without spec.excludeIPs and reserved addresses is empty; add a range",
}
"""Reasons that stand against Ready, in words."""


def obstacle(verdict: Acceptance, *, terminating: bool, disabled: bool, size: int) -> str:
    """The first of them that holds; empty if none does. Asked for every pool at every scrape."""
    if not verdict.accepted:
        return "NotAccepted"
    if terminating:
        return "Terminating"
    if disabled:
        return "Disabled"
    return "" if size else "NoAddresses"


def pool_exhausted(facts: PoolFacts) -> Told:
    """Whether every address is held."""
    return exhausted(size=facts.addresses.size, free=facts.free, cooling=facts.cooling, owner="the next Pod has to wait")


def exhausted(*, size: int, free: int, cooling: int, owner: str) -> Told:
    """The condition for anything that has `size` addresses of which `free` can still be given; `owner` is what follows."""
    if size == 0:
        return Told("Exhausted", False, "NoAddresses", "there is no address that could be given")
    if free > 0:
        return Told("Exhausted", False, "AddressesFree")
    if cooling:
        return Told("Exhausted", True, "AllCooling", f"no address is free; {cooling} released ones rest until their cooldown ends")
    return Told("Exhausted", True, "NoFreeAddress", f"all {size} addresses are taken: {owner}; enlarge spec.ips or give some back")


def reserved_in_use(facts: PoolFacts) -> Told:
    """A reservation does not take an address from the Pod that has it."""
    ranges = facts.verdict.ranges
    if ranges is None or ranges == facts.addresses:
        return Told("ReservedInUse", False, "NoneHeld")
    reserved = ranges.subtract(facts.addresses)
    held = sorted(value for value in facts.held if value in reserved)
    if not held:
        return Told("ReservedInUse", False, "NoneHeld")
    named = ", ".join(str(Address(reserved.family.number, value)) for value in held[:MOST_NAMED])
    more = f" and {len(held) - MOST_NAMED} more" if len(held) > MOST_NAMED else ""
    words = f"reserved by a SpiderReservedIP but in use: {named}{more}; kept until their Pods end, restart these to free them"
    return Told("ReservedInUse", True, "ReservedAddressHeld", words)


def free_ranges(addresses: RangeSet, held: Collection[int]) -> list[str]:
    """The free addresses as `a` or `a-b`, ascending, the first 32 ranges of them."""
    taken = sorted(value for value in held if value in addresses)
    return [str(AddressRange(addresses.family, *span)) for span in islice(gaps(addresses, taken), MOST_RANGES)]


def gaps(addresses: RangeSet, taken: list[int]) -> Iterator[tuple[int, int]]:
    """What is left of the ranges between the addresses taken, which are ascending and inside."""
    todo = iter([*taken, None])
    value = next(todo)
    for first, last in addresses.spans:
        start = first
        while value is not None and value <= last:
            if start < value:
                yield start, value - 1
            start = value + 1
            value = next(todo)
        if start <= last:
            yield start, last


def counted(number: int) -> int:
    """A count as a status can hold it."""
    return min(number, LARGEST_COUNT)
