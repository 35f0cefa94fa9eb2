"""A cluster with Spiderpool in it, in words: objects as its controller and agents leave them."""

from __future__ import annotations

from typing import Any

import msgspec

from netmgr.api.allocation import IPAllocation
from netmgr.api.endpoint import SpiderEndpoint
from netmgr.api.meta import Json
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.api.workload import Node, Workload
from netmgr.importing.found import Finding, Found, ListedPod
from netmgr.importing.plan import Plan

NODE = {"metadata": {"name": "n1"}, "status": {"nodeInfo": {"bootID": "boot-1"}}}
DEPLOYMENT_SELECTOR = {"matchLabels": {"app": "web"}}


def pool(name: str = "p", ips: tuple[str, ...] = ("10.6.0.10-10.6.0.20",), used: Json | None = None, **spec: Any) -> SpiderIPPool:
    allocated = {address: dict(zip(("pod", "podUid"), who, strict=True)) for address, who in (used or {}).items()}
    meta = {"name": name, "finalizers": ["spiderpool.spidernet.io"], "labels": spec.pop("labels", {})}
    meta |= {"deletionTimestamp": spec.pop("deleted")} if "deleted" in spec else {}
    prefix = spec.pop("subnet", "10.6.0.0/24")
    status = {"allocatedIPs": msgspec.json.encode(allocated).decode()} if allocated else {}
    return msgspec.convert({"metadata": meta, "spec": {"subnet": prefix, "ips": list(ips), **spec}, "status": status}, SpiderIPPool)


def endpoint(name: str, uid: str, *ips: Json, owner: tuple[str, str] = ("Pod", ""), node: str = "n1") -> SpiderEndpoint:
    current = {"uid": uid, "node": node, "ips": list(ips)}
    status = {"current": current, "ownerControllerType": owner[0], "ownerControllerName": owner[1] or name}
    return msgspec.convert({"metadata": {"name": name, "namespace": "default"}, "status": status}, SpiderEndpoint)


def entry(ipv4: str = "", ipv6: str = "", interface: str = "eth0", **fields: Any) -> Json:
    one: Json = {"interface": interface, **fields}
    one |= {"ipv4": f"{ipv4}/24", "ipv4Pool": "p"} if ipv4 else {}
    return one | ({"ipv6": f"{ipv6}/64", "ipv6Pool": "p6"} if ipv6 else {})


def pod(
    name: str, uid: str, *addresses: str, owner: tuple[str, str] | None = None, phase: str = "Running", **spec: Any
) -> ListedPod:
    meta: Json = {"name": name, "namespace": "default", "uid": uid, "labels": {"app": "web"}, "creationTimestamp": f"t-{uid}"}
    if owner:
        kind, owner_name = owner
        meta["ownerReferences"] = [
            {"kind": kind, "name": owner_name, "uid": f"uid-{owner_name}", "apiVersion": "apps/v1", "controller": True}
        ]
    status = {"phase": phase, "podIPs": [{"ip": address} for address in addresses]}
    return msgspec.convert({"metadata": meta, "spec": {"nodeName": "n1", **spec}, "status": status}, ListedPod)


def workload(name: str, replicas: int = 1) -> Workload:
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return msgspec.convert({"metadata": meta, "spec": {"replicas": replicas, "selector": DEPLOYMENT_SELECTOR}}, Workload)


def reserved(*ips: str) -> SpiderReservedIP:
    return msgspec.convert({"metadata": {"name": "r"}, "spec": {"ips": list(ips)}}, SpiderReservedIP)


def subnet() -> SpiderSubnet:
    meta = {"name": "s", "finalizers": ["spiderpool.spidernet.io"]}
    return msgspec.convert({"metadata": meta, "spec": {"subnet": "10.6.0.0/24", "ips": ["10.6.0.1-10.6.0.200"]}}, SpiderSubnet)


def found(*many: object, stateful_sets: tuple[Workload, ...] = (), machines: tuple[Workload, ...] = ()) -> Found:
    """Sorts objects by their type."""

    def of(type_: type[Any]) -> Any:
        return tuple(one for one in many if isinstance(one, type_))

    named = {("apps/v1", "StatefulSet"): stateful_sets, ("kubevirt.io/v1", "VirtualMachine"): machines}
    return Found(
        subnets=of(SpiderSubnet),
        pools=of(SpiderIPPool),
        reservations=of(SpiderReservedIP),
        endpoints=of(SpiderEndpoint),
        pods=of(ListedPod),
        nodes=(msgspec.convert(NODE, Node),),
        allocations=of(IPAllocation),
        workloads={kind: {f"default/{one.metadata.name}": one for one in some} for kind, some in named.items()},
    )


def rules(decided: Plan) -> list[str]:
    return [one.rule for one in decided.findings]


def conflicts(decided: Plan) -> list[Finding]:
    return [one for one in decided.findings if not one.harmless]


def specs(decided: Plan) -> dict[str, Json]:
    return {body["spec"]["address"]: body["spec"] for body in decided.allocations}


def made(decided: Plan) -> tuple[IPAllocation, ...]:
    """The allocations of a plan, as the API server would have them."""
    bodies = [{**body, "metadata": {**body["metadata"], "uid": "u"}} for body in decided.allocations]
    return tuple(msgspec.convert(body, IPAllocation) for body in bodies)
