"""Reads what Spiderpool's objects and the Pods say about addresses. Pure.

Three sources: `status.allocatedIPs` of a SpiderIPPool (address, Pod, UID), a SpiderEndpoint (interface, node, gateway, routes too),
and `status.podIPs` of a Pod, as far as they lie in a pool.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from ipam.errors import AddressError
from ipam.prefix import Address, AddressFamily, RangeSet, parse_address
from netmgr.api.endpoint import EndpointInterface, SpiderEndpoint
from netmgr.api.spider import SpiderIPPool
from netmgr.controller.codec import TERMINAL, family_of
from netmgr.importing.found import ETH0, Finding, Found, ListedPod, Record, Source


class PoolEntry(msgspec.Struct, frozen=True, rename={"pod_uid": "podUid"}):
    """One entry of `status.allocatedIPs`; versions before 0.9 also wrote the interface."""

    pod: str = ""
    pod_uid: str = ""
    interface: str = ""


class PoolRanges:
    """Which pool an address lies in; ranges that cannot be read count as none."""

    def __init__(self, pools: Iterable[SpiderIPPool]) -> None:
        self.of: dict[str, RangeSet] = {one.metadata.name: ranges_of(one) for one in pools}
        spans = [(span.family, first, last, name) for name, span in self.of.items() for first, last in span.spans]
        self._spans: dict[AddressFamily, list[tuple[int, int, str]]] = {
            family: sorted((first, last, name) for f, first, last, name in spans if f is family) for family in AddressFamily
        }

    def pool_with(self, address: Address) -> str:
        """The pool's name, or nothing."""
        spans = self._spans[address.family]
        at = bisect_right(spans, (address.value, 1 << 129, "")) - 1
        return spans[at][2] if at >= 0 and address.value <= spans[at][1] else ""


def ranges_of(pool: SpiderIPPool) -> RangeSet:
    """The addresses that a pool may give out."""
    family = family_of(pool.spec.subnet)
    try:
        return RangeSet.parse(family, pool.spec.ips or ()).subtract(RangeSet.parse(family, pool.spec.exclude_ips or ()))
    except AddressError:
        return RangeSet(family)


def records(found: Found, ranges: PoolRanges) -> tuple[dict[Address, list[Record]], list[Finding]]:
    """What is said about each address, and what could not be read."""
    by_address: defaultdict[Address, list[Record]] = defaultdict(list)
    findings: list[Finding] = []
    for pool in found.pools:
        findings += unreadable(pool)
    for one in (*of_pools(found.pools), *of_endpoints(found.endpoints)):
        try:
            by_address[parse_address(one.address)].append(one)
        except AddressError as error:
            words = f"{one.source} of Pod {one.pod}: {error}; it is left out"
            findings.append(Finding(rule="Unreadable", object=f"Pod {one.pod}", message=words, remedy="restart the Pod"))
    for one in of_pods(found.pods):
        address = parse_address(one.address)
        if ranges.pool_with(address) or address in by_address:
            by_address[address].append(one)
    return by_address, findings


def entries_of(pool: SpiderIPPool) -> dict[str, PoolEntry] | None:
    """What a pool has recorded; None where that is no JSON of the known shape."""
    text = pool.status.allocated_ips
    try:
        return msgspec.json.decode(text, type=dict[str, PoolEntry]) if text else {}
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def unreadable(pool: SpiderIPPool) -> Iterator[Finding]:
    """A pool whose records are no JSON."""
    if entries_of(pool) is None:
        yield Finding(
            rule="Unreadable",
            object=f"SpiderIPPool {pool.metadata.name}",
            message="status.allocatedIPs is no JSON of the known shape; its addresses are those of SpiderEndpoints and Pods",
            remedy="compare the pool with its Pods after the import: netmgr check",
        )


def of_pools(pools: Iterable[SpiderIPPool]) -> Iterator[Record]:
    """Entries of `status.allocatedIPs`."""
    for pool in pools:
        for address, entry in (entries_of(pool) or {}).items():
            yield Record(
                source=Source.POOL,
                address=address,
                pod=entry.pod,
                uid=entry.pod_uid,
                pool=pool.metadata.name,
                interface=entry.interface,
            )


def of_endpoints(endpoints: Iterable[SpiderEndpoint]) -> Iterator[Record]:
    """Each address of each interface."""
    for one in endpoints:
        for entry in one.status.current.ips:
            for text, pool, gateway in (
                (entry.ipv4, entry.ipv4_pool, entry.ipv4_gateway),
                (entry.ipv6, entry.ipv6_pool, entry.ipv6_gateway),
            ):
                if text:
                    yield of_interface(one, entry, text.partition("/")[0], pool, gateway)


def of_interface(one: SpiderEndpoint, entry: EndpointInterface, address: str, pool: str, gateway: str) -> Record:
    """One address of one interface, with the routes of its family."""
    family = family_of(address)
    return Record(
        source=Source.ENDPOINT,
        address=address,
        pod=f"{one.metadata.namespace}/{one.metadata.name}",
        uid=one.status.current.uid,
        pool=pool,
        interface=entry.interface,
        node=one.status.current.node,
        gateway=gateway,
        clean_gateway=entry.clean_gateway,
        routes=tuple(route for route in entry.routes or () if family_of(route.dst) is family),
        owner_kind=one.status.owner_controller_type,
        owner_name=one.status.owner_controller_name,
    )


def of_pods(pods: Iterable[ListedPod]) -> Iterator[Record]:
    """What the kubelets report of Pods that have not ended."""
    for pod in pods:
        for address in pod.addresses if pod.status.phase not in TERMINAL else ():
            yield Record(
                source=Source.POD,
                address=address,
                pod=f"{pod.metadata.namespace}/{pod.metadata.name}",
                uid=pod.metadata.uid,
                interface=ETH0,
                node=pod.spec.node_name,
            )
