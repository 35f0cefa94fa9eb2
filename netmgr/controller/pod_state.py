"""I/O: one live read of a Pod, as the release rules see it."""

from __future__ import annotations

from ipam.release import PodState
from netmgr.api.allocation import HolderPod
from netmgr.api.workload import Pod
from netmgr.controller.codec import TERMINAL
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import NotFound


async def pod_state(api: Api, holder: HolderPod) -> PodState:
    """Whether the very Pod that holds an address lives; another Pod of its name is another Pod."""
    try:
        pod = await api.get(paths.named(paths.PODS, holder.name, namespace=holder.namespace), Pod)
    except NotFound:
        return PodState.GONE
    if pod.metadata.uid != holder.uid:
        return PodState.GONE
    if pod.status.phase in TERMINAL:
        return PodState.FINISHED
    return PodState.LIVES if pod.metadata.deletion_timestamp is None else PodState.TERMINATING
