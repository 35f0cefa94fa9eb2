"""The invariants of a cluster, as a pure function from what was read to what is wrong.

Each rule has a name; a finding names the object, what was found and what to do. A cluster in motion may show findings that are
gone a second later: read twice before believing one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from cni.attachments import Attachment
from netmgr.api.allocation import IPAllocation
from netmgr.api.spider import SpiderIPPool, SpiderSubnet
from netmgr.api.workload import ENDED, Node, Pod


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken invariant."""

    rule: str
    object: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """What one node says: its agent's records, and its kernel's host routes (address to link) with our protocol number.

    `addresses` are the node's own, link-local ones too: a router may take an IPv6 neighbor's as next hop (RFC 2545 section 3).
    """

    attached: tuple[Attachment, ...] = ()
    routes: Mapping[str, str] = field(default_factory=dict)
    links: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that was read. `nodes` and `router` (prefix to next hops, from its kernel) are None where nobody looked."""

    allocations: tuple[IPAllocation, ...] = ()
    pods: tuple[Pod, ...] = ()
    pools: tuple[SpiderIPPool, ...] = ()
    subnets: tuple[SpiderSubnet, ...] = ()
    node_objects: tuple[Node, ...] = ()
    nodes: Mapping[str, NodeView] | None = None
    router: Mapping[str, tuple[str, ...]] | None = None


def findings(view: View) -> list[Finding]:
    """Everything that is wrong."""
    found = [*of_allocations(view), *of_pods(view), *of_counts(view)]
    if view.nodes is not None:
        found += [*of_records(view, view.nodes), *of_kernels(view.nodes)]
        if view.router is not None:
            found += of_router(view, view.nodes, view.router)
    return found


def of_allocations(view: View) -> Iterator[Finding]:
    """Every allocation's Pod lives on the allocation's node, and its pool exists; no address twice."""
    pods = {pod.metadata.uid: pod for pod in view.pods}
    pools = {pool.metadata.name for pool in view.pools}
    for address, count in Counter(one.spec.address for one in view.allocations).items():
        if count > 1:
            yield Finding("address-once", f"address {address}", f"{count} IPAllocations hold it; report this, it cannot happen")
    for one in view.allocations:
        name = f"IPAllocation {one.metadata.name}"
        holder = f"{one.spec.pod.namespace}/{one.spec.pod.name}"
        pod = pods.get(one.spec.pod.uid)
        if pod is None:
            yield Finding("allocation-has-pod", name, f"its Pod {holder} is gone: it leaks until the node's agent confirms")
        elif pod.status.phase in ENDED:
            yield Finding("allocation-has-pod", name, f"its Pod {holder} has ended ({pod.status.phase}) and still holds it")
        elif pod.spec.node_name != one.spec.node_name:
            yield Finding(
                "allocation-on-node", name, f"is for node {one.spec.node_name}, its Pod {holder} is on {pod.spec.node_name}"
            )
        if one.spec.pool not in pools:
            yield Finding("allocation-has-pool", name, f"its pool {one.spec.pool} does not exist")


def of_pods(view: View) -> Iterator[Finding]:
    """No two Pods have one address; what a Pod of ours reports is what it was given."""
    addresses: dict[str, list[str]] = defaultdict(list)
    given = {(one.spec.pod.uid, one.spec.address) for one in view.allocations}
    ours = [ip_network(pool.spec.subnet, strict=False) for pool in view.pools]
    for pod in view.pods:
        address = pod.status.pod_ip
        if not address or pod.spec.host_network or pod.status.phase in ENDED:
            continue
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        addresses[address].append(name)
        inside = any(ip_address(address) in prefix for prefix in ours)
        if inside and (pod.metadata.uid, address) not in given and not pod.metadata.deletion_timestamp:
            yield Finding("pod-has-allocation", f"Pod {name}", f"uses {address} without an IPAllocation; restart the Pod")
    for address, holders in addresses.items():
        if len(holders) > 1:
            yield Finding("address-once", f"address {address}", f"used by {' and '.join(holders)}; restart one of them")


def of_counts(view: View) -> Iterator[Finding]:
    """Pools report how many of their addresses are held."""
    held = Counter(one.spec.pool for one in view.allocations)
    for pool in view.pools:
        told, real = pool.status.allocated_ip_count or 0, held[pool.metadata.name]
        if told != real:
            yield Finding("pool-count", f"SpiderIPPool {pool.metadata.name}", f"reports {told} addresses in use, {real} are held")


def of_records(view: View, nodes: Mapping[str, NodeView]) -> Iterator[Finding]:
    """Each attachment has its allocation on its own node, and no address is attached on two nodes."""
    known = {(one.metadata.name, one.metadata.uid): one for one in view.allocations}
    where: dict[str, list[str]] = defaultdict(list)
    for node, seen in nodes.items():
        for attachment in seen.attached:
            name = f"attachment {attachment.key} of node {node}"
            for grant in attachment.grants:
                where[grant.address].append(f"{node}/{attachment.container_id[:12]}")
                one = known.get((grant.name, grant.uid))
                if one is None:
                    yield Finding("record-has-allocation", name, f"{grant.address} has no IPAllocation any more")
                elif one.spec.node_name != node or one.spec.pod.uid != attachment.pod_uid:
                    yield Finding(
                        "record-has-allocation", name, f"{grant.address} is {one.spec.pod.name}'s on {one.spec.node_name}"
                    )
    for address, places in where.items():
        if len(places) > 1:
            yield Finding("address-once", f"address {address}", f"attached {len(places)} times: {', '.join(places)}")
    running = {pod.metadata.uid for pod in view.pods if pod.status.phase == "Running" and not pod.metadata.deletion_timestamp}
    for one in view.allocations:
        expected = one.spec.pod.uid in running and one.spec.node_name in nodes and not one.is_imported
        if expected and one.spec.address not in where:
            yield Finding("allocation-attached", f"IPAllocation {one.metadata.name}", "its Pod runs, the agent has no record of it")


def of_kernels(nodes: Mapping[str, NodeView]) -> Iterator[Finding]:
    """Each attachment of our main plugin has its host route to its link, and there is no other host route."""
    for node, seen in nodes.items():
        wanted = {grant.address: one.link for one in seen.attached if one.link for grant in one.grants}
        for address, link in wanted.items():
            found = seen.routes.get(address)
            if found != link:
                yield Finding("kernel-route", f"node {node}", f"{address} should lead to {link}, it leads to {found or 'nothing'}")
            elif link not in seen.links:
                yield Finding("kernel-route", f"node {node}", f"{address} leads to {link}, which does not exist")
        for address in sorted(seen.routes.keys() - wanted.keys()):
            yield Finding("kernel-route", f"node {node}", f"{address} leads to {seen.routes[address]} without an attachment: stale")


def of_router(view: View, nodes: Mapping[str, NodeView], router: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    """The router has one route for each host route of a node, through that node, and nothing else from the nodes."""
    node_of: dict[str, str] = {}
    for node in view.node_objects:
        for one in node.status.addresses or ():
            if one.type == "InternalIP":
                node_of[one.address] = node.metadata.name
    node_of |= {address: name for name, seen in nodes.items() for address in seen.addresses}
    wanted = {plain(address): node for node, seen in nodes.items() for address in seen.routes}
    told = {plain(prefix): tuple(node_of.get(hop, hop) for hop in hops) for prefix, hops in router.items()}
    for prefix, host in wanted.items():
        if told.get(prefix) != (host,):
            seen_there = ", ".join(told.get(prefix, ())) or "no next hop"
            yield Finding("router-route", f"router, {prefix}", f"should be reached through {host}, the router has {seen_there}")
    for prefix in sorted(told.keys() - wanted.keys()):
        yield Finding("router-route", f"router, {prefix}", f"through {', '.join(told[prefix])}: no node has a host route for it")


def plain(prefix: str) -> str:
    """A host route without its length, as `ip route` prints it or not."""
    return str(ip_address(prefix.partition("/")[0])) if prefix.endswith(("/32", "/128")) or "/" not in prefix else prefix


def summary(view: View) -> dict[str, int]:
    """How much was compared."""
    counted: dict[str, Iterable[object]] = {
        "allocations": view.allocations,
        "pods": view.pods,
        "pools": view.pools,
        "subnets": view.subnets,
    }
    sizes = {name: len(list(many)) for name, many in counted.items()}
    if view.nodes is not None:
        sizes |= {
            "nodes": len(view.nodes),
            "attachments": sum(len(one.attached) for one in view.nodes.values()),
            "hostRoutes": sum(len(one.routes) for one in view.nodes.values()),
        }
    return sizes | ({"routerRoutes": len(view.router)} if view.router is not None else {})
