"""The built-in workload kinds: where they live, whom they may belong to, and how many Pods they run at one time. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ipam.size import surge_of
from netmgr.api.workload import PodTemplate, Workload, WorkloadSpec
from netmgr.kube import paths


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind; `parent` is the kind that makes objects of this one, and is then the application."""

    name: str
    group_version: str
    collection: str
    parent: str = ""


KINDS = {
    one.name: one
    for one in (
        Kind("Deployment", "apps/v1", paths.DEPLOYMENTS),
        Kind("ReplicaSet", "apps/v1", paths.REPLICA_SETS, parent="Deployment"),
        Kind("StatefulSet", "apps/v1", paths.STATEFUL_SETS),
        Kind("DaemonSet", "apps/v1", paths.DAEMON_SETS),
        Kind("Job", "batch/v1", paths.JOBS, parent="CronJob"),
        Kind("CronJob", "batch/v1", paths.CRON_JOBS),
    )
}
PARENTS = frozenset(one.parent for one in KINDS.values() if one.parent)
"""Kinds that own no Pod themselves: a Pod that names one as its controller was forged."""


def template_of(workload: Workload) -> PodTemplate:
    """The template of the workload's Pods."""
    job = workload.spec.job_template
    return workload.spec.template if job is None else job.spec.template


def pods_at_once(kind: str, workload: Workload) -> int:
    """Pods that run at one time when nothing is being replaced.

    A Job of 1,000 completions and parallelism 5 runs five: its size is not what it completes.
    """
    spec = workload.spec
    if kind == "DaemonSet":
        return workload.status.desired_number_scheduled
    if kind == "Job":
        return parallel(spec)
    if kind == "CronJob":
        return parallel(spec.job_template.spec) if spec.job_template is not None else 1
    return 1 if spec.replicas is None else spec.replicas


def parallel(spec: WorkloadSpec) -> int:
    """Pods of a Job that run at one time."""
    at_once = 1 if spec.parallelism is None else spec.parallelism
    return at_once if spec.completions is None else min(at_once, spec.completions)


def surge(kind: str, workload: Workload) -> int:
    """Pods that an update may run beside the old ones."""
    strategy = workload.spec.strategy if kind == "Deployment" else workload.spec.update_strategy
    asked = strategy.rolling_update.max_surge if strategy.rolling_update is not None else None
    if kind == "Deployment" and strategy.type != "Recreate":
        return surge_of(pods_at_once(kind, workload), asked)
    if kind == "DaemonSet" and asked is not None:
        return surge_of(pods_at_once(kind, workload), asked)
    return 0
