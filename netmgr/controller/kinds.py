"""Workload kinds: where they live, whom they may belong to, and how many Pods they run at one time. Pure.

The built-in kinds are listed here; those of third parties are learnt from the API server (`netmgr.controller.third_party`) and look
the same to everybody else.
"""

from __future__ import annotations

from dataclasses import dataclass

from ipam.size import surge_of
from netmgr.api.workload import PodTemplate, Workload, WorkloadSpec
from netmgr.kube import paths

KindKey = tuple[str, str]
"""`apiVersion` and `kind`: the same word in two groups is two kinds."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind; `parent` is the built-in kind that makes objects of this one, and is then the application.

    `is_revision`: its objects come and go while the application stays, so whoever controls them is the application.
    """

    name: str
    group_version: str
    collection: str
    parent: str = ""
    is_revision: bool = False
    built_in: bool = True
    has_scale: bool = False

    @property
    def key(self) -> KindKey:
        """What identifies it."""
        return (self.group_version, self.name)

    def book_key(self, object_key: str) -> str:
        """The entry of a subnet's book for `namespace/name` of this kind."""
        namespace, _, name = object_key.partition("/")
        return f"{self.group_version.replace('/', '_')}_{self.name}_{namespace}_{name}"


KINDS = {
    one.key: one
    for one in (
        Kind("Deployment", "apps/v1", paths.DEPLOYMENTS),
        Kind("ReplicaSet", "apps/v1", paths.REPLICA_SETS, parent="Deployment", is_revision=True),
        Kind("StatefulSet", "apps/v1", paths.STATEFUL_SETS),
        Kind("DaemonSet", "apps/v1", paths.DAEMON_SETS),
        Kind("Job", "batch/v1", paths.JOBS, parent="CronJob", is_revision=True),
        Kind("CronJob", "batch/v1", paths.CRON_JOBS),
    )
}


def built_in(name: str) -> Kind | None:
    """The built-in kind of a name, for those who do not say its group (Spiderpool's records)."""
    return next((one for one in KINDS.values() if one.name == name), None)


PARENTS = frozenset(one.parent for one in KINDS.values() if one.parent)
"""Kinds that own no Pod themselves: a Pod that names one as its controller was forged."""
MACHINES = frozenset({"VirtualMachine", "VirtualMachineInstance"})
"""KubeVirt's kinds: one Pod at one time, and the address is the machine's, whatever the Pod is called."""


def parts_of(book_key: str) -> tuple[KindKey, str] | None:
    """A book key's kind and `namespace/name`; nothing where it is none: anybody who may write pools may have written it."""
    parts = book_key.split("_")
    if len(parts) == 4:
        parts = ["", *parts]  # the core group
    if len(parts) != 5 or not all(parts[1:]):
        return None
    return ("/".join(filter(None, parts[:2])), parts[2]), f"{parts[3]}/{parts[4]}"


def template_of(workload: Workload) -> PodTemplate:
    """The template of the workload's Pods."""
    job = workload.spec.job_template
    return workload.spec.template if job is None else job.spec.template


def pods_at_once(kind: Kind, workload: Workload) -> int:
    """Pods that run at one time when nothing is being replaced.

    A Job of 1,000 completions and parallelism 5 runs five: its size is not what it completes.
    """
    spec = workload.spec
    match kind.name if kind.built_in else "":
        case "DaemonSet":
            return workload.status.desired_number_scheduled
        case "Job":
            return parallel(spec)
        case "CronJob":
            return parallel(spec.job_template.spec) if spec.job_template is not None else 1
    return 1 if spec.replicas is None else spec.replicas


def parallel(spec: WorkloadSpec) -> int:
    """Pods of a Job that run at one time."""
    at_once = 1 if spec.parallelism is None else spec.parallelism
    return at_once if spec.completions is None else min(at_once, spec.completions)


def surge(kind: Kind, workload: Workload) -> int:
    """Pods that an update may run beside the old ones. Of a third party's kind, what a Deployment would, unless it says so."""
    name = kind.name if kind.built_in else "Deployment"
    strategy = workload.spec.strategy if name == "Deployment" else workload.spec.update_strategy
    asked = strategy.rolling_update.max_surge if strategy.rolling_update is not None else None
    if kind.name in MACHINES:
        return 0
    if name == "Deployment" and strategy.type != "Recreate":
        return surge_of(pods_at_once(kind, workload), asked)
    if name == "DaemonSet" and asked is not None:
        return surge_of(pods_at_once(kind, workload), asked)
    return 0


def keeps_all_running(kind: Kind, workload: Workload) -> bool:
    """Whether a rollout ends no Pod before its successor is ready (maxUnavailable comes to 0), so that it needs spare addresses."""
    strategy = workload.spec.strategy
    if kind.key != ("apps/v1", "Deployment") or strategy.type == "Recreate":
        return False
    asked = strategy.rolling_update.max_unavailable if strategy.rolling_update is not None else None
    chosen = "25%" if asked is None else asked
    if isinstance(chosen, int):
        return chosen == 0
    percent = int(chosen.rstrip("%")) if chosen.rstrip("%").isdigit() else 25
    return pods_at_once(kind, workload) * percent // 100 == 0 and surge(kind, workload) > 0


def ordinals_of(workload: Workload) -> range:
    """The ordinals that a StatefulSet has now: `spec.ordinals.start` and `replicas` of them."""
    start = workload.spec.ordinals.start if workload.spec.ordinals is not None else 0
    replicas = 1 if workload.spec.replicas is None else workload.spec.replicas
    return range(start, start + replicas)
