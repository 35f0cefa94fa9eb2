"""SpiderEndpoint (spiderpool.spidernet.io/v2beta1): one Pod's addresses. A projection of its IPAllocations, never a truth."""

from __future__ import annotations

import msgspec

from netmgr.api.meta import Meta
from netmgr.api.spider import GROUP_VERSION, Route

ENDPOINTS = f"/apis/{GROUP_VERSION}/spiderendpoints"


class EndpointInterface(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """One interface with at most one address of each family, written with the length of its pool's prefix."""

    interface: str = ""
    ipv4: str = ""
    ipv6: str = ""
    ipv4_pool: str = ""
    ipv6_pool: str = ""
    ipv4_gateway: str = ""
    ipv6_gateway: str = ""
    clean_gateway: bool = False
    routes: list[Route] | None = None


class EndpointCurrent(msgspec.Struct, frozen=True, gc=False):
    """The Pod that holds the addresses, and where it runs."""

    uid: str = ""
    node: str = ""
    ips: list[EndpointInterface] = []


class EndpointStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """`owner_controller_type` is the kind of the Pod's top owner, or Pod."""

    current: EndpointCurrent = EndpointCurrent()
    owner_controller_type: str = ""
    owner_controller_name: str = ""


class SpiderEndpoint(msgspec.Struct, frozen=True, gc=False):
    """Addresses of one Pod; its name is the Pod's (of a KubeVirt VM: the VM's)."""

    metadata: Meta
    status: EndpointStatus = EndpointStatus()
