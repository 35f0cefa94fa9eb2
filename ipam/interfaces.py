"""What each interface of a Pod asks for. The precedence of `annotations` holds for each interface by itself.

| source | speaks for |
| --- | --- |
| `subnets`, `ippools` | every interface: one that the list lacks gets nothing, and is told so |
| `subnet` | the interface that it names (eth0), no other |
| `ippool`, the namespace's defaults | every interface; each gets an address of its own, also from the same pool |
| a NetworkAttachmentDefinition's `default_ipv4_ippool`, `default_ipv6_ippool` | its interfaces |
| pools with `spec.default`, then the fallback | eth0, and further interfaces only of networks that netmgr gives addresses to |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ipam.annotations import (
    DEFAULT_INTERFACE,
    DEFAULT_ROUTE_NIC,
    POOL,
    POOLS,
    ROUTES,
    SUBNET,
    SUBNETS,
    InterfaceRequest,
    Source,
    decode,
    namespace_defaults,
    parse_default_route,
    parse_entry,
    parse_list,
    parse_routes,
)
from ipam.errors import AnnotationError
from ipam.networks import NETWORKS, Attachment, parse_default_network, parse_networks
from ipam.prefix import AddressFamily
from ipam.route import PodRoute

NO_POOLS: Mapping[AddressFamily, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True)
class Nic:
    """An interface that may ask us. `network` is `namespace/name`; empty: the cluster's own, whatever that is."""

    interface: str
    network: str = ""
    pools: Mapping[AddressFamily, tuple[str, ...]] = field(default_factory=dict)
    clean_gateway: bool = False


@dataclass(frozen=True, slots=True)
class NicRequest:
    """What one interface asks for. No source: default pools, then the fallback, decide."""

    interface: str
    network: str
    names: Mapping[AddressFamily, tuple[str, ...]]
    source: Source = Source.DEFAULT
    clean_gateway: bool = False


@dataclass(frozen=True, slots=True)
class PodRequest:
    """Everything a Pod asks for. `absent` interfaces are lacking in a list that speaks for all, `unknown` networks do not exist."""

    nics: tuple[NicRequest, ...]
    absent: tuple[str, ...] = ()
    listed_in: str = ""
    unknown: tuple[str, ...] = ()
    routes: tuple[PodRoute, ...] = ()

    @property
    def wants_auto_pool(self) -> bool:
        """Whether a subnet is named, so that the application gets pools of its own."""
        return any(one.source is Source.SUBNET for one in self.nics)


def parse_pod(
    annotations: Mapping[str, str] | None,
    namespace: str,
    namespace_annotations: Mapping[str, str] | None,
    attachments: Mapping[str, Attachment],
) -> PodRequest:
    """The request of a Pod, interface by interface, eth0 first; AnnotationError on what cannot be understood."""
    pod = annotations or {}
    networks = parse_networks(pod, namespace)
    nics = _nics(pod, namespace, attachments)
    statements = _statements(pod, namespace_annotations or {}, [DEFAULT_INTERFACE, *(one.interface for one in networks)])
    nics = _with_named(pod, nics, statements, listed=bool(networks), others={one.interface for one in networks})
    found = [(nic, _of(nic, statements)) for nic in nics]
    absent = [nic.interface for nic, request in found if request is None]
    asked = _with_default_route(pod, [request for _, request in found if request is not None], {one.interface for one in networks})
    return PodRequest(
        nics=tuple(asked),
        absent=tuple(absent),
        listed_in=statements[0].key if statements else "",
        unknown=tuple(one.reference for one in networks if one.reference not in attachments),
        routes=parse_routes(pod[ROUTES]) if ROUTES in pod else (),
    )


@dataclass(frozen=True, slots=True)
class _Statement:
    """One source: entries by interface, or one `for_all`. `complete`: it speaks for interfaces that it lacks, too."""

    key: str
    entries: Mapping[str, InterfaceRequest]
    for_all: InterfaceRequest | None = None
    complete: bool = False


def _statements(pod: Mapping[str, str], namespace: Mapping[str, str], names: list[str]) -> list[_Statement]:
    """What annotations say, the first to be asked first."""
    found: list[_Statement] = []
    for plural, single, source in ((SUBNETS, SUBNET, Source.SUBNET), (POOLS, POOL, Source.POOL)):
        if plural in pod:
            entries = parse_list(plural, pod[plural], source, names)
            found.append(_Statement(plural, {one.interface: one for one in entries}, complete=True))
        elif single in pod:
            value = decode(single, pod[single])
            entry = parse_entry(single, pod[single], value, source)
            everywhere = source is Source.POOL and isinstance(value, dict) and "interface" not in value
            found.append(_Statement(single, {entry.interface: entry}, for_all=entry if everywhere else None))
    found += [_Statement("", {}, for_all=one) for one in namespace_defaults(namespace)]
    return found


def _nics(pod: Mapping[str, str], namespace: str, attachments: Mapping[str, Attachment]) -> list[Nic]:
    """Interfaces whose addresses are ours; eth0 is, unless its network says otherwise."""
    nics: list[Nic] = []
    default = parse_default_network(pod)
    for one in ([default] if default is not None else []) + list(parse_networks(pod, namespace)):
        known = attachments.get(one.reference)
        if known is not None and known.ours:
            nics.append(Nic(one.interface, one.reference, known.pools, known.clean_gateway))
        elif known is None and one is default:  # without Multus nobody reads the annotation, and eth0 is the cluster's own
            nics.append(Nic(one.interface, one.reference if attachments else ""))
    return nics if default is not None else [Nic(DEFAULT_INTERFACE), *nics]


def _with_named(
    pod: Mapping[str, str], nics: list[Nic], statements: list[_Statement], *, listed: bool, others: set[str]
) -> list[Nic]:
    """With the interfaces that the first annotation names itself; whoever else may make them asks us by that name."""
    known = {one.interface for one in nics}
    for name in statements[0].entries if statements else ():
        if name in known:
            continue
        if listed and name not in others | {DEFAULT_INTERFACE}:
            have = ", ".join(sorted({DEFAULT_INTERFACE} | others))
            key = statements[0].key
            raise AnnotationError(
                key, pod[key], f"names interface {name}, which the Pod does not have", f"it has {have}, see annotation {NETWORKS}"
            )
        nics = [*nics, Nic(name)]
    return nics


def _of(nic: Nic, statements: list[_Statement]) -> NicRequest | None:
    """What the first source says that speaks for the interface; None where a list that speaks for all lacks it."""
    for one in statements:
        entry = one.entries.get(nic.interface) or one.for_all
        if entry is not None:
            clean = entry.clean_gateway or nic.clean_gateway
            return NicRequest(nic.interface, nic.network, entry.names, entry.source, clean)
        if one.complete:
            return None
    source = Source.NETWORK if nic.pools else Source.DEFAULT
    return NicRequest(nic.interface, nic.network, nic.pools, source, nic.clean_gateway)


def _with_default_route(pod: Mapping[str, str], nics: list[NicRequest], others: set[str]) -> list[NicRequest]:
    """One interface has a default route: the one that is named, else eth0. Of two, luck would choose."""
    present = {one.interface for one in nics} | others | {DEFAULT_INTERFACE}
    chosen = parse_default_route(pod[DEFAULT_ROUTE_NIC]) if DEFAULT_ROUTE_NIC in pod else DEFAULT_INTERFACE
    if chosen not in present:
        have = ", ".join(sorted(present))
        raise AnnotationError(DEFAULT_ROUTE_NIC, chosen, "is no interface of the Pod", f"name one of {have}")
    return [replace(one, clean_gateway=one.clean_gateway or one.interface != chosen) for one in nics]
