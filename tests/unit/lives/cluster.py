"""A whole cluster on a virtual clock: real controllers and agents over the API server's twin, and what happens to them.

`invariants` sees what must never be, at the moment it happens; `settle` heals everything and lets it come to rest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from netmgr.api import allocation, spider
from netmgr.api.meta import Json
from netmgr.controller.process import Controller
from netmgr.kube import paths
from netmgr.kube.client import Call
from netmgr.kube.errors import ApiError
from tests.twins import ApiTwin, Fault, TwinApi
from tests.unit.lives.invariants import Invariants
from tests.unit.lives.node import NAMESPACE, Node
from tests.virtual_time import VirtualLoop

T = TypeVar("T")
SPACE = "space"
OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}


@dataclass
class Leader:
    """A controller that writes; more than one at a time are what a stale leader is."""

    api: TwinApi
    controller: Controller
    task: asyncio.Task[None]


class Cluster:
    """Owns the loop. Everything public may be called from a rule."""

    def __init__(self, folder: Path, nodes: tuple[str, ...]) -> None:
        self.loop = VirtualLoop()
        self.twin = ApiTwin(self.loop.time)
        self.admin = TwinApi(self.twin, "admin")
        self.leaders: list[Leader] = []
        self.nodes = {name: Node(self.twin, name, folder / name) for name in nodes}
        self.invariants = Invariants(self.twin, self.nodes, self._controllers)
        self.twin.observers.append(self.invariants.watch)
        self.pods_made = 0
        self.create(paths.NAMESPACES, {"metadata": {"name": SPACE}})
        for node in self.nodes.values():
            node.folder.mkdir()
            self.create(paths.NODES, {"metadata": {"name": node.name}})
            self._report_boot(node)
            self.run(self._start_agent(node))
        self.start_leader()
        self.pass_time(2.0)

    # ---- the outside world ----

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end."""
        return self.loop.run_until_complete(work)

    def pass_time(self, seconds: float) -> None:
        """Let everybody work for so long."""
        self.run(asyncio.sleep(seconds))

    def create(self, collection: str, body: Json, namespace: str = "") -> Json:
        """As an administrator, at once."""
        path = paths.in_namespace(collection, namespace) if namespace else collection
        return self.twin.handle(Call("create", path, body=body), "admin")

    def patch(self, path: str, body: Json) -> None:
        """As an administrator, at once."""
        self.twin.handle(Call("patch", path, body=body), "admin")

    def delete(self, path: str, **options: Any) -> None:
        """As an administrator, at once; nothing where it is gone."""
        with contextlib.suppress(ApiError):
            self.twin.handle(Call("delete", path, body=options), "admin")

    def subnet(self, name: str, prefix: str, *ranges: str, **spec: Any) -> None:
        """A SpiderSubnet."""
        self.create(spider.SUBNETS, {"metadata": {"name": name}, "spec": {"subnet": prefix, "ips": list(ranges), **spec}})

    def pool(self, name: str, prefix: str, *ranges: str, **spec: Any) -> None:
        """A SpiderIPPool."""
        self.create(spider.POOLS, {"metadata": {"name": name}, "spec": {"subnet": prefix, "ips": list(ranges), **spec}})

    def reserve(self, name: str, *ranges: str) -> None:
        """A SpiderReservedIP."""
        self.create(spider.RESERVED, {"metadata": {"name": name}, "spec": {"ips": list(ranges)}})

    def workload(self, kind: str, collection: str, name: str, replicas: int, annotations: dict[str, str], **spec: Any) -> Json:
        """A Deployment or StatefulSet; a Deployment with its ReplicaSet."""
        template = {"metadata": {"labels": {"app": name}, "annotations": annotations}, "spec": {}}
        whole = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
        top = self.create(collection, {"metadata": {"name": name}, "spec": whole}, SPACE)
        if kind == "Deployment":
            owner = [reference(kind, top)]
            self.create(paths.REPLICA_SETS, {"metadata": {"name": f"{name}-rs", "ownerReferences": owner}, "spec": whole}, SPACE)
        return top

    def bind_pod(self, owner: Json, kind: str, name: str, app: str, node: str, annotations: dict[str, str]) -> None:
        """A Pod on a node."""
        meta = {"name": name, "labels": {"app": app}, "annotations": annotations, "ownerReferences": [reference(kind, owner)]}
        self.create(paths.PODS, {"metadata": meta, "spec": {"nodeName": node}}, SPACE)

    def pods(self, node: str = "") -> list[Json]:
        """All Pods, or those of a node."""
        return [one for one in self.twin.of(paths.PODS) if node in {"", one["spec"]["nodeName"]}]

    def allocations(self) -> list[Json]:
        """As the API server has them."""
        return self.twin.of(allocation.ALLOCATIONS)

    # ---- processes ----

    def start_leader(self) -> None:
        """One controller more that believes it leads."""
        api = TwinApi(self.twin, f"controller-{self.twin.version}")
        self.leaders.append(self.run(self._lead(api)))

    async def _lead(self, api: TwinApi) -> Leader:
        controller = Controller(api, NAMESPACE)
        controller.world.agents.clock = self.loop.time

        async def work() -> None:
            async with controller.world.running():
                await controller.lead()

        return Leader(api, controller, asyncio.ensure_future(work()))

    def kill_leader(self, index: int = 0) -> None:
        """Kill -9 of one controller."""
        if self.leaders:
            self.run(self._end(self.leaders.pop(index % len(self.leaders))))

    @staticmethod
    async def _end(leader: Leader) -> None:
        leader.api.dead = True
        leader.api.poke()
        leader.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leader.task

    @staticmethod
    async def _start_agent(node: Node) -> None:
        node.start_agent()

    def start_agent(self, name: str) -> None:
        """Start a node's agent; a node that comes back is in service again."""
        self.run(self._start_agent(self.nodes[name]))
        self.patch(paths.named(paths.NODES, name), {"spec": {"taints": None}})

    def kill_agent(self, name: str) -> None:
        """Kill -9 of an agent."""
        self.run(self.nodes[name].kill_agent())

    def reboot(self, name: str) -> None:
        """The machine starts anew; its agent is away until somebody starts it."""
        self.run(self.nodes[name].reboot())
        self._report_boot(self.nodes[name])

    def take_out_of_service(self, name: str) -> None:
        """An administrator has switched the node off and says so."""
        self.run(self.nodes[name].reboot())
        self.patch(paths.named(paths.NODES, name), {"spec": {"taints": [OUT_OF_SERVICE]}})

    def _report_boot(self, node: Node) -> None:
        status = {"nodeInfo": {"bootID": node.boot}, "conditions": [{"type": "Ready", "status": "True"}]}
        self.patch(paths.named(paths.NODES, node.name, "status"), {"status": status})

    def _controllers(self) -> dict[str, tuple[TwinApi, Controller]]:
        return {one.api.name: (one.api, one.controller) for one in self.leaders}

    def clients(self) -> list[TwinApi]:
        """Of every process that runs: leaders first."""
        agents = [node.api for node in self.nodes.values() if node.agent is not None and node.api is not None]
        return [*(leader.api for leader in self.leaders), *agents]

    def break_writes(self, index: int, faults: list[Fault]) -> None:
        """What becomes of a process's next writes."""
        if clients := self.clients():
            clients[index % len(clients)].faults.extend(faults)

    def stall(self, index: int, collection: str) -> None:
        """A process learns nothing more about a collection."""
        if clients := self.clients():
            clients[index % len(clients)].stalled.add(collection)

    def cut_streams(self, index: int) -> None:
        """A process's streams break; stalled ones go on with the new ones."""
        if clients := self.clients():
            one = clients[index % len(clients)]
            one.cuts += 1
            one.stalled.clear()
            one.poke()

    # ---- the kubelet ----

    def kubelet(self, name: str) -> None:
        """What a kubelet does with each of its Pods: start, stop, forget."""
        self.run(self._kubelet(self.nodes[name]))

    async def _kubelet(self, node: Node) -> None:
        await asyncio.sleep(0)
        pods = {one["metadata"]["uid"]: one for one in self.pods(node.name)}
        busy = {one.pod_uid for one in node.sandboxes.values()} | {uid for uid, _ in node.adding.values()}
        for uid, pod in pods.items():
            ending = "deletionTimestamp" in pod["metadata"] or pod.get("status", {}).get("phase") == "Succeeded"
            if not ending and uid not in busy:
                node.add(pod)
            elif ending and await self._stopped(node, uid) and "deletionTimestamp" in pod["metadata"]:
                meta = pod["metadata"]
                self.delete(paths.named(paths.PODS, meta["name"], namespace=SPACE), gracePeriodSeconds=0)
        for uid in {one.pod_uid for one in node.sandboxes.values()} - pods.keys():
            await self._stopped(node, uid)  # force-deleted: the kubelet ends what it finds

    async def _stopped(self, node: Node, uid: str) -> bool:
        for waiting, task in list(node.adding.values()):
            if waiting == uid:
                task.cancel()
        await asyncio.sleep(0)
        mine = [container for container, one in node.sandboxes.items() if one.pod_uid == uid]
        mine += [container for container, of in node.ended if of == uid]
        done = [await node.delete(container, uid) for container in mine]
        return all(done)

    def late_del(self, name: str, index: int) -> None:
        """The DEL of a sandbox that ended earlier, perhaps once more."""
        node = self.nodes[name]
        if node.ended:
            container, uid = node.ended[index % len(node.ended)]
            self.run(node.delete(container, uid))

    def end_sandbox(self, name: str, index: int) -> None:
        """A pause process dies."""
        node = self.nodes[name]
        if node.sandboxes:
            node.end_sandbox(list(node.sandboxes)[index % len(node.sandboxes)])

    # ---- the end ----

    def settle(self, rounds: int = 24) -> None:
        """Heal everything, and let everybody work until nothing is left to be done."""
        while self.leaders:
            self.kill_leader()
        for node in self.nodes.values():
            self.kill_agent(node.name)
            self.start_agent(node.name)
        self.twin.offset += 7200.0
        self.start_leader()
        for _ in range(rounds):
            for name, node in self.nodes.items():
                self.kubelet(name)
                for index in range(len(node.ended)):
                    self.late_del(name, index)
            self.pass_time(8.0)
            self.invariants.look()

    def writes_of_a_new_leader(self) -> list[str]:
        """What a leader writes that finds everything done: it looks at every object once."""
        self.kill_leader()
        before = self.twin.version
        self.start_leader()
        self.pass_time(6.0)
        told = {paths.LEASES, paths.EVENTS}
        late = [one for one in self.twin.history if one.version > before and one.collection not in told]
        return [f"{one.collection}: {one.old} became {one.new}" for one in late]

    def close(self) -> None:
        """End every process."""
        while self.leaders:
            self.kill_leader()
        for node in self.nodes.values():
            self.kill_agent(node.name)
        self.run(end_all())
        self.run(self.loop.shutdown_asyncgens())
        self.loop.executor.shutdown()
        self.loop.close()


async def end_all() -> None:
    """Cancel what is left."""
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
        transport.abort()
    for _ in range(10):  # both ends of every socket learn that it is closed
        await asyncio.sleep(0)


def reference(kind: str, owner: Json) -> Json:
    """An ownerReference of a controller."""
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
