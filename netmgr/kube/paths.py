"""Paths of API objects: `/apis/<group>/<version>[/namespaces/<namespace>]/<resource>[/<name>[/<subresource>]]`."""

from __future__ import annotations

from urllib.parse import quote

PODS = "/api/v1/pods"
NODES = "/api/v1/nodes"
NAMESPACES = "/api/v1/namespaces"
DEPLOYMENTS = "/apis/apps/v1/deployments"
REPLICA_SETS = "/apis/apps/v1/replicasets"
STATEFUL_SETS = "/apis/apps/v1/statefulsets"
DAEMON_SETS = "/apis/apps/v1/daemonsets"
JOBS = "/apis/batch/v1/jobs"
CRON_JOBS = "/apis/batch/v1/cronjobs"
LEASES = "/apis/coordination.k8s.io/v1/leases"
EVENTS = "/api/v1/events"
SECRETS = "/api/v1/secrets"
MUTATING_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
VALIDATING_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def in_namespace(collection: str, namespace: str) -> str:
    """The collection of one namespace: `/api/v1/pods` becomes `/api/v1/namespaces/<namespace>/pods`."""
    root, _, resource = collection.rpartition("/")
    return f"{root}/namespaces/{quote(namespace, safe='')}/{resource}"


def named(collection: str, name: str, subresource: str = "", *, namespace: str = "") -> str:
    """One object of a collection, or one of its subresources (`status`, `scale`)."""
    home = in_namespace(collection, namespace) if namespace else collection
    path = f"{home}/{quote(name, safe='')}"
    return f"{path}/{subresource}" if subresource else path


def resource_of(path: str) -> str:
    """The plural resource name that a path is about, with its subresource: for counters (`pods`, `pods/status`)."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if len(parts) > 2 and parts[0] == "namespaces" and parts[2] != "status":
        parts = parts[2:]
    return f"{parts[0]}/{parts[2]}" if len(parts) > 2 else "".join(parts[:1])
