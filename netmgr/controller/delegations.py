"""Pods that no rule covers, handed over to another IPAM plugin: one list per node, which that node's agent watches.

I/O: one list when this process begins to lead, then one write per node at a time; Pods that come meanwhile share the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

from netmgr.api.delegation import DELEGATIONS, GROUP_VERSION, NodeDelegation
from netmgr.api.meta import Json
from netmgr.api.workload import Pod
from netmgr.controller import codec
from netmgr.controller.world import World
from netmgr.kube.errors import AlreadyExists, Conflict, NotFound
from netmgr.kube.paths import named

log = logging.getLogger(__name__)


class Delegations:
    """`load` once, then `add`. What a node's list says is `world.delegated`, where deleted Pods leave it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._written: dict[str, tuple[str, frozenset[str]]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self) -> None:
        """What earlier leaders decided stays decided. Pods that have gone since are left out of the next write."""
        alive = {codec.holder_uid(pod) for pod in self.world.pods.store.values()}
        for one in await self.world.api.list(DELEGATIONS, NodeDelegation):
            self._read(one)
            self.world.delegated[one.metadata.name] = alive & set(one.spec.pods)
        for pod in self.world.pods.store.values():
            if self.world.is_delegated(pod):
                self.world.elsewhere.put(pod)

    async def add(self, pod: Pod) -> None:
        """Say so to the Pod's node; returns once it is written."""
        node, uid = pod.spec.node_name, codec.holder_uid(pod)
        self.world.delegated[node].add(uid)
        async with self._locks[node]:
            while uid in self.world.delegated[node] and uid not in self._written.get(node, ("", frozenset()))[1]:
                await self._write(node)

    async def _write(self, node: str) -> None:
        """The whole list, unless another leader was faster: then its Pods are ours too."""
        pods = sorted(self.world.delegated[node])
        version = self._written.get(node, ("", frozenset()))[0]
        spec: Json = {"pods": pods}
        try:
            if version:
                body: Json = {"metadata": {"resourceVersion": version}, "spec": spec}
                self._read(await self.world.api.merge_patch(named(DELEGATIONS, node), body, NodeDelegation))
            else:
                meta = {"name": node, "ownerReferences": self._owner(node)}
                body = {"apiVersion": GROUP_VERSION, "kind": "NodeDelegation", "metadata": meta, "spec": spec}
                self._read(await self.world.api.create(DELEGATIONS, body, NodeDelegation))
        except NotFound:
            self._written.pop(node, None)
        except (AlreadyExists, Conflict):
            try:
                found = await self.world.api.get(named(DELEGATIONS, node), NodeDelegation)
            except NotFound:
                self._written.pop(node, None)
                return
            alive = {codec.holder_uid(pod) for pod in self.world.pods.store.values()}
            self.world.delegated[node] |= alive & set(found.spec.pods)
            self._written[node] = (found.metadata.resource_version, frozenset())
        else:
            log.info("delegated node=%s pods=%d", node, len(pods))

    def _owner(self, name: str) -> list[Json]:
        """The list goes with its Node object."""
        node = self.world.nodes.store.get(name)
        return [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid}] if node is not None else []

    def _read(self, one: NodeDelegation) -> None:
        self._written[one.metadata.name] = (one.metadata.resource_version, frozenset(one.spec.pods))
