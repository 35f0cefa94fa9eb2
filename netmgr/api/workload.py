"""Pods, the controllers that own them, nodes and Leases: the fields that address decisions need."""

from __future__ import annotations

from typing import Any

import msgspec

from netmgr.api.meta import Condition, LabelSelector, Meta

ENDED = frozenset({"Succeeded", "Failed"})
"""Phases of a Pod whose containers will not run again."""


class PodSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Where a Pod runs and whether it uses the host's network."""

    node_name: str = ""
    host_network: bool = False
    restart_policy: str = ""
    termination_grace_period_seconds: int | None = None


class PodStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Phase and conditions; `pod_ip` is what the kubelet reported."""

    phase: str = ""
    reason: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: list[Condition] | None = None


class Pod(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A core/v1 Pod."""

    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class TemplateMeta(msgspec.Struct, frozen=True, gc=False):
    """`metadata` of a Pod template; its creationTimestamp is null before Kubernetes 1.34, so it is no Meta."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class PodTemplate(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The Pod template of a workload: its annotations say which addresses the application wants."""

    metadata: TemplateMeta = TemplateMeta()
    spec: PodSpec = PodSpec()


class RollingUpdate(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Parameters of a rolling update; each is a number of Pods or a percentage."""

    max_surge: int | str | None = None
    max_unavailable: int | str | None = None


class UpdateStrategy(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """How a Deployment or DaemonSet replaces its Pods."""

    type: str = ""
    rolling_update: RollingUpdate | None = None


class Ordinals(msgspec.Struct, frozen=True, gc=False):
    """Where a StatefulSet begins to count."""

    start: int = 0


class WorkloadSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What the built-in workload kinds say about their Pods; each kind has some of these fields."""

    replicas: int | None = None
    selector: LabelSelector = LabelSelector()
    template: PodTemplate = PodTemplate()
    strategy: UpdateStrategy = UpdateStrategy()
    update_strategy: UpdateStrategy = UpdateStrategy()
    parallelism: int | None = None
    completions: int | None = None
    ordinals: Ordinals | None = None
    job_template: JobTemplate | None = None


class JobTemplate(msgspec.Struct, frozen=True, gc=False):
    """The Jobs that a CronJob makes."""

    spec: WorkloadSpec


class WorkloadStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """How many Pods a DaemonSet should have; nothing else of a status matters."""

    desired_number_scheduled: int = 0


class Workload(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A Deployment, ReplicaSet, StatefulSet, DaemonSet, Job or CronJob, or a third party's object that runs Pods."""

    metadata: Meta
    spec: WorkloadSpec
    status: WorkloadStatus = WorkloadStatus()


class ThirdPartyObject(msgspec.Struct, frozen=True, gc=False):
    """An object of a kind that netmgr does not know beforehand: its spec is read field by field, as far as it can be."""

    metadata: Meta
    spec: dict[str, Any] | None = None


class ScaleSpec(msgspec.Struct, frozen=True, gc=False):
    """How many Pods there shall be."""

    replicas: int = 0


class Scale(msgspec.Struct, frozen=True, gc=False):
    """autoscaling/v1 Scale, the subresource `scale` of any kind that has replicas."""

    metadata: Meta
    spec: ScaleSpec = ScaleSpec()


class LeaseSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """coordination.k8s.io/v1 LeaseSpec; times are RFC 3339 with microseconds."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A coordination.k8s.io/v1 Lease: leader election, and the heartbeat of each node agent."""

    metadata: Meta
    spec: LeaseSpec = LeaseSpec()


class NodeAddress(msgspec.Struct, frozen=True, gc=False):
    """One entry of a Node's `status.addresses`."""

    type: str = ""
    address: str = ""


class Taint(msgspec.Struct, frozen=True, gc=False):
    """One entry of a Node's `spec.taints`."""

    key: str = ""
    effect: str = ""


class NodeSpec(msgspec.Struct, frozen=True, gc=False):
    """Taints of a Node."""

    taints: list[Taint] | None = None


class NodeInfo(msgspec.Struct, frozen=True, gc=False):
    """What the kubelet says about the machine; the boot id is the kernel's."""

    boot_id: str = msgspec.field(default="", name="bootID")


class NodeStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Addresses, conditions and the machine of a Node."""

    addresses: list[NodeAddress] | None = None
    conditions: list[Condition] | None = None
    node_info: NodeInfo = NodeInfo()


class Node(msgspec.Struct, frozen=True, gc=False):
    """A core/v1 Node."""

    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
