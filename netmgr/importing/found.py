"""What is there to be taken over: Spiderpool's objects and the Pods, as read at one time. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from ipam.application import Application
from netmgr.api.allocation import IPAllocation
from netmgr.api.endpoint import SpiderEndpoint
from netmgr.api.spider import Route, SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.api.workload import Node, Pod, PodStatus, Workload
from netmgr.controller.codec import application_of
from netmgr.controller.kinds import KindKey, built_in

ETH0 = "eth0"
MACHINE_KINDS: tuple[KindKey, ...] = (("kubevirt.io/v1", "VirtualMachine"), ("kubevirt.io/v1", "VirtualMachineInstance"))


class PodAddress(msgspec.Struct, frozen=True):
    """One entry of a Pod's `status.podIPs`."""

    ip: str = ""


class ListedStatus(PodStatus, frozen=True, rename="camel"):
    """A Pod's status with all addresses of its first interface, as the kubelet reports them."""

    pod_ips: list[PodAddress] | None = msgspec.field(default=None, name="podIPs")


class ListedPod(Pod, frozen=True, rename="camel"):
    """A Pod with all its addresses."""

    status: ListedStatus = ListedStatus()

    @property
    def addresses(self) -> tuple[str, ...]:
        """What the kubelet reports; nothing on the host's network."""
        return () if self.spec.host_network else tuple(one.ip for one in self.status.pod_ips or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that was read. `workloads`: `apiVersion` and kind to `namespace/name` to object."""

    subnets: tuple[SpiderSubnet, ...] = ()
    pools: tuple[SpiderIPPool, ...] = ()
    reservations: tuple[SpiderReservedIP, ...] = ()
    endpoints: tuple[SpiderEndpoint, ...] = ()
    pods: tuple[ListedPod, ...] = ()
    nodes: tuple[Node, ...] = ()
    workloads: Mapping[KindKey, Mapping[str, Workload]] = field(default_factory=dict)
    allocations: tuple[IPAllocation, ...] = ()

    def workload(self, kind: str, object_key: str) -> Workload | None:
        """A workload of a built-in kind: Spiderpool's records say no group."""
        known = built_in(kind)
        return self.workloads.get(known.key, {}).get(object_key) if known is not None else None

    def machine(self, namespace: str, name: str) -> Application | None:
        """A virtual machine: the VM where there is one, else its instance, which goes when it ends."""
        for key in MACHINE_KINDS:
            if (one := self.workloads.get(key, {}).get(f"{namespace}/{name}")) is not None:
                return application_of(key, one)
        return None


class Source(StrEnum):
    """Who says that somebody has an address."""

    POOL = "SpiderIPPool"
    ENDPOINT = "SpiderEndpoint"
    POD = "Pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One statement about one address; what its source does not say is empty. `pod` is `namespace/name`."""

    source: Source
    address: str
    pod: str
    uid: str
    pool: str = ""
    interface: str = ""
    node: str = ""
    gateway: str = ""
    clean_gateway: bool = False
    routes: tuple[Route, ...] | None = None
    owner_kind: str = ""
    owner_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What does not fit, or is worth knowing. `harmless`: no conflict. The message ends with what becomes of the address."""

    rule: str
    object: str
    message: str
    remedy: str
    harmless: bool = False
