"""Every invariant of `netmgr check` is broken once on purpose: a check that cannot fail proves nothing."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from cni.attachments import Attachment, Grant
from netmgr.api.allocation import AllocationSpec, Claimant, HolderPod, IPAllocation
from netmgr.api.meta import Meta
from netmgr.api.spider import PoolSpec, PoolStatus, SpiderIPPool
from netmgr.api.workload import Node, NodeAddress, NodeStatus, Pod, PodSpec, PodStatus
from netmgr.audit.findings import NodeView, View, findings

ADDRESS = "10.244.100.1"


def allocation(address: str = ADDRESS, pod: str = "uid-1", node: str = "node1") -> IPAllocation:
    spec = AllocationSpec(
        address=address,
        prefix_length=16,
        pool="pool",
        node_name=node,
        interface="eth0",
        siblings=1,
        claimant=Claimant(),
        pod=HolderPod(namespace="default", name="a", uid=pod),
    )
    return IPAllocation(metadata=Meta(name=address, uid=f"ipa-{address}"), spec=spec)


def pod(uid: str = "uid-1", address: str = ADDRESS, phase: str = "Running") -> Pod:
    return Pod(
        metadata=Meta(namespace="default", name="a", uid=uid),
        spec=PodSpec(node_name="node1"),
        status=PodStatus(phase=phase, pod_ip=address),
    )


def attachment(address: str = ADDRESS, container: str = "c1") -> Attachment:
    grant = Grant(name=address, uid=f"ipa-{address}", address=address, prefix_length=16)
    return Attachment(
        network="netmgr", container_id=container, ifname="eth0", pod_uid="uid-1", boot_id="b", grants=(grant,), link="nm1"
    )


def node(name: str, address: str) -> Node:
    return Node(metadata=Meta(name=name), status=NodeStatus(addresses=[NodeAddress(type="InternalIP", address=address)]))


GOOD = View(
    allocations=(allocation(),),
    pods=(pod(),),
    pools=(
        SpiderIPPool(metadata=Meta(name="pool"), spec=PoolSpec(subnet="10.244.0.0/16"), status=PoolStatus(allocated_ip_count=1)),
    ),
    node_objects=(node("node1", "172.30.0.101"), node("node2", "172.30.0.102")),
    nodes={"node1": NodeView(attached=(attachment(),), routes={ADDRESS: "nm1"}, links=frozenset({"nm1"})), "node2": NodeView()},
    router={ADDRESS: ("172.30.0.101",)},
)


def on_node1(**changes: object) -> View:
    assert GOOD.nodes is not None
    return replace(GOOD, nodes={**GOOD.nodes, "node1": replace(GOOD.nodes["node1"], **changes)})  # type: ignore[arg-type] # fields by name


def with_spec(**changes: object) -> View:
    one = GOOD.allocations[0]
    return replace(GOOD, allocations=(msgspec.structs.replace(one, spec=msgspec.structs.replace(one.spec, **changes)),))


BROKEN = {
    "allocation-has-pod": replace(GOOD, pods=()),
    "allocation-has-pod ended": replace(GOOD, pods=(pod(phase="Succeeded"),)),
    "allocation-on-node": with_spec(node_name="node2"),
    "allocation-has-pool": with_spec(pool="gone"),
    "pod-has-allocation": replace(GOOD, pods=(pod(), pod("uid-2", "10.244.100.9"))),
    "address-once": replace(GOOD, pods=(pod(), pod("uid-2"))),
    "address-once attached": replace(GOOD, nodes={"node1": NodeView(attached=(attachment(), attachment(container="c2")))}),
    "pool-count": replace(GOOD, pools=(msgspec.structs.replace(GOOD.pools[0], status=PoolStatus(allocated_ip_count=7)),)),
    "record-has-allocation": on_node1(attached=(attachment(), attachment("10.244.100.2", "c2"))),
    "allocation-attached": on_node1(attached=()),
    "kernel-route": on_node1(routes={}),
    "kernel-route elsewhere": on_node1(routes={ADDRESS: "other"}),
    "kernel-route stale": on_node1(routes={ADDRESS: "nm1", "10.244.100.3": "nm3"}),
    "kernel-route without link": on_node1(links=frozenset()),
    "router-route": replace(GOOD, router={}),
    "router-route wrong node": replace(GOOD, router={ADDRESS: ("172.30.0.102",)}),
    "router-route twice": replace(GOOD, router={ADDRESS: ("172.30.0.101", "172.30.0.102")}),
    "router-route foreign": replace(GOOD, router={ADDRESS: ("172.30.0.101",), "0.0.0.0/0": ("172.30.0.101",)}),
}


def test_a_good_cluster_has_no_findings() -> None:
    assert findings(GOOD) == []


@pytest.mark.parametrize("case", BROKEN)
def test_the_broken_invariant_is_found(case: str) -> None:
    assert case.split(maxsplit=1)[0] in {one.rule for one in findings(BROKEN[case])}


def test_ipv6_routes_are_compared_by_value() -> None:
    view = replace(GOOD, nodes={"node1": NodeView(routes={"fd00:10::1": "nm1"})}, router={"fd00:10:0::1/128": ("172.30.0.101",)})
    assert "router-route" not in {one.rule for one in findings(view)}
