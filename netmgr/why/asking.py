"""I/O: copies of what the controller decides from, one live read of the Pod, and the controller's own decision; writes nothing."""

from __future__ import annotations

from netmgr.api.delegation import DELEGATIONS, NodeDelegation
from netmgr.api.workload import Pod
from netmgr.controller import codec
from netmgr.controller.choosing import Choice, Choosing, Refusal
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import NotFound
from netmgr.kube.keyed_queue import KeyedQueue
from netmgr.why.answer import Answer, lacking, part_of


async def ask(api: Api, namespace: str, pod_namespace: str, name: str) -> Answer:
    """Why a Pod has its addresses, or none. `namespace` is where netmgr runs; NotFound where there is no such Pod."""
    pod = await api.get(paths.named(paths.PODS, name, namespace=pod_namespace), Pod)
    key = f"{pod_namespace}/{name}"
    if not pod.spec.node_name:
        words = "the Pod has no node yet; addresses are given as soon as the scheduler has chosen one"
        return Answer(pod=key, reason="Unscheduled", message=words)
    if pod.spec.host_network:
        return Answer(pod=key, node=pod.spec.node_name)  # it needs none
    if await is_delegated(api, pod):
        words = "no rule covers the Pod, so the installation's fallback plugin gives eth0 its address; see docs/fallback.md"
        return Answer(pod=key, node=pod.spec.node_name, reason="Delegated", message=words)
    world = World(api, namespace, KeyedQueue("why"))
    async with world.running(pods=False):
        found = await Choosing(world).weigh(pod, lambda *_: True)
        return answer_of(world, pod, found)


async def is_delegated(api: Api, pod: Pod) -> bool:
    """Whether the controller has handed the Pod over to another IPAM plugin."""
    try:
        listed = await api.get(paths.named(DELEGATIONS, pod.spec.node_name), NodeDelegation)
    except NotFound:
        return False
    return codec.holder_uid(pod) in listed.spec.pods


def answer_of(world: World, pod: Pod, found: Choice | Refusal) -> Answer:
    """The decision beside what the Pod holds."""
    held = list(world.by_pod.get(pod.metadata.uid, {}).values())
    refusal = found if isinstance(found, Refusal) else None
    chosen = [] if isinstance(found, Refusal) else found.claims
    parts = tuple(part_of(one, held) for one in chosen)
    if refusal is None:
        hungry = (one for one, part in zip(chosen, parts, strict=True) if part.held is None and not one.usable and one.kept is None)
        refusal = next((Choosing(world).nothing_left(one) for one in hungry), None)
    reason, message = lacking(parts, refusal)
    if message and world.agent_boot_id(pod.spec.node_name) is None:
        reason, message = "NoAgent", f"node {pod.spec.node_name} has no live netmgr agent; look at DaemonSet netmgr-agent there"
    if message and not codec.needs_addresses(pod):
        reason, message = "", ""
    owner = next((str(one.owner) for one in chosen if one.owner is not None), "")
    return Answer(
        pod=f"{pod.metadata.namespace}/{pod.metadata.name}",
        node=pod.spec.node_name,
        application=owner,
        reason=reason,
        message=message,
        parts=parts,
    )
