"""What an application's auto pools are: which it wants, which it has, what each is called and how it looks. Pure.

A pool belongs to an application by two annotations, its key and its UID; by label to an interface; by its prefix to a family; and
it says which SpiderSubnet it was carved from. While an application moves to another subnet it has two pools for one interface and
family: the new one is its *home*, from the old one nothing is taken but by Pods whose own annotation still names that subnet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from ipam.annotations import SUBNETS, AddressRequest, Source
from ipam.application import Application, auto_pool_name
from ipam.prefix import AddressFamily
from netmgr.api import spider
from netmgr.api.meta import Json
from netmgr.api.spider import LabelKeys, SpiderIPPool, SpiderSubnet
from netmgr.controller import codec
from netmgr.controller.defaults import POOL_CIDR, label_of

LONGEST_LABEL = 63


@dataclass(frozen=True, slots=True)
class Wanted:
    """One auto pool as it should be; `subnets` are alternatives in the user's order."""

    application: Application
    family: AddressFamily
    interface: str
    subnets: tuple[str, ...]
    size: int
    request: AddressRequest

    def is_for(self, pool: SpiderIPPool) -> bool:
        """Whether the pool serves this interface and family."""
        return place_of(pool) == (self.interface, self.family)

    def pools_in(self, subnets: Iterable[str], pools: Iterable[SpiderIPPool]) -> list[SpiderIPPool]:
        """The pools of these subnets that may serve it."""
        return pools_for(self.application, self.interface, self.family, subnets, pools)

    def name(self, subnet: str, taken: Iterable[str]) -> str:
        """A name for the pool: without the subnet, unless the application has a pool of that name in another one."""
        plain = auto_pool_name(self.application, self.family, self.interface)
        return auto_pool_name(self.application, self.family, self.interface, subnet) if plain in taken else plain


def wanted_pools(application: Application, request: AddressRequest, size: int) -> list[Wanted]:
    """The pools that a request asks for, one per interface and family."""
    return [
        Wanted(application, family, one.interface, names, size, request)
        for one in request.interfaces
        if one.source is Source.SUBNET
        for family, names in one.names.items()
    ]


def place_of(pool: SpiderIPPool) -> tuple[str, AddressFamily]:
    """Interface and family that an auto pool serves."""
    return (pool.metadata.labels or {}).get(LabelKeys.INTERFACE, ""), codec.family_of(pool.spec.subnet)


def subnet_name(pool: SpiderIPPool) -> str:
    """The SpiderSubnet that an auto pool was carved from (the label leaves out names of more than 63 characters)."""
    labels, notes = pool.metadata.labels or {}, pool.metadata.annotations or {}
    return notes.get(codec.SUBNET, "") or labels.get(LabelKeys.OWNER_SUBNET, "")


def is_of(pool: SpiderIPPool, application: Application) -> bool:
    """Whether the pool is this very application's: its key alone would be a namesake's too."""
    notes = pool.metadata.annotations or {}
    return (notes.get(codec.APPLICATION), notes.get(codec.APPLICATION_UID)) == (application.book_key, application.uid)


def outlives(pool: SpiderIPPool) -> bool:
    """Whether the pool stays when its application goes, for the next one of that kind, namespace and name."""
    return (pool.metadata.annotations or {}).get(codec.RECLAIM) == "false"


def home(wanted: Wanted, pools: Iterable[SpiderIPPool]) -> SpiderIPPool | None:
    """Of an application's pools the one that the request asks for: of the first named subnet that has one."""
    found = wanted.pools_in(wanted.subnets, pools)
    return found[0] if found else None


def pools_for(
    application: Application, interface: str, family: AddressFamily, subnets: Iterable[str], pools: Iterable[SpiderIPPool]
) -> list[SpiderIPPool]:
    """Of an application's pools those of one interface and family that lie in the named subnets, in the subnets' order."""
    here = [one for one in pools if place_of(one) == (interface, family) and one.metadata.deletion_timestamp is None]
    here.sort(key=lambda one: (one.metadata.creation_timestamp, one.metadata.name), reverse=True)  # a copied manifest is no rival
    mine = {subnet_name(one): one for one in here if is_of(one, application) or outlives(one)}
    return [mine[name] for name in subnets if name in mine]


def annotations_of(pools: Iterable[SpiderIPPool]) -> dict[str, str] | None:
    """The request that these pools were made for, as annotations of a Pod; nothing where there are none."""
    entries: dict[str, dict[str, object]] = {}
    rules: dict[str, str] = {}
    for one in pools:
        interface, family = place_of(one)
        entry = entries.setdefault(interface, {"interface": interface})
        entry[f"ipv{family.number}"] = [subnet_name(one)]
        notes = one.metadata.annotations or {}
        rules |= {key: notes[key] for key in (LabelKeys.IP_NUMBER, LabelKeys.RECLAIM) if key in notes}
    return {SUBNETS: json.dumps(list(entries.values())), **rules} if entries else None


def notes_of(wanted: Wanted, subnet: str) -> dict[str, str]:
    """The annotations of an auto pool."""
    application = wanted.application
    notes = {codec.APPLICATION: application.book_key, codec.APPLICATION_UID: application.uid, codec.SUBNET: subnet}
    notes[codec.RECLAIM] = str(wanted.request.reclaim).lower()
    if wanted.request.number is not None:
        notes[LabelKeys.IP_NUMBER] = str(wanted.request.number)
    return notes


def labels_of(wanted: Wanted, subnet: str) -> dict[str, str]:
    """The labels that Spiderpool's tools look for, as far as their values fit."""
    application = wanted.application
    labels = {
        LabelKeys.OWNER_SUBNET: subnet,
        LabelKeys.APPLICATION_GV: application.group_version.replace("/", "_"),
        LabelKeys.APPLICATION_KIND: application.kind,
        LabelKeys.APPLICATION_NAMESPACE: application.namespace,
        LabelKeys.APPLICATION_NAME: application.name,
        LabelKeys.APPLICATION_UID: application.uid,
        LabelKeys.INTERFACE: wanted.interface,
        LabelKeys.IP_VERSION: wanted.family.word,
        LabelKeys.RECLAIM: str(wanted.request.reclaim).lower(),
    }
    return {key: value for key, value in labels.items() if len(value) <= LONGEST_LABEL}


def affinity_of(application: Application) -> dict[str, str]:
    """The pseudo labels by which Spiderpool's users find an application's pool; no Pod ever carries them."""
    group, _, version = application.group_version.rpartition("/")
    values = {
        "app-api-group": group,
        "app-api-version": version,
        "app-kind": application.kind,
        "app-namespace": application.namespace,
        "app-name": application.name,
    }
    return {LabelKeys.PREFIX + key: value for key, value in values.items()}


def pool_body(wanted: Wanted, name: str, subnet: SpiderSubnet, ranges: list[str]) -> Json:
    """A new auto pool."""
    spec: Json = {
        "ipVersion": wanted.family.number,
        "subnet": subnet.spec.subnet,
        "ips": ranges,
        "podAffinity": {"matchLabels": affinity_of(wanted.application)},
    }
    if subnet.spec.gateway:
        spec["gateway"] = subnet.spec.gateway
    if subnet.spec.routes:
        spec["routes"] = [{"dst": route.dst, "gw": route.gw} for route in subnet.spec.routes]
    labels, notes = labels_of(wanted, subnet.metadata.name), notes_of(wanted, subnet.metadata.name)
    labels[POOL_CIDR] = label_of(subnet.spec.subnet)
    return {
        "apiVersion": spider.GROUP_VERSION,
        "kind": "SpiderIPPool",
        "metadata": {"name": name, "labels": labels, "annotations": notes},
        "spec": spec,
    }


def changes(wanted: Wanted, pool: SpiderIPPool, ranges: list[str]) -> Json:
    """The merge patch that gives a pool its ranges and marks; empty where it has them."""
    subnet = subnet_name(pool)
    labels, notes = labels_of(wanted, subnet), notes_of(wanted, subnet)
    if wanted.request.number is None and LabelKeys.IP_NUMBER in (pool.metadata.annotations or {}):
        notes = {**notes, LabelKeys.IP_NUMBER: None}  # type: ignore[dict-item] # RFC 7396: null removes
    metadata: Json = {}
    if any((pool.metadata.labels or {}).get(key) != value for key, value in labels.items()):
        metadata["labels"] = labels
    if any((pool.metadata.annotations or {}).get(key) != value for key, value in notes.items()):
        metadata["annotations"] = notes
    body: Json = {"spec": {"ips": ranges}} if pool.spec.ips != ranges else {}
    return {**body, "metadata": metadata} if metadata else body
