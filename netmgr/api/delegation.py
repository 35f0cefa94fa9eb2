"""NodeDelegation (netmgr.io/v1alpha1): the Pods of one node that another IPAM plugin answers for; its name is the node's."""

from __future__ import annotations

import msgspec

from netmgr.api.meta import Meta

GROUP_VERSION = "netmgr.io/v1alpha1"
DELEGATIONS = f"/apis/{GROUP_VERSION}/nodedelegations"


class DelegationSpec(msgspec.Struct, frozen=True, gc=False):
    """UIDs as the runtime says them (a static Pod's is its configuration's hash)."""

    pods: list[str] = []


class NodeDelegation(msgspec.Struct, frozen=True, gc=False):
    """Written by the controller, watched by that node's agent alone."""

    metadata: Meta
    spec: DelegationSpec = DelegationSpec()
