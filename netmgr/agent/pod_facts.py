"""I/O: what the API server knows about a Pod whose ADD waits: one read for each question."""

from __future__ import annotations

from cni.config import Call
from ipam.errors import AnnotationError
from ipam.interfaces import parse_pod
from ipam.networks import parse_networks
from netmgr.api.workload import Pod
from netmgr.kube.client import Api
from netmgr.kube.errors import ApiError, NotFound
from netmgr.kube.paths import PODS, named

CONDITION = "netmgr.io/AddressesAllocated"
CONFIG_HASH = "kubernetes.io/config.hash"


class ApiPodFacts:
    """Reads the Pod that a CNI call names."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def is_ending(self, call: Call) -> bool:
        """Whether the Pod is gone, replaced or being deleted; False where that is not known."""
        try:
            pod = await self._read(call)
        except NotFound:
            return True
        except ApiError:
            return False
        if pod is None:
            return False
        mine = call.pod_uid in {pod.metadata.uid, (pod.metadata.annotations or {}).get(CONFIG_HASH)}
        return not mine or pod.metadata.deletion_timestamp is not None

    async def reason(self, call: Call) -> str:
        """What the controller wrote on the Pod."""
        try:
            pod = await self._read(call)
        except ApiError as error:
            return f"why is not known, the API server says: {error}"
        if pod is None:
            return "the runtime named no Pod to look at"
        for condition in pod.status.conditions or ():
            if condition.type == CONDITION and condition.message:
                return condition.message
        return unspoken(pod, call) or "the controller has not said why; look at the Deployment netmgr-controller"

    async def _read(self, call: Call) -> Pod | None:
        if not call.pod_namespace or not call.pod_name:
            return None
        return await self._api.get(named(PODS, call.pod_name, namespace=call.pod_namespace), Pod)


def unspoken(pod: Pod, call: Call) -> str:
    """Why nobody gives the interface an address, as far as the Pod itself tells; empty where it does not."""
    notes, name = pod.metadata.annotations or {}, call.key.ifname
    try:
        networks = {one.interface: one.reference for one in parse_networks(notes, call.pod_namespace)}
        asked = parse_pod(notes, call.pod_namespace, {}, {})
    except AnnotationError as error:
        return str(error)
    if name in asked.absent:
        return f"annotation {asked.listed_in} has no entry for {name}; add one for each interface that netmgr gives an address to"
    if any(one.interface == name for one in asked.nics):
        return ""
    if name in networks:
        return f"{name} is of network {networks[name]}; look whether it exists and whether its ipam.type is netmgr-ipam"
    return f"no annotation of the Pod speaks of an interface {name}; name it in ipam.spidernet.io/ippools"
