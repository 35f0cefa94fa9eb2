"""I/O: looks for a Spiderpool that still works in the cluster: whatever could write its objects, or refuse that others do.

Known by its chart's labels, by the Leases that its controllers renew, and by webhooks on its kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from netmgr.api.meta import Meta
from netmgr.api.workload import Lease
from netmgr.install.objects import MANAGED_BY, MANAGER
from netmgr.kube import paths
from netmgr.kube.client import Api

GROUP = "spiderpool.spidernet.io"
LABEL = "app.kubernetes.io/name=spiderpool"
COMPONENT = "app.kubernetes.io/component"
CONTROLLER, MULTUS = "spiderpool-controller", "multus"
WEBHOOKS = tuple(
    f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations" for kind in ("mutating", "validating")
)  # fmt: skip


class _Spec(msgspec.Struct, frozen=True):
    replicas: int | None = None


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    replicas: int = 0
    current_number_scheduled: int = 0


class Running(msgspec.Struct, frozen=True):
    """A Deployment or DaemonSet: whether it has Pods, or will have."""

    metadata: Meta
    spec: _Spec = _Spec()
    status: _Status = _Status()


class WebhookRule(msgspec.Struct, frozen=True, rename="camel"):
    """Which objects a webhook is asked about."""

    api_groups: list[str] | None = None


class Webhook(msgspec.Struct, frozen=True):
    """One webhook of a configuration."""

    rules: list[WebhookRule] | None = None


class WebhookConfiguration(msgspec.Struct, frozen=True):
    """A Mutating- or ValidatingWebhookConfiguration."""

    metadata: Meta
    webhooks: list[Webhook] | None = None


async def writers(api: Api) -> list[str]:
    """What of Spiderpool still runs and may write: Deployment, agents, a leader; each with what to do about it."""
    deployments = await api.list(paths.DEPLOYMENTS, Running, label_selector=LABEL)
    daemons = await api.list(paths.DAEMON_SETS, Running, label_selector=LABEL)
    leases = await api.list(paths.LEASES, Lease)
    return [*of_deployments(deployments), *of_daemons(daemons), *of_leases(leases, api.server_time())]


def of_deployments(many: list[Running]) -> Iterator[str]:
    """Controllers that are not scaled to zero."""
    for one in many:
        if one.status.replicas or one.spec.replicas != 0:
            name = f"{one.metadata.namespace}/{one.metadata.name}"
            yield f"Deployment {name} is Spiderpool's controller: kubectl scale -n {name.replace('/', ' deployment ')} --replicas 0"


def of_daemons(many: list[Running]) -> Iterator[str]:
    """Agents: they allocate by themselves. Multus, which the chart brings along, allocates nothing."""
    for one in many:
        if MULTUS not in (one.metadata.labels or {}).get(COMPONENT, "") and one.status.current_number_scheduled:
            name = f"{one.metadata.namespace}/{one.metadata.name}"
            yield f"DaemonSet {name} is Spiderpool's agent: kubectl delete -n {name.replace('/', ' daemonset ')}"


def of_leases(many: list[Lease], now: datetime) -> Iterator[str]:
    """A controller that runs elsewhere, or under another name, and leads."""
    for one in many:
        holder, renewed = one.spec.holder_identity or "", time_of(one.spec.renew_time)
        if holder.startswith(CONTROLLER) and now - renewed < timedelta(seconds=one.spec.lease_duration_seconds or 15):
            name = f"{one.metadata.namespace}/{one.metadata.name}"
            yield f"Lease {name} is renewed by {holder}, a controller of Spiderpool's: stop that process"


def time_of(text: str | None) -> datetime:
    """When a Lease was renewed; long ago where it does not say."""
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


async def webhooks(api: Api) -> list[tuple[str, Meta]]:
    """Path and metadata of configurations that ask somebody else about Spiderpool's kinds: without him every write is refused."""
    found: list[tuple[str, Meta]] = []
    for collection in WEBHOOKS:
        for one in await api.list(collection, WebhookConfiguration):
            groups = {group for hook in one.webhooks or () for rule in hook.rules or () for group in rule.api_groups or ()}
            if GROUP in groups and (one.metadata.labels or {}).get(MANAGED_BY) != MANAGER:
                found.append((paths.named(collection, one.metadata.name), one.metadata))
    return found
