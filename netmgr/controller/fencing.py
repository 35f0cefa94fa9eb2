"""Release without the agent: what a live read of the Node proves about a holder whose agent is silent.

I/O: one GET of the Node, only for an allocation whose Pod is gone; one of the agent's Lease where only its silence counts. The
rule is `ipam.release.fence`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ipam.release import Fence, NodeFacts, fence
from netmgr.api.allocation import IPAllocation
from netmgr.api.spider import PoolSpec, SubnetSpec
from netmgr.api.workload import Lease, Node
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.errors import NotFound

AGENT_LEASE = "netmgr-agent-"
"""How an agent's Lease is called, before the node's name (`netmgr.agent.heartbeat`)."""
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


@dataclass(frozen=True, slots=True)
class ReleaseRules:
    """What a pool, or else its subnet, says about addresses that are given back."""

    cooldown: timedelta = timedelta(0)
    grace: timedelta | None = None


def rules_of(world: World, pool_name: str) -> ReleaseRules:
    """The rules of a pool; those of a pool that is gone are the subnet's no more, and there are none."""
    pool = world.pools.store.get(pool_name)
    if pool is None:
        return ReleaseRules()
    specs: list[PoolSpec | SubnetSpec] = [
        pool.spec,
        *(one.spec for one in world.subnets_of.get(pool.spec.subnet, {}).values()),
    ]
    cooldown = next((one.cooldown_seconds for one in specs if one.cooldown_seconds is not None), 0)
    grace = next((one.node_lost_grace_seconds for one in specs if one.node_lost_grace_seconds is not None), None)
    return ReleaseRules(timedelta(seconds=cooldown), None if grace is None else timedelta(seconds=grace))


async def fenced(world: World, one: IPAllocation, grace: timedelta | None) -> Fence:
    """Why the holder cannot run any more although its agent does not say so; falsy where that is not proved."""
    if world.agent_boot_id(one.spec.node_name) is not None:
        return Fence.NONE
    try:
        facts = facts_of(await world.api.get(paths.named(paths.NODES, one.spec.node_name), Node))
    except NotFound:
        facts = NodeFacts(exists=False, ready=False)
    asked = time_of(one.status.releasing_since) if one.status.pod_uid == one.spec.pod.uid else None
    found = fence(facts, held_in=boots_of(one), asked=asked, grace=grace, now=world.api.server_time())
    return Fence.NONE if found is Fence.GRACE and await is_heard_of(world, one.spec.node_name) else found


def boots_of(one: IPAllocation) -> frozenset[str]:
    """Boots in which the holder may have been attached: that of the claim, and what its agent wrote when it attached it again."""
    reported = one.status.boot_id if one.status.pod_uid == one.spec.pod.uid else ""
    return frozenset({one.spec.boot_id, reported} - {""})


async def is_heard_of(world: World, node: str) -> bool:
    """Whether the agent renews its Lease, and only the copy does not show it: a controller that hears nothing is no proof."""
    name = f"{AGENT_LEASE}{node}"
    try:
        live = await world.api.get(paths.named(world.leases.path, name), Lease)
    except NotFound:
        return False
    known = next((one for one in world.leases.store.values() if one.metadata.name == name), None)
    return known is None or known.metadata.resource_version != live.metadata.resource_version


def facts_of(node: Node) -> NodeFacts:
    """A Node as the rule sees it."""
    ready = any(one.type == "Ready" and one.status == "True" for one in node.status.conditions or ())
    tainted = any(one.key == OUT_OF_SERVICE for one in node.spec.taints or ())
    return NodeFacts(ready=ready, out_of_service=tainted, boot_id=node.status.node_info.boot_id)


def time_of(text: str | None) -> datetime | None:
    """An RFC 3339 time of a status that the controller wrote."""
    return None if text is None else datetime.fromisoformat(text)


def text_of(time: datetime) -> str:
    """A time as the API server takes it, rounded up to whole seconds."""
    return (time + timedelta(microseconds=999_999)).strftime("%Y-%m-%dT%H:%M:%SZ")
