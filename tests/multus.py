"""The kind NetworkAttachmentDefinition for clusters without Multus: as much of it as netmgr reads."""

from __future__ import annotations

from netmgr.api.meta import Json

NAME = "network-attachment-definitions.k8s.cni.cncf.io"
SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"config": {"type": "string"}}}}}
DEFINITION: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": NAME},
    "spec": {
        "group": "k8s.cni.cncf.io",
        "scope": "Namespaced",
        "names": {
            "plural": "network-attachment-definitions",
            "singular": "network-attachment-definition",
            "kind": "NetworkAttachmentDefinition",
        },
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}],
    },
}
