"""IPAllocation (netmgr.io/v1alpha1): one address in use. Its name is the address, so no address can be held twice."""

from __future__ import annotations

import msgspec

from netmgr.api.meta import Meta
from netmgr.api.spider import Route

GROUP_VERSION = "netmgr.io/v1alpha1"
ALLOCATIONS = f"/apis/{GROUP_VERSION}/ipallocations"

BOUND = ""
RELEASING = "Releasing"
DETACHED = "Detached"
COOLING = "Cooling"

IMPORTED = "netmgr.io/imported-from"
"""Label of an allocation that was taken over: another product's plugin made the attachment, and no agent has a record of it."""


class Claimant(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """Who the address belongs to: the owning application, with the ordinal where it has one, or the Pod itself."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    ordinal: int | None = None


class HolderPod(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """The Pod that holds the address now. `runtime_uid` is what CNI calls the Pod (differs for static Pods only)."""

    namespace: str = ""
    name: str = ""
    uid: str = ""
    runtime_uid: str = msgspec.field(default="", name="runtimeUID")


class AllocationSpec(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """Everything the node needs to answer CNI ADD without asking anybody.

    `siblings` is the number of allocations that answer one ADD (same Pod and interface, one per family).
    `clean_gateway`: no default route by this interface. `network` is its NetworkAttachmentDefinition, `namespace/name`.
    `boot_id` is the node's boot id as its agent reported it when the address was claimed.
    """

    address: str
    prefix_length: int
    pool: str
    node_name: str
    interface: str
    siblings: int
    claimant: Claimant
    pod: HolderPod
    subnet: str = ""
    gateway: str = ""
    routes: list[Route] | None = None
    clean_gateway: bool = False
    network: str = ""
    boot_id: str = msgspec.field(default="", name="bootID")
    reason: str = ""


class AllocationStatus(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """Phase: empty (bound), Releasing (controller asks), Detached (agent's report), Cooling (until `cooling_until`).

    `pod_uid` and `container_id` name the holder the report is about; a report about another holder is void. Times are RFC 3339,
    by the API server's clock.
    """

    phase: str = ""
    pod_uid: str = msgspec.field(default="", name="podUID")
    container_id: str = msgspec.field(default="", name="containerID")
    boot_id: str = msgspec.field(default="", name="bootID")
    message: str = ""
    releasing_since: str | None = None
    cooling_until: str | None = None


class IPAllocation(msgspec.Struct, frozen=True, gc=False):
    """One address, held by one claimant."""

    metadata: Meta
    spec: AllocationSpec
    status: AllocationStatus = AllocationStatus()

    @property
    def is_imported(self) -> bool:
        """Whether the first attachment was another product's."""
        return IMPORTED in (self.metadata.labels or {})

    @property
    def seniority(self) -> tuple[str, str]:
        """Order among the allocations of one Pod, interface and family: only the first is the Pod's, should there be more."""
        return (self.metadata.creation_timestamp, self.metadata.name)
