"""BGPNeighbor, PoolAdvertisement and SpiderIPPool objects to one node's policy. Pure.

One bad object never poisons the node: it is left out, with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from bgp.errors import BgpError, PolicyError
from bgp.policy import Neighbor, NodePolicy, Timers
from ipam.errors import AddressError
from ipam.prefix import Address, AddressFamily, RangeSet, parse_address
from netmgr.api.bgp import BGPNeighbor, PoolAdvertisement
from netmgr.api.spider import SpiderIPPool
from netmgr.controller.codec import family_of, selector_of

GATEWAY = "defaultGateway"


@dataclass(frozen=True, slots=True)
class Planned:
    """The policy, and what was left out: object name to reason. No policy without a usable neighbor."""

    policy: NodePolicy | None
    refused: Mapping[str, str]


def plan(
    neighbors: Iterable[BGPNeighbor],
    advertisements: Iterable[PoolAdvertisement],
    pools: Iterable[SpiderIPPool],
    labels: Mapping[str, str],
    gateway: Callable[[AddressFamily], Address | None],
    source: Callable[[Address], Address | None],
) -> Planned:
    """One node's policy. `gateway` and `source` answer from the node's routes."""
    refused: dict[str, str] = {}
    usable: list[Neighbor] = []
    for one in sorted(neighbors, key=lambda n: n.metadata.name):
        selector = selector_of(one.spec.node_selector)
        if selector is not None and not selector.matches(labels):
            continue
        try:
            usable.append(neighbor_of(one, gateway))
        except (BgpError, AddressError) as error:
            refused[one.metadata.name] = str(error)
    sources = [found for one in usable if (found := source(one.address)) and found.family is AddressFamily.IPV4]
    if not usable or not sources:
        return Planned(None, refused)
    pools, advertisements = list(pools), list(advertisements)
    announced = tuple(ranges_of(pools, advertisements))
    usable = [restricted(one, announced, pools, advertisements) for one in usable]
    first = usable[0].local_asn
    for other in usable:
        if other.local_asn != first:
            words = f"BGPNeighbor {other.name}: localASN {other.local_asn} differs from {first} of {usable[0].name}"
            refused[other.name] = f"{words}; use one"
    kept = tuple(other for other in usable if other.local_asn == first)
    return Planned(NodePolicy(router_id=sources[0], local_asn=first, neighbors=kept, pools=announced), refused)


def neighbor_of(one: BGPNeighbor, gateway: Callable[[AddressFamily], Address | None]) -> Neighbor:
    """A neighbor with its address resolved; AddressError or PolicyError says what is wrong."""
    spec = one.spec
    if spec.password_secret is not None or spec.bfd is not None:
        word = "passwordSecret" if spec.password_secret is not None else "bfd"
        words = f"BGPNeighbor {one.metadata.name}: {word} cannot act in this version"
        raise PolicyError(f"{words}; take it out to have the session without it")
    families = tuple(family for family in AddressFamily if family.word in spec.families)
    if spec.address == GATEWAY:
        address = gateway(families[0]) if families else None
        if address is None:
            raise AddressError(f"BGPNeighbor {one.metadata.name}: the node has no default gateway; name the router's address")
    else:
        address = parse_address(spec.address)
    return Neighbor(
        name=one.metadata.name,
        address=address,
        asn=spec.asn,
        local_asn=spec.local_asn,
        families=families,
        timers=Timers(keepalive=spec.timers.keepalive, hold=spec.timers.hold, connect=spec.timers.connect),
        graceful_restart=spec.graceful_restart,
        multihop=spec.ebgp_multihop,
        import_pools=spec.import_routes == "pools",
    )


def restricted(
    one: Neighbor, announced: tuple[RangeSet, ...], pools: list[SpiderIPPool], advertisements: list[PoolAdvertisement]
) -> Neighbor:
    """The neighbor with the pools that go to it alone, where some advertisement names other neighbors only."""
    mine = [ad for ad in advertisements if ad.spec.neighbors is None or one.name in ad.spec.neighbors]
    wanted = tuple(ranges_of(pools, mine))
    return one if wanted == announced else replace(one, only=wanted)


def ranges_of(pools: Iterable[SpiderIPPool], advertisements: list[PoolAdvertisement]) -> Iterable[RangeSet]:
    """Accepted ranges of every pool that an advertisement selects."""
    for pool in pools:
        labels = pool.metadata.labels or {}
        selectors = [selector_of(one.spec.pool_selector) for one in advertisements]
        if pool.status.accepted_ranges and any(one is None or one.matches(labels) for one in selectors):
            yield RangeSet.parse(family_of(pool.spec.subnet), pool.status.accepted_ranges)
