"""A cluster to be measured: real API server and etcd, controller and agents as processes with service accounts of their own.

Roles, admission policies and accounts are those that `netmgr install` applies; tokens are bound to the agents' Nodes, so requests
pass authorization, policies and priority-and-fairness as they do in a cluster. etcd's files are in memory and it does not fsync.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import uvloop

from netmgr.api import allocation, spider
from netmgr.api.meta import Json, PartialObject
from netmgr.install import objects as installation
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.errors import AlreadyExists
from tests.integration.apiserver import ApiServer, free_port
from tests.waiting import eventually

T = TypeVar("T")
MEMORY = Path("/dev/shm")
NAMESPACE = "netmgr-system"
KEPT = Path(__file__).parents[2] / "build" / "bench-logs"
PROGRAM = Path(sys.executable).parent / "netmgr"


class _TokenStatus(msgspec.Struct, frozen=True):
    token: str


class _TokenRequest(msgspec.Struct, frozen=True):
    status: _TokenStatus


class Process:
    """One netmgr process; its log is read for what it says about itself."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self.log = log
        self.began = time.time()
        with log.open("wb") as out:
            command = ["setpriv", "--pdeathsig", "KILL", str(PROGRAM), *arguments]
            self._process = subprocess.Popen(command, stdout=out, stderr=out)

    @property
    def pid(self) -> int:
        """Its process id (setpriv has become it)."""
        return self._process.pid

    def said(self, event: str) -> float | None:
        """When it first logged an event that begins like that, in seconds since 1970."""
        for line in self.log.read_text().splitlines():
            record = json.loads(line) if line.startswith("{") else {}
            if str(record.get("event", "")).startswith(event):
                return datetime.fromisoformat(record["timestamp"]).timestamp()
        return None

    def await_said(self, event: str, within: float = 60.0) -> float:
        """The same, once it has."""
        found = eventually(lambda: self.said(event), bool, within=within, what=f"{event!r} in {self.log}")
        assert found is not None
        return found

    def end(self) -> None:
        """SIGTERM, and wait."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


class Agent:
    """One node's agent."""

    def __init__(self, process: Process, node: str, socket: Path) -> None:
        self.process, self.node, self.socket = process, node, socket


class Site:
    """The cluster. `agents` run all the time; the controller runs inside `with site.controller()`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = ApiServer(folder / "server", audit=False)
        self.agents: list[Agent] = []
        self._controllers = 0
        self._controller_config = Path()

    def call(self, act: Callable[[Api], Awaitable[T]]) -> T:
        """Run something with an administrator's client."""

        async def once() -> T:
            async with Api(load(self.server.kubeconfig), user_agent="bench", timeout=60.0) as api:
                return await act(api)

        return uvloop.run(once())

    def start(self) -> None:
        """API server, etcd, and what an installation applies but for the workloads."""
        self.server.start()
        self.call(self._install)
        token = self.call(lambda api: self._token(api, "netmgr-controller", None))
        self._controller_config = self.server.kubeconfig_with("controller", {"token": token})

    def stop(self) -> None:
        """End everything."""
        for agent in self.agents:
            agent.process.end()
        self.server.stop()

    def with_agents(self, count: int) -> list[Agent]:
        """That many live agents; those that are missing are started."""
        for number in range(len(self.agents) + 1, count + 1):
            self.agents.append(self._start_agent(f"bench-{number}"))
        for agent in self.agents:
            agent.process.await_said("ready")
        return self.agents[:count]

    @contextmanager
    def controller(self) -> Iterator[Process]:
        """A controller that leads; ended afterwards."""
        with self.starting_controller() as process:
            process.await_said("leading")
            yield process

    @contextmanager
    def starting_controller(self) -> Iterator[Process]:
        """A controller whose process has just begun."""
        self._controllers += 1
        identity = f"controller-{self._controllers}"
        options = (
            "--kubeconfig",
            str(self._controller_config),
            "--namespace",
            NAMESPACE,
            "--identity",
            identity,
            "--metrics-port",
            str(free_port()),
        )
        process = Process(self.folder / f"{identity}.log", "controller", *options)
        try:
            yield process
        finally:
            process.end()

    def pool(self, name: str, prefix: str, *ranges: str) -> None:
        """A pool of its own for a driver."""
        body = {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderIPPool", "metadata": {"name": name}}
        body |= {"spec": {"subnet": prefix, "ips": list(ranges)}}
        self.call(lambda api: api.create(spider.POOLS, body, PartialObject))

    def allocations(self, pool: str) -> int:
        """Addresses that are held in a pool."""
        listed = self.call(lambda api: api.list(allocation.ALLOCATIONS, allocation.IPAllocation))
        return sum(1 for one in listed if one.spec.pool == pool)

    def emptied(self, pool: str, within: float = 120.0) -> None:
        """Wait until nothing of a pool is held, then remove it."""
        eventually(lambda: self.allocations(pool), lambda left: left == 0, within=within, what=f"{pool} is empty")
        self.call(lambda api: api.delete(paths.named(spider.POOLS, pool)))

    def control_plane(self, controller: Process) -> list[int]:
        """Process ids whose CPU time is the control plane's."""
        return [*self.server.pids().values(), controller.pid]

    def agent_pids(self) -> list[int]:
        """Process ids of the agents."""
        return [agent.process.pid for agent in self.agents]

    def _start_agent(self, node: str) -> Agent:
        folder = self.folder / node
        folder.mkdir()
        token = self.call(lambda api: self._node_token(api, node))
        config = self.server.kubeconfig_with(node, {"token": token})
        options = ["--kubeconfig", str(config), "--namespace", NAMESPACE, "--node-name", node]
        options += ["--socket", str(folder / "cni.sock"), "--state-dir", str(folder / "state")]
        return Agent(Process(folder / "agent.log", "agent", *options), node, folder / "cni.sock")

    @staticmethod
    async def _install(api: Api) -> None:
        settings = installation.Settings(namespace=NAMESPACE)
        for name in ("namespace", "rbac", "admission"):
            for one in installation.rendered(name, settings):
                await api.apply(installation.path_of(one), one, "bench", PartialObject)

    @staticmethod
    async def _token(api: Api, account: str, bound: Json | None) -> str:
        body: Json = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 36000}}
        if bound is not None:
            body["spec"]["boundObjectRef"] = bound
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"
        return (await api.create(path, body, _TokenRequest)).status.token

    async def _node_token(self, api: Api, node: str) -> str:
        try:
            await api.create(paths.NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}, PartialObject)
        except AlreadyExists:
            await asyncio.sleep(0)
        uid = (await api.get(paths.named(paths.NODES, node), PartialObject)).metadata.uid
        return await self._token(api, "netmgr-agent", {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid})


@contextmanager
def site() -> Iterator[Site]:
    """A running cluster without controller and agents, in a folder in memory that goes with it."""
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="netmgr-bench-") as name:
        made = Site(Path(name))
        try:
            made.start()
            yield made
        except BaseException:
            keep_logs(made.folder)
            raise
        finally:
            made.stop()


def keep_logs(folder: Path) -> None:
    """What the processes said, for whoever wonders why a driver failed."""
    KEPT.mkdir(parents=True, exist_ok=True)
    for log in folder.rglob("*.log"):
        shutil.copy(log, KEPT / "-".join(log.relative_to(folder).parts))
