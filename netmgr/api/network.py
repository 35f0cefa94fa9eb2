"""NetworkAttachmentDefinition (k8s.cni.cncf.io/v1), Multus' kind: only the CNI configuration that it holds."""

from __future__ import annotations

import msgspec

from netmgr.api.meta import Meta

NETWORKS = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions"


class NetworkSpec(msgspec.Struct, frozen=True):
    """`config` is JSON text: a plugin's configuration or a list; empty where the node's own file of that name is meant."""

    config: str = ""


class NetworkAttachmentDefinition(msgspec.Struct, frozen=True):
    """Another product's kind: read, never written. Its CRD may be absent, or come later."""

    metadata: Meta
    spec: NetworkSpec = NetworkSpec()
