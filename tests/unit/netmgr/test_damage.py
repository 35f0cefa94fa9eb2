"""What reconciliation takes for damage, and what it does not: a table of live views."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from ipam.prefix import AddressFamily, RangeSet
from netmgr.api.allocation import AllocationSpec, AllocationStatus, Claimant, HolderPod, IPAllocation
from netmgr.api.meta import Meta
from netmgr.api.spider import FINALIZER, PoolSpec, SpiderIPPool, SpiderSubnet, SubnetSpec
from netmgr.api.workload import Pod, PodSpec, PodStatus
from netmgr.audit.damage import REMEDY, Kind, LiveView, damages

ADDRESS = "10.0.0.1"
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
RANGES = RangeSet.parse(AddressFamily.IPV4, ["10.0.0.1-10.0.0.9"])


def held(phase: str = "", uid: str = "u", **status: str) -> IPAllocation:
    spec = AllocationSpec(
        address=ADDRESS,
        prefix_length=24,
        pool="p",
        node_name="node1",
        interface="eth0",
        siblings=1,
        claimant=Claimant(),
        pod=HolderPod(namespace="default", name="a", uid=uid),
    )
    return IPAllocation(metadata=Meta(name=ADDRESS), spec=spec, status=AllocationStatus(phase=phase, pod_uid=uid, **status))


def pod(uid: str = "u", phase: str = "Running", deleted: str | None = None) -> Pod:
    meta = Meta(namespace="default", name="a", uid=uid, deletion_timestamp=deleted)
    return Pod(metadata=meta, spec=PodSpec(node_name="node1"), status=PodStatus(phase=phase))


POOL = SpiderIPPool(metadata=Meta(name="p", finalizers=[FINALIZER]), spec=PoolSpec(subnet="10.0.0.0/24"))
SUBNET = SpiderSubnet(metadata=Meta(name="s"), spec=SubnetSpec(subnet="10.0.0.0/24"))
OTHER = msgspec.structs.replace(POOL, metadata=Meta(name="q"))
BARE = msgspec.structs.replace(POOL, metadata=Meta(name="p"))
GOOD = LiveView(
    now=NOW, allocations=(held(),), pods=(pod(),), pools=(POOL,), subnets=(SUBNET,), ranges={"p": RANGES}, books={"s": {"p": ""}}
)
GONE = replace(GOOD, pods=())


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (GONE, Kind.HOLDER_GONE),
        (replace(GOOD, pods=(pod("other"),)), Kind.HOLDER_REPLACED),
        (replace(GOOD, pods=(pod(phase="Failed"),)), Kind.HOLDER_FINISHED),
        (replace(GONE, allocations=(held("Detached"),)), Kind.NOT_FREED),
        (replace(GONE, allocations=(held("Cooling", cooling_until="2026-06-01T11:59:59Z"),)), Kind.NOT_FREED),
        (replace(GOOD, pods=(pod(deleted="x"),), allocations=(held("Detached"),)), Kind.NOT_FREED),
        (replace(GONE, allocations=(held("Releasing", releasing_since="2026-06-01T11:50:00Z"),)), Kind.UNANSWERED),
        (replace(GOOD, books={"s": {"p": "", "gone": "x"}}), Kind.ENTRY_WITHOUT_POOL),
        (replace(GOOD, allocations=(), pools=(BARE,), ownerless=frozenset({"p"})), Kind.POOL_WITHOUT_APPLICATION),
        (replace(GOOD, allocations=()), Kind.ORPHANED_FINALIZER),
        (replace(GOOD, pools=(BARE,)), Kind.UNPROTECTED_POOL),
        (replace(GOOD, servable={"default/a": "SpiderIPPool p"}), Kind.POD_WAITS),
        (replace(GOOD, served=frozenset({"default/a"})), Kind.STALE_CONDITION),
        (replace(GOOD, ranges={"p": RangeSet(AddressFamily.IPV4)}), Kind.OUTSIDE_POOL),
        (replace(GOOD, pools=(), books={}), Kind.OUTSIDE_POOL),
        (replace(GOOD, reserved={AddressFamily.IPV4: RANGES}), Kind.RESERVED),
    ],
)
def test_each_damage_is_found_alone(view: LiveView, expected: Kind) -> None:
    assert [one.kind for one in damages(view)] == [expected]


@pytest.mark.parametrize(
    "view",
    [
        GOOD,
        replace(GONE, allocations=(held("Releasing", releasing_since="2026-06-01T11:59:00Z"),)),
        replace(GONE, allocations=(held("Cooling", cooling_until="2026-06-01T12:00:01Z"),)),
        replace(GONE, allocations=(held("Detached"),), retained=frozenset({ADDRESS})),
        replace(GOOD, allocations=(held("Detached"),)),
        replace(GOOD, pods=(pod(deleted="x"),)),
        replace(GOOD, ownerless=frozenset({"p"})),
        replace(GOOD, subnets=(SUBNET,), books={"s": {"p": "", "q": ""}}, pools=(POOL, OTHER)),
    ],
    ids=[
        "in use",
        "the agent was just asked",
        "a cooldown that is not over",
        "an ordinal's own address between two Pods",
        "a DEL of a living Pod",
        "a Pod that is just ending",
        "a pool of nobody that is in use",
        "a second pool in the book",
    ],
)
def test_what_is_on_its_way_is_no_damage(view: LiveView) -> None:
    assert damages(view) == []


def test_each_kind_says_what_is_done_about_it() -> None:
    assert set(REMEDY) == set(Kind)


def test_a_range_is_not_given_back_while_addresses_of_its_vanished_pool_are_in_use() -> None:
    view = replace(GOOD, pools=(), books={"s": {"p": "apps_v1_Deployment_default_a"}})
    assert [one.kind for one in damages(view)] == [Kind.OUTSIDE_POOL]
