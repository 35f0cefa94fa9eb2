"""A node of the model: a real agent over the twin, and a runtime that knows which sandbox uses which address.

What the runtime knows is the truth that the invariants are held against. Calls go over the agent's real socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from cni.conflist import Mode
from cni.protocol import encode_request
from cni.spool import spool_of
from ipam.fallback import Fallback
from netmgr.agent.process import Agent, AgentSettings
from netmgr.api.meta import Json
from tests.twins import ApiTwin, TwinApi

NAMESPACE = "netmgr-system"
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A Pod's network namespace and the addresses in it."""

    pod_uid: str
    addresses: tuple[str, ...]


@dataclass
class Node:
    """One node. `sandboxes` are alive; `ended` are container ids whose DEL is still to come, or comes again."""

    twin: ApiTwin
    name: str
    folder: Path
    boots: int = 1
    sandboxes: dict[str, Sandbox] = field(default_factory=dict)
    ended: list[tuple[str, str]] = field(default_factory=list)
    adding: dict[str, tuple[str, asyncio.Task[None]]] = field(default_factory=dict)
    api: TwinApi | None = None
    agent: asyncio.Task[None] | None = None
    added: int = 0
    running: Agent | None = None

    @property
    def boot(self) -> str:
        """The kernel's boot id."""
        return f"{self.name}-boot-{self.boots}"

    @property
    def socket(self) -> Path:
        """The agent's socket."""
        return self.folder / "s"

    def start_agent(self) -> None:
        """Start the agent, if none runs."""
        if self.agent is not None:
            return
        self.api = TwinApi(self.twin, f"agent-{self.name}")
        settings = AgentSettings(
            kubeconfig=None,
            node=self.name,
            socket=self.socket,
            state_dir=self.folder / "state",
            namespace=NAMESPACE,
            deadline=60.0,
            fallback=Fallback(),
            mode=Mode(),
            metrics_port=0,
            conf_dir=None,
            bin_dir=self.folder,
            plugin_dir=self.folder,
        )
        self.running = Agent(self.api, settings, self.boot)
        self.agent = asyncio.ensure_future(self.running.run(asyncio.Event()))

    async def kill_agent(self) -> None:
        """End the agent as kill -9 does: nothing more reaches anybody, calls are cut off, files stay."""
        if self.agent is None or self.api is None or self.running is None:
            return
        self.api.dead = True
        self.api.poke()
        for _, task in self.adding.values():
            task.cancel()
        self.agent.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.agent
        await self.running._reports.finish(0.0)
        self.agent = self.running = None

    async def reboot(self) -> None:
        """Every sandbox and all that lies on tmpfs is gone; the agent is not started."""
        await self.kill_agent()
        self.sandboxes.clear()
        self.ended.clear()
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        spool_of(self.socket).unlink(missing_ok=True)
        self.boots += 1

    def add(self, pod: Json) -> None:
        """CNI ADD for a Pod, in the background."""
        container = f"c{next(_numbers)}"
        self.adding[container] = (pod["metadata"]["uid"], asyncio.ensure_future(self._add(container, pod)))

    async def _add(self, container: str, pod: Json) -> None:
        try:
            code, out = await self._call("ADD", container, pod["metadata"])
            if code == 0:
                addresses = tuple(one["address"].partition("/")[0] for one in json.loads(out)["ips"])
                self.sandboxes[container] = Sandbox(pod["metadata"]["uid"], addresses)
                self.added += len(addresses)
                return
        except asyncio.CancelledError:
            pass
        finally:
            self.adding.pop(container, None)
        self.ended.append((container, pod["metadata"]["uid"]))

    async def delete(self, container: str, pod_uid: str) -> bool:
        """CNI DEL, as the plugin does it: into the spool where the agent is away. True if it succeeded."""
        self.sandboxes.pop(container, None)
        code, _ = await self._call("DEL", container, {"uid": pod_uid, "name": "x", "namespace": "x"})
        if code < 0:
            line = {"network": "net", "containerID": container, "ifname": "eth0"}
            with spool_of(self.socket).open("a") as file:
                file.write(json.dumps(line) + "\n")
        return code <= 0

    def end_sandbox(self, container: str) -> None:
        """The sandbox dies; its DEL comes later."""
        one = self.sandboxes.pop(container)
        self.ended.append((container, one.pod_uid))

    async def _call(self, command: str, container: str, pod: Json) -> tuple[int, bytes]:
        """Exit code and output; (-1, nothing) where the agent gave no answer."""
        names = f"K8S_POD_UID={pod['uid']};K8S_POD_NAMESPACE={pod['namespace']};K8S_POD_NAME={pod['name']}"
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": "",
            "CNI_ARGS": names,
            "NETMGR_PLUGIN": "netmgr-ipam",
        }
        config = {"cniVersion": "1.0.0", "name": "net", "type": "calico"}
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return -1, b""
        try:
            writer.write(encode_request(environment, json.dumps(config).encode()))
            answer = await reader.read()
        except OSError:
            return -1, b""
        finally:
            writer.close()
        return (answer[0], answer[1:]) if answer else (-1, b"")
