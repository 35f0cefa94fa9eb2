"""Which ranges of pools count: inside the accepted subnet of the same prefix, and apart from older pools.

Ranges of a pool are accepted one by one: one that overlaps an older pool is left out, the others count. The verdicts are the same
in whatever order pools come, change and go; a change costs as much as the pools that it overlaps, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ipam.acceptance import Acceptance, Declared, Parsed, understand
from ipam.holdings import Holdings
from ipam.prefix import AddressFamily, RangeSet


def accept_pools(pools: Iterable[Declared], subnets: Mapping[str, Acceptance]) -> dict[str, Acceptance]:
    """Verdicts on SpiderIPPools: inside the accepted subnet of the same prefix, and apart from older pools."""
    accepted = AcceptedPools(subnets)
    for one in sorted(pools, key=lambda pool: pool.age_order):
        accepted.put(one)
    return accepted.verdicts


class AcceptedPools:
    """`verdicts` on the pools that were put, whatever the order; a change costs as much as the pools that it overlaps."""

    def __init__(self, subnets: Mapping[str, Acceptance]) -> None:
        self.verdicts: dict[str, Acceptance] = {}
        self._subnets = subnets
        self._prefixes = {family: Holdings() for family in AddressFamily}
        self._held = {family: Holdings() for family in AddressFamily}
        self._pools: dict[str, tuple[Declared, Parsed | Acceptance]] = {}
        self._losers: dict[str, set[str]] = {}
        for name, subnet in subnets.items():
            if subnet.accepted and subnet.prefix is not None:
                self._prefixes[subnet.prefix.family].add(name, [subnet.prefix.span])

    def put(self, one: Declared) -> set[str]:
        """A pool is new or has been changed; names of the pools whose verdict is another now."""
        self._withdraw(one.name)
        before = self.verdicts.pop(one.name, None)
        self._pools[one.name] = one, understand("SpiderIPPool", one)
        return self._settle(one.name, before)

    def remove(self, name: str) -> set[str]:
        """A pool is gone; names of the pools whose verdict is another now, its own included."""
        self._withdraw(name)
        before = self.verdicts.pop(name, None)
        self._pools.pop(name, None)
        return self._settle(name, before)

    def _settle(self, changed: str, before: Acceptance | None) -> set[str]:
        """Judge the pool, with those that lost addresses to it or must give some up, oldest first."""
        old, todo = {changed: before}, [changed]
        while todo:
            name = todo.pop()
            more = [*self._losers.pop(name, ()), *self._younger(name)]
            for other in [other for other in more if other not in old]:
                self._withdraw(other)
                old[other] = self.verdicts.pop(other, None)
                todo.append(other)
        for one, parsed in sorted((self._pools[name] for name in old if name in self._pools), key=lambda entry: entry[0].age_order):
            self._judge(one, parsed)
        return {name for name, verdict in old.items() if verdict != self.verdicts.get(name)}

    def _younger(self, name: str) -> list[str]:
        """Younger pools that hold what this one declares."""
        one, parsed = self._pools.get(name, (None, None))
        if one is None or not isinstance(parsed, Parsed):
            return []
        holders = {holder for holder, _ in self._held[parsed.prefix.family].sharing(parsed.addresses.spans)}
        return [holder for holder in holders if self._pools[holder][0].age_order > one.age_order]

    def _withdraw(self, name: str) -> None:
        """The pool holds nothing until it is judged again."""
        verdict = self.verdicts.get(name)
        if verdict is not None and verdict.ranges is not None:
            self._held[verdict.ranges.family].remove(verdict.ranges.spans)

    def _judge(self, one: Declared, parsed: Parsed | Acceptance) -> None:
        """All older pools have been judged."""
        verdict = parsed if isinstance(parsed, Acceptance) else self._accept(one, parsed)
        self.verdicts[one.name] = verdict
        if verdict.ranges is not None:
            self._held[verdict.ranges.family].add(one.name, verdict.ranges.spans)

    def _accept(self, one: Declared, parsed: Parsed) -> Acceptance:
        """The verdict on one pool, given the older ones."""
        problems: list[str] = []
        family, addresses = parsed.prefix.family, parsed.addresses
        for name, _ in self._prefixes[family].sharing([parsed.prefix.span]):
            subnet = self._subnets[name]
            if subnet.prefix != parsed.prefix:
                words = f"subnet {parsed.prefix} overlaps SpiderSubnet {name} ({subnet.prefix}); write {subnet.prefix}"
                return Acceptance(
                    accepted=False, reason="Overlap", message=f"SpiderIPPool {one.name}: {words}", prefix=parsed.prefix
                )
            outside = addresses.subtract(subnet.ranges or RangeSet(family))
            if outside.spans:
                problems.append(
                    f"{', '.join(outside.texts())} is not in spec.ips of SpiderSubnet {name}; add it there or choose others"
                )
                addresses = addresses.subtract(outside)
        shared: dict[str, list[tuple[int, int]]] = {}
        for name, span in self._held[family].sharing(addresses.spans):
            shared.setdefault(name, []).append(span)
        for name, spans in shared.items():
            taken = RangeSet(family, tuple(spans))
            problems.append(f"{', '.join(taken.texts())} belongs to SpiderIPPool {name}, which is older; choose others")
            addresses = addresses.subtract(taken)
            self._losers.setdefault(name, set()).add(one.name)
        return verdict_of(one, parsed, addresses, problems)


def verdict_of(one: Declared, parsed: Parsed, addresses: RangeSet, problems: list[str]) -> Acceptance:
    """What is left of a pool, and in words what is not."""
    if not problems:
        return Acceptance(accepted=True, prefix=parsed.prefix, ranges=addresses)
    message = f"SpiderIPPool {one.name}: " + "; ".join(problems)
    reason = "PartlyAccepted" if addresses.spans else "Overlap"
    return Acceptance(accepted=bool(addresses.spans), reason=reason, message=message, prefix=parsed.prefix, ranges=addresses)
