"""A Pod's allocations as the SpiderEndpoint that Spiderpool's users know. Pure.

| allocation | SpiderEndpoint |
| --- | --- |
| of a Pod | has the Pod's name, belongs to it (ownerReference) and goes with it |
| of a StatefulSet's ordinal | has the Pod's name and no owner: it outlives the Pod as the address does |
| of a KubeVirt VM | has the VM's name and no owner |
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ipam.prefix import AddressFamily
from netmgr.api.allocation import AllocationSpec, IPAllocation
from netmgr.api.endpoint import EndpointCurrent, EndpointInterface, EndpointStatus
from netmgr.api.meta import Json
from netmgr.api.spider import GROUP_VERSION
from netmgr.controller.codec import family_of

MANAGED_BY, MANAGER = "app.kubernetes.io/managed-by", "netmgr-controller"
KUBEVIRT = "kubevirt.io/"
FAMILY_FIELDS = {AddressFamily.IPV4: "ipv4", AddressFamily.IPV6: "ipv6"}


def is_virtual_machine(spec: AllocationSpec) -> bool:
    """Whether a KubeVirt VM is the claimant."""
    return spec.claimant.api_version.startswith(KUBEVIRT)


def endpoint_key(spec: AllocationSpec) -> str:
    """`namespace/name` of the SpiderEndpoint that shows the allocation."""
    name = spec.claimant.name if is_virtual_machine(spec) else spec.pod.name
    return f"{spec.pod.namespace}/{name}"


def outlives_its_pod(spec: AllocationSpec) -> bool:
    """Whether the addresses, and with them the SpiderEndpoint, stay for the next Pod."""
    return spec.claimant.ordinal is not None or is_virtual_machine(spec)


def current_of(held: Iterable[IPAllocation]) -> list[IPAllocation]:
    """The allocations of the Pod that holds them now: of two Pods of one name (a migration, a late release) the newer one's."""
    many = sorted(held, key=lambda one: one.seniority)
    return [one for one in many if one.spec.pod.uid == many[-1].spec.pod.uid]


def status_of(held: list[IPAllocation]) -> EndpointStatus:
    """The status; of two allocations for one interface and family (one is surplus) the older one shows. `held` is not empty."""
    spec = held[0].spec
    interfaces: dict[str, Json] = {}
    for one in sorted(held, key=lambda each: each.seniority):
        entry = interfaces.setdefault(one.spec.interface, {"interface": one.spec.interface})
        word = FAMILY_FIELDS[family_of(one.spec.address)]
        if word not in entry:
            entry |= fields_of(word, one.spec)
            entry["routes"] = [*entry.get("routes", ()), *(one.spec.routes or ())]
    entries = [entry | {"routes": entry["routes"] or None} for _, entry in sorted(interfaces.items())]
    ips = [msgspec.convert(entry, EndpointInterface) for entry in entries]
    return EndpointStatus(
        current=EndpointCurrent(uid=spec.pod.uid, node=spec.node_name, ips=ips),
        owner_controller_type=spec.claimant.kind,
        owner_controller_name=spec.claimant.name,
    )


def fields_of(word: str, spec: AllocationSpec) -> Json:
    """What one address adds to its interface's entry."""
    fields: Json = {word: f"{spec.address}/{spec.prefix_length}", f"{word}Pool": spec.pool}
    fields |= {"cleanGateway": True} if spec.clean_gateway else {}
    return fields | ({f"{word}Gateway": spec.gateway} if spec.gateway else {})


def body_of(key: str, held: list[IPAllocation]) -> Json:
    """The whole object."""
    namespace, _, name = key.partition("/")
    pod = held[0].spec.pod
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid, "controller": True}
    return {
        "apiVersion": GROUP_VERSION,
        "kind": "SpiderEndpoint",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {MANAGED_BY: MANAGER},
            "ownerReferences": [] if outlives_its_pod(held[0].spec) else [owner],
        },
        "status": msgspec.to_builtins(status_of(held)),
    }
