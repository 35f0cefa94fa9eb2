"""A node in namespaces of its own: the agent as a process, the plugin as the runtime would call it.

The API server listens on the machine's loopback; two socats carry its port into the node's namespace.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from cni.attachments import boot_id
from ipam.prefix import allocation_name, parse_address
from netmgr.api.allocation import ALLOCATIONS, IPAllocation
from netmgr.api.delegation import DELEGATIONS, GROUP_VERSION, NodeDelegation
from netmgr.api.meta import PartialObject
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.paths import PODS, in_namespace, named
from tests.integration.apiserver import ApiServer
from tests.waiting import eventually

ROOT = Path(__file__).parents[3]
_numbers = count(1)
T = TypeVar("T")


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command; its output is text."""
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


class Node:
    """One node; `pods` are namespaces that the runtime made."""

    def __init__(self, server: ApiServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.name = f"agent-node-{os.getpid()}-{next(_numbers)}"
        self.netns = f"nmc-{os.getpid()}-{next(_numbers)}"
        self.socket, self.state = folder / "cni.sock", folder / "state"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.namespaces: list[str] = []
        self.agent: subprocess.Popen[bytes] | None = None
        self.build = folder / "bin"
        self.log = folder / "agent.log"

    def up(self) -> None:
        self.build.mkdir()
        for name in ("netmgr", "netmgr-ipam"):
            source = str(ROOT / "cni/plugin/netmgr.c")
            subprocess.run(["musl-gcc", "-static", "-Os", "-s", "-o", str(self.build / name), source], check=True)
        self.namespace(self.netns)
        port, way = urlsplit(self.server.url).port, self.folder / "way.sock"
        self.start("socat", f"UNIX-LISTEN:{way},fork", f"TCP:127.0.0.1:{port}")
        self.start("ip", "netns", "exec", self.netns, "socat", f"TCP-LISTEN:{port},fork,bind=127.0.0.1", f"UNIX-CONNECT:{way}")
        eventually(way.exists, bool, within=10)

    def namespace(self, name: str) -> str:
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        self.namespaces.append(name)
        return f"/run/netns/{name}"

    def pod(self) -> str:
        return self.namespace(f"{self.netns}-p{next(_numbers)}")

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def launch_agent(self, *extra: str) -> subprocess.Popen[bytes]:
        """The agent's process, which may not be ready yet."""
        command = [
            sys.executable,
            "-c",
            "from netmgr.cli import main; main()",
            "agent",
            "--kubeconfig",
            str(self.server.kubeconfig),
        ]
        command += ["--node-name", self.name, "--socket", str(self.socket), "--state-dir", str(self.state), *extra]
        with self.log.open("ab") as output:
            self.agent = subprocess.Popen(["ip", "netns", "exec", self.netns, *command], stdout=output, stderr=output)
        return self.agent

    def start_agent(self, *extra: str) -> None:
        started = self.launch_agent(*extra)

        def ready() -> str:
            assert started.poll() is None, self.log.read_text()
            return self.cni("STATUS", "c", "")[1]

        eventually(ready, lambda out: out == "", within=30)

    def end_agent(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.agent is not None
        self.agent.send_signal(number)
        self.agent.wait(20)

    def down(self) -> None:
        for process in [*self.processes, *([self.agent] if self.agent else [])]:
            if process.poll() is None:
                process.terminate()
                process.wait(20)
        for name in self.namespaces:
            run("ip", "netns", "del", name)

    def cni(
        self,
        command: str,
        container: str,
        pod_uid: str,
        *,
        netns: str = "",
        plugin: str = "netmgr-ipam",
        ifname: str = "eth0",
        **config: Any,
    ) -> tuple[int, str]:
        """Exit code and output of one call of a plugin; `plugin` may be a path."""
        path, environment, stdin = self._call(command, container, pod_uid, netns, plugin, ifname, config)
        done = run("ip", "netns", "exec", self.netns, path, env=environment, input=stdin)
        return done.returncode, done.stdout

    def start_call(
        self, command: str, container: str, pod_uid: str, netns: str, *, plugin: str = "netmgr-ipam", **config: Any
    ) -> subprocess.Popen[str]:
        """A call that may wait; it has had its stdin."""
        path, environment, stdin = self._call(command, container, pod_uid, netns, plugin, "eth0", config)
        argv = ["ip", "netns", "exec", self.netns, path]
        process = subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        process.stdin = None
        return process

    def _call(
        self, command: str, container: str, pod_uid: str, netns: str, plugin: str, ifname: str, config: dict[str, Any]
    ) -> tuple[str, dict[str, str], str]:
        """Program, environment and stdin, as a runtime makes them."""
        path = plugin if plugin.startswith("/") else str(self.build / plugin)
        stdin = {"cniVersion": "1.0.0", "name": "net", "type": "calico", "socket": str(self.socket), **config}
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_IFNAME": ifname,
            "CNI_NETNS": netns,
            "CNI_PATH": f"{self.build}:/usr/lib/cni",
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_UID={pod_uid};K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod_uid}",
            "PATH": os.environ["PATH"],
        }
        return path, environment, json.dumps(stdin)

    def bind(
        self,
        address: str,
        pod_uid: str,
        *,
        siblings: int = 1,
        gateway: str = "",
        length: int = 24,
        boot: str = "",
        labels: dict[str, str] | None = None,
        **more: Any,
    ) -> IPAllocation:
        """An allocation, as the controller writes it when the Pod is bound."""
        spec: dict[str, Any] = {
            "address": address,
            "prefixLength": length,
            "pool": "pool",
            "nodeName": self.name,
            "interface": "eth0",
            "siblings": siblings,
            "claimant": {"kind": "Pod", "namespace": "default", "name": pod_uid, "uid": pod_uid},
            "pod": {"namespace": "default", "name": pod_uid, "uid": pod_uid, "runtimeUID": pod_uid},
            "bootID": boot or boot_id(),
        } | ({"gateway": gateway} if gateway else {})
        spec |= more
        name = allocation_name(parse_address(address))
        body = {
            "apiVersion": "netmgr.io/v1alpha1",
            "kind": "IPAllocation",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": spec,
        }
        return self._ask(lambda api: api.create(ALLOCATIONS, body, IPAllocation))

    def create_pod(self, name: str, annotations: dict[str, str]) -> None:
        """A Pod at the API server; calls name it by this name."""
        container = {"name": "c", "image": "nginx"}
        body = {"metadata": {"name": name, "annotations": annotations}, "spec": {"containers": [container], "nodeName": self.name}}
        self._ask(lambda api: api.create(in_namespace(PODS, "default"), body, PartialObject))

    def delegate(self, *pod_uids: str) -> None:
        """What the controller writes about Pods that no rule covers."""
        body = {"apiVersion": GROUP_VERSION, "kind": "NodeDelegation", "metadata": {"name": self.name}}
        path = named(DELEGATIONS, self.name)
        spec = {"pods": list(pod_uids)}
        self._ask(lambda api: api.apply(path, body | {"spec": spec}, "test", NodeDelegation, force=True))

    def allocation(self, address: str) -> IPAllocation:
        path = named(ALLOCATIONS, allocation_name(parse_address(address)))
        return self._ask(lambda api: api.get(path, IPAllocation))

    def unbind(self, address: str) -> None:
        """Delete the allocation, as an administrator can."""
        self._ask(lambda api: api.delete(named(ALLOCATIONS, allocation_name(parse_address(address)))))

    def ask_release(self, address: str, pod_uid: str) -> None:
        path = named(ALLOCATIONS, allocation_name(parse_address(address)), "status")
        self._ask(lambda api: api.merge_patch(path, {"status": {"phase": "Releasing", "podUID": pod_uid}}, IPAllocation))

    def phase(self, address: str) -> str:
        return self.allocation(address).status.phase

    def routes(self, *selector: str) -> str:
        return run("ip", "-n", self.netns, *selector, "route", "show").stdout

    def _ask(self, what: Callable[[Api], Awaitable[T]]) -> T:
        async def once() -> T:
            async with Api(load(self.server.kubeconfig), user_agent="test") as api:
                return await what(api)

        return asyncio.run(once())
