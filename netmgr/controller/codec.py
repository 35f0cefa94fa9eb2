"""Kubernetes objects to the values that the ipam room decides on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache

import msgspec

from ipam.acceptance import Acceptance, Declared
from ipam.application import Application
from ipam.errors import AddressError
from ipam.prefix import AddressFamily, RangeSet
from ipam.selection import PodView, PoolView, Requirement, Selector
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import LabelSelector, Meta, ObjectReference
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.api.workload import Pod, Workload
from netmgr.controller.kinds import MACHINES, KindKey

APPLICATION = "netmgr.io/application"
APPLICATION_UID = "netmgr.io/application-uid"
SUBNET = "netmgr.io/subnet"
RECLAIM = "netmgr.io/reclaim"
MIRROR, CONFIG_HASH = "kubernetes.io/config.mirror", "kubernetes.io/config.hash"
TERMINAL = frozenset({"Succeeded", "Failed"})


def family_of(text: str) -> AddressFamily:
    """The family of an address, range or prefix, by its spelling."""
    return AddressFamily.IPV6 if ":" in text else AddressFamily.IPV4


def declared(one: SpiderSubnet | SpiderIPPool) -> Declared:
    """What its owner wrote."""
    return Declared(
        name=one.metadata.name,
        created=one.metadata.creation_timestamp,
        subnet=one.spec.subnet,
        ips=tuple(one.spec.ips or ()),
        exclude_ips=tuple(one.spec.exclude_ips or ()),
        gateway=one.spec.gateway or "",
    )


def selector_of(one: LabelSelector | None) -> Selector | None:
    """A label selector as requirements; nothing where there is none."""
    if one is None:
        return None
    equal = tuple(Requirement(key, "In", frozenset({value})) for key, value in (one.match_labels or {}).items())
    listed = tuple(Requirement(e.key, e.operator, frozenset(e.values or ())) for e in one.match_expressions or ())
    return Selector(equal + listed)


def pool_view(pool: SpiderIPPool, verdict: Acceptance | None, free: int) -> PoolView:
    """A pool as selection sees it."""
    spec = pool.spec
    return PoolView(
        name=pool.metadata.name,
        family=family_of(spec.subnet),
        free=free,
        accepted=verdict is not None and verdict.accepted,
        refusal=verdict.message if verdict is not None else "",
        terminating=pool.metadata.deletion_timestamp is not None,
        disabled=spec.disable,
        default=spec.default,
        application=owner_of(pool),
        node_names=frozenset(spec.node_name or ()),
        node_selector=selector_of(spec.node_affinity),
        namespaces=frozenset(spec.namespace_name or ()),
        namespace_selector=selector_of(spec.namespace_affinity),
        pod_selector=selector_of(spec.pod_affinity),
        networks=frozenset(spec.multus_name or ()),
    )


def pod_view(
    pod: Pod, application: Application | None, node: Meta | None, namespace: Meta | None, networks: frozenset[str] = frozenset()
) -> PodView:
    """A Pod as selection sees it, for the interface of that network, in each way to write its name."""
    return PodView(
        namespace=pod.metadata.namespace,
        labels=pod.metadata.labels or {},
        node=pod.spec.node_name,
        node_labels=(node.labels if node else None) or {},
        namespace_labels=(namespace.labels if namespace else None) or {},
        application=application.book_key if application else "",
        networks=networks,
    )


def application_of(kind: KindKey, workload: Workload) -> Application:
    """A workload as an application."""
    meta = workload.metadata
    return Application(group_version=kind[0], kind=kind[1], namespace=meta.namespace, name=meta.name, uid=meta.uid)


def application_reference(owner: Application) -> ObjectReference:
    """The application as the subject of an Event."""
    return ObjectReference(
        kind=owner.kind, api_version=owner.group_version, namespace=owner.namespace, name=owner.name, uid=owner.uid
    )


def needs_addresses(pod: Pod) -> bool:
    """Whether the Pod is one that a node will ask addresses for: bound, not on the host's network, alive."""
    meta = pod.metadata
    alive = meta.deletion_timestamp is None and pod.status.phase not in TERMINAL
    return bool(pod.spec.node_name) and not pod.spec.host_network and alive


def runtime_uid(pod: Pod) -> str:
    """What CNI calls the Pod, where it differs from its UID: static Pods (their mirror repeats the same hash)."""
    annotations = pod.metadata.annotations or {}
    return annotations.get(CONFIG_HASH, "") if MIRROR in annotations else ""


def holder_uid(pod: Pod) -> str:
    """What CNI calls the Pod."""
    return runtime_uid(pod) or pod.metadata.uid


def ordinal_of(pod: Pod, application: Application | None) -> int | None:
    """The number at the end of a StatefulSet Pod's name (of whatever group); a virtual machine has one Pod, whatever its name."""
    if application is not None and application.kind in MACHINES:
        return 0
    if application is None or application.kind != "StatefulSet":
        return None
    base, _, number = pod.metadata.name.rpartition("-")
    is_canonical = number.isdecimal() and str(int(number)) == number  # db-01 is not db-1
    return int(number) if base == application.name and is_canonical else None


def owner_of(pool: SpiderIPPool) -> str:
    """Book key of an auto pool's application; empty for a pool made by hand."""
    return (pool.metadata.annotations or {}).get(APPLICATION, "")


def claim_of(one: IPAllocation) -> tuple[str, int, str, AddressFamily] | None:
    """What the address belongs to where it belongs to an ordinal: owner's UID, ordinal, interface, family."""
    claimant = one.spec.claimant
    if claimant.ordinal is None:
        return None
    return (claimant.uid, claimant.ordinal, one.spec.interface, family_of(one.spec.address))


def book_of(subnet: SpiderSubnet) -> dict[str, tuple[list[str], str]]:
    """The subnet's book: pool name to (ranges, application key)."""
    return dict(read_book(subnet.status.controlled_ip_pools or "{}"))


@lru_cache(maxsize=32)
def read_book(text: str) -> Mapping[str, tuple[list[str], str]]:
    """The entries of a book, read once for each of its versions: it may have thousands. Not to be changed."""
    entries: dict[str, dict[str, object]] = msgspec.json.decode(text)
    return {name: (list(map(str, _items(e.get("ips")))), str(e.get("application", ""))) for name, e in entries.items()}


@lru_cache(maxsize=32)
def pools_by_owner(text: str) -> Mapping[str, frozenset[str]]:
    """Which pools a book has for each application."""
    found: dict[str, set[str]] = {}
    for pool, (_, owner) in read_book(text).items():
        found.setdefault(owner, set()).add(pool)
    return {owner: frozenset(pools) for owner, pools in found.items()}


def booked_for(subnet: SpiderSubnet, application: str) -> frozenset[str]:
    """Pools that the subnet's book has for an application."""
    return pools_by_owner(subnet.status.controlled_ip_pools or "{}").get(application, frozenset())


def gave_back(old: SpiderSubnet, new: SpiderSubnet) -> bool:
    """Whether a pool of the book has other ranges now, or none: there may be room where there was none."""
    if old.status.controlled_ip_pools == new.status.controlled_ip_pools:
        return False
    entries = book_of(new)
    return any(name not in entries or entries[name][0] != ranges for name, (ranges, _) in book_of(old).items())


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def reserved_in(family: AddressFamily, many: Iterable[SpiderReservedIP]) -> RangeSet:
    """Addresses of a family that no Pod gets. An entry that cannot be read reserves nothing, and spoils no other."""
    union = RangeSet(family)
    for one in many:
        for text in one.spec.ips:
            with suppress(AddressError):
                if family_of(text) is family:
                    union = union.union(RangeSet.parse(family, [text]))
    return union


def ranges_of(family: AddressFamily, texts: Iterable[str]) -> RangeSet:
    """Ranges that netmgr wrote itself."""
    return _parsed(family, tuple(texts))


@lru_cache(maxsize=16384)
def _parsed(family: AddressFamily, texts: tuple[str, ...]) -> RangeSet:
    """A book is read at each of its changes, and nearly all of it is as it was."""
    return RangeSet.parse(family, texts)


def held_by(one: IPAllocation) -> str:
    """`namespace/name` of the Pod that holds the address."""
    return f"{one.spec.pod.namespace}/{one.spec.pod.name}"
