"""What is filled in where an author wrote nothing: family, merged ranges, the subnet's gateway and routes, labels. Pure.

The webhook does it before the object is stored; the controller does it afterwards for objects that came while no webhook
answered. Both write what is lacking and nothing else, so it makes no difference who was first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ipam.acceptance import Acceptance
from ipam.errors import AddressError
from ipam.prefix import RangeSet, canonical_prefix
from netmgr.api.meta import Json
from netmgr.api.spider import LabelKeys, Route, SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.controller import codec

SUBNET_CIDR = LabelKeys.PREFIX + "subnet-cidr"
POOL_CIDR = LabelKeys.PREFIX + "ippool-cidr"
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def subnet_defaults(subnet: SpiderSubnet) -> Json:
    """What a SpiderSubnet lacks, as a merge patch; empty where it lacks nothing."""
    spec = version_of(subnet.spec.ip_version, subnet.spec.subnet) | ranges_of(subnet) | routes_of(subnet.spec.routes)
    return patch(spec, subnet.metadata.labels, {SUBNET_CIDR: label_of(subnet.spec.subnet)})


def pool_defaults(pool: SpiderIPPool, subnet: SpiderSubnet | None) -> Json:
    """What a SpiderIPPool lacks; `subnet` is the accepted one of the same prefix. `routes: []` says: none, and inherits none."""
    spec = (
        version_of(pool.spec.ip_version, pool.spec.subnet) | ranges_of(pool) | routes_of(pool.spec.routes) | inherited(pool, subnet)
    )
    labels = {POOL_CIDR: label_of(pool.spec.subnet), LabelKeys.OWNER_SUBNET: subnet.metadata.name if subnet else ""}
    return patch(spec, pool.metadata.labels, labels)


def reserved_defaults(reserved: SpiderReservedIP) -> Json:
    """What a SpiderReservedIP lacks: its family, and merged ranges."""
    texts = reserved.spec.ips
    if not texts:
        return {}
    spec = version_of(reserved.spec.ip_version, texts[0])
    if len(texts) > 1 and (merged := merged_of(texts[0], texts)) != texts:
        spec["ips"] = merged
    return patch(spec, None, {})


def inherited(pool: SpiderIPPool, subnet: SpiderSubnet | None) -> Json:
    """Gateway and routes of the subnet, where the pool says nothing about them."""
    if subnet is None:
        return {}
    spec: Json = {}
    if pool.spec.gateway is None and subnet.spec.gateway:
        spec["gateway"] = subnet.spec.gateway
    if pool.spec.routes is None and subnet.spec.routes:
        spec["routes"] = [{"dst": route.dst, "gw": route.gw} for route in subnet.spec.routes]
    return spec


def owner_of(pool: SpiderIPPool, subnets: Mapping[str, SpiderSubnet], verdicts: Mapping[str, Acceptance]) -> SpiderSubnet | None:
    """The accepted subnet with the pool's prefix."""
    for name, subnet in subnets.items():
        if subnet.spec.subnet == pool.spec.subnet and (verdict := verdicts.get(name)) is not None and verdict.accepted:
            return subnet
    return None


def version_of(present: int | None, subnet: str) -> Json:
    """The family, from the prefix."""
    return {} if present is not None else {"ipVersion": codec.family_of(subnet).number}


def ranges_of(one: SpiderSubnet | SpiderIPPool) -> Json:
    """`ips` and `excludeIPs`, sorted and merged where they are several; left alone where they cannot be read."""
    spec: Json = {}
    for field, texts in (("ips", one.spec.ips), ("excludeIPs", one.spec.exclude_ips)):
        if texts and len(texts) > 1 and (merged := merged_of(one.spec.subnet, texts)) != texts:
            spec[field] = merged
    return spec


def merged_of(family_of: str, texts: list[str]) -> list[str]:
    """Ranges in order, neighbours joined; as they are where one cannot be read, or is of the other family."""
    try:
        return RangeSet.parse(codec.family_of(family_of), texts).texts()
    except AddressError:
        return texts


def routes_of(routes: list[Route] | None) -> Json:
    """Routes with the host bits of their destinations cleared: the kernel refuses such a destination, older tools write it."""
    tidy = [{"dst": canonical(route.dst), "gw": route.gw} for route in routes or ()]
    return {"routes": tidy} if any(new["dst"] != old.dst for new, old in zip(tidy, routes or (), strict=True)) else {}


def canonical(text: str) -> str:
    """A prefix as the API wants it; as it is where it cannot be read."""
    try:
        return canonical_prefix(text)
    except AddressError:
        return text


def label_of(subnet: str) -> str:
    """A prefix as the value of a label: `10-244-0-0-16`."""
    return re.sub(r"[./:]", "-", subnet)


def patch(spec: Json, labels: Mapping[str, str] | None, wanted: Mapping[str, str]) -> Json:
    """A merge patch of what differs. A value that cannot be a label (too long a name) is left out."""
    missing = {key: value for key, value in wanted.items() if LABEL_VALUE.fullmatch(value) and (labels or {}).get(key) != value}
    return ({"spec": spec} if spec else {}) | ({"metadata": {"labels": missing}} if missing else {})


def operations(change: Json, *, has_labels: bool) -> tuple[Json, ...]:
    """A merge patch of ours as JSON patch: fields are set, none is removed."""
    made = [{"op": "add", "path": f"/spec/{field}", "value": value} for field, value in change.get("spec", {}).items()]
    labels = change.get("metadata", {}).get("labels", {})
    if labels and not has_labels:
        return (*made, {"op": "add", "path": "/metadata/labels", "value": labels})
    steps = [
        {"op": "add", "path": f"/metadata/labels/{key.replace('~', '~0').replace('/', '~1')}", "value": labels[key]}
        for key in labels
    ]
    return (*made, *steps)
