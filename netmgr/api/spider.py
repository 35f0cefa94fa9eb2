"""SpiderSubnet, SpiderIPPool, SpiderReservedIP (spiderpool.spidernet.io/v2beta1) as users write them and netmgr reports on them."""

from __future__ import annotations

import msgspec

from netmgr.api.meta import Condition, LabelSelector, Meta

GROUP_VERSION = "spiderpool.spidernet.io/v2beta1"
SUBNETS = f"/apis/{GROUP_VERSION}/spidersubnets"
POOLS = f"/apis/{GROUP_VERSION}/spiderippools"
FINALIZER = "netmgr.io/addresses-in-use"
"""Keeps a pool that has addresses in use from being deleted."""
RESERVED = f"/apis/{GROUP_VERSION}/spiderreservedips"


class Route(msgspec.Struct, frozen=True, gc=False):
    """A route for the Pods of a pool: destination prefix and gateway address."""

    dst: str
    gw: str = ""


class SubnetSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """`ips` and `exclude_ips` are single addresses or inclusive ranges `a-b` inside `subnet`.

    `cooldown_seconds` and `node_lost_grace_seconds` hold for pools that do not say otherwise.
    """

    subnet: str
    ip_version: int | None = None
    ips: list[str] | None = None
    exclude_ips: list[str] | None = msgspec.field(default=None, name="excludeIPs")
    gateway: str | None = None
    routes: list[Route] | None = None
    cooldown_seconds: int | None = None
    node_lost_grace_seconds: int | None = None


class SubnetStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """`controlled_ip_pools` is a JSON string: pool name to `{"ips": [...], "application": "g_v_Kind_ns_name"}`."""

    controlled_ip_pools: str | None = msgspec.field(default=None, name="controlledIPPools")
    total_ip_count: int | None = msgspec.field(default=None, name="totalIPCount")
    allocated_ip_count: int | None = msgspec.field(default=None, name="allocatedIPCount")
    free_ip_count: int | None = msgspec.field(default=None, name="freeIPCount")
    free_ranges: list[str] | None = None
    accepted_ranges: list[str] | None = None
    observed_generation: int | None = None
    conditions: list[Condition] | None = None


class SpiderSubnet(msgspec.Struct, frozen=True, gc=False):
    """A prefix whose addresses may be given to pools."""

    metadata: Meta
    spec: SubnetSpec
    status: SubnetStatus = SubnetStatus()


class PoolSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A pool's addresses are `ips` without `exclude_ips`."""

    subnet: str
    ip_version: int | None = None
    ips: list[str] | None = None
    exclude_ips: list[str] | None = msgspec.field(default=None, name="excludeIPs")
    gateway: str | None = None
    routes: list[Route] | None = None
    pod_affinity: LabelSelector | None = None
    namespace_affinity: LabelSelector | None = None
    namespace_name: list[str] | None = None
    node_affinity: LabelSelector | None = None
    node_name: list[str] | None = None
    multus_name: list[str] | None = None
    default: bool = False
    disable: bool = False
    cooldown_seconds: int | None = None
    node_lost_grace_seconds: int | None = None


class PoolStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """`allocated_ips` is a JSON string: address to `{"pod": "ns/name", "podUid": "uid"}`; a projection."""

    allocated_ips: str | None = msgspec.field(default=None, name="allocatedIPs")
    total_ip_count: int | None = msgspec.field(default=None, name="totalIPCount")
    allocated_ip_count: int | None = msgspec.field(default=None, name="allocatedIPCount")
    free_ip_count: int | None = msgspec.field(default=None, name="freeIPCount")
    free_ranges: list[str] | None = None
    cooling_ip_count: int | None = msgspec.field(default=None, name="coolingIPCount")
    accepted_ranges: list[str] | None = None
    observed_generation: int | None = None
    truncated: bool | None = None
    conditions: list[Condition] | None = None


class SpiderIPPool(msgspec.Struct, frozen=True, gc=False):
    """A set of addresses that Pods may hold."""

    metadata: Meta
    spec: PoolSpec
    status: PoolStatus = PoolStatus()


class ReservedSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Single addresses and inclusive ranges `a-b` of one family."""

    ips: list[str]
    ip_version: int | None = None


class SpiderReservedIP(msgspec.Struct, frozen=True, gc=False):
    """Addresses that no Pod gets, whatever pool they lie in."""

    metadata: Meta
    spec: ReservedSpec


class ControlledPool(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One entry of a subnet's book: the ranges carved for a pool and, for an auto pool, its application."""

    ips: list[str]
    application: str = ""


class LabelKeys:
    """Labels and annotations that Spiderpool's users know."""

    PREFIX = "ipam.spidernet.io/"
    OWNER_SUBNET = PREFIX + "owner-spider-subnet"
    APPLICATION_GV = PREFIX + "owner-application-gv"
    APPLICATION_KIND = PREFIX + "owner-application-kind"
    APPLICATION_NAMESPACE = PREFIX + "owner-application-namespace"
    APPLICATION_NAME = PREFIX + "owner-application-name"
    APPLICATION_UID = PREFIX + "owner-application-uid"
    INTERFACE = PREFIX + "interface"
    IP_VERSION = PREFIX + "ip-version"
    RECLAIM = PREFIX + "ippool-reclaim"
    IP_NUMBER = PREFIX + "ippool-ip-number"
