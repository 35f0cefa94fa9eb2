"""Routes that a Pod asks for, and which of its interfaces each belongs to: the one whose subnet holds the gateway."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ipam.prefix import Address, Prefix


@dataclass(frozen=True, slots=True)
class PodRoute:
    """Destination and gateway, of one family."""

    dst: Prefix
    gw: Address

    def __str__(self) -> str:
        return f"{self.dst} via {self.gw}"


def unmatched(routes: Iterable[PodRoute], subnets: Sequence[Prefix]) -> list[PodRoute]:
    """Routes whose gateway lies in none of the subnets: nobody could use them."""
    return [one for one in routes if not any(one.gw in subnet for subnet in subnets)]


def routes_of(subnet: Prefix, routes: Iterable[PodRoute], earlier: Sequence[Prefix] = ()) -> list[PodRoute]:
    """The routes of an interface in that subnet; those in an earlier interface's subnet are that interface's."""
    return [one for one in routes if one.gw in subnet and not any(one.gw in other for other in earlier)]
