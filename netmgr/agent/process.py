"""I/O: the agent as a process: watch, heartbeat, spool, socket, and the order in which they start and end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cni import conflist
from cni.attachments import AttachmentStore, boot_id
from cni.config import AttachmentKey
from cni.delegated import DelegatedStore
from cni.errors import CniError
from cni.lookup import RouteLookup
from cni.server import serve
from cni.spool import spool_of, taken
from ipam.fallback import Fallback
from ipam.prefix import Address, allocation_name
from netmgr.agent import standing
from netmgr.agent.allocations import NodeAllocations
from netmgr.agent.answering import Answering
from netmgr.agent.counted import Counted
from netmgr.agent.delegating import Delegating
from netmgr.agent.heartbeat import Heartbeat
from netmgr.agent.metrics import Metrics
from netmgr.agent.node_ranges import ranges_of
from netmgr.agent.pod_facts import ApiPodFacts
from netmgr.agent.reconciling import Reconciling
from netmgr.agent.reports import Reports
from netmgr.agent.serving import serve_pages
from netmgr.api.allocation import ALLOCATIONS, IPAllocation
from netmgr.api.delegation import DELEGATIONS, NodeDelegation
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.lean import LeanTransport
from netmgr.kube.reflector import Reflector
from netmgr.kube.store import EventKind

log = logging.getLogger(__name__)
LOOK_AGAIN = 5.0
"""Seconds between looks at the spool and at releases that wait for a route to go."""


class SpoolKept(Exception):  # noqa: N818 - no error: it keeps the file
    """A spooled DEL has to be tried again, so the spool stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """The command's options; without `conf_dir` nothing on the host is changed, on port 0 nobody is told how the agent stands."""

    kubeconfig: Path | None
    node: str
    socket: Path
    state_dir: Path
    namespace: str
    deadline: float
    fallback: Fallback
    conf_dir: Path | None
    bin_dir: Path
    plugin_dir: Path
    mode: conflist.Mode
    metrics_port: int


class Agent:
    """Everything one agent process holds."""

    def __init__(self, api: Api, settings: AgentSettings, boot: str = "") -> None:
        self._api, self._settings = api, settings
        self._mode = replace(settings.mode, fallback=settings.fallback.plugin)
        self._store = AttachmentStore(settings.state_dir, boot or boot_id())
        self._allocations = NodeAllocations()
        self._changed: asyncio.Queue[str] = asyncio.Queue()
        selector = f"spec.nodeName={settings.node}"
        self._reflector = Reflector(api, ALLOCATIONS, IPAllocation, field_selector=selector, on_event=self._event)
        self._routes = RouteLookup()
        known = self._reflector.store
        self._delegated = DelegatedStore(settings.socket, self._store.boot)
        delegating = Delegating(self._delegated, self._routes, settings.fallback.plugin, self._is_attached)
        self._reports = Reports(api, self._store, known)
        self._answering = Answering(
            self._allocations,
            self._store,
            self._reports,
            self._routes,
            delegating=delegating,
            deadline=settings.deadline,
            facts=ApiPodFacts(api),
            synced=self._reflector.synced,
        )
        self._reconciling = Reconciling(known, self._store, self._reports, self._answering, self._routes)
        self._metrics = Metrics()
        api.observe = self._metrics.request
        self._watches: list[Reflector[Any]] = [self._reflector, *self._delegations()]
        self._jobs: list[asyncio.Task[None]] = []
        self._ready = False
        self._heartbeat = Heartbeat(api, settings.namespace, settings.node, self._store.boot, self._reconciling.strays)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set: records, spool, allocations, then the socket, then the configuration that names it."""
        self._store.open()
        self._delegated.open(self._settings.fallback.plugin, self._store.folder / "attached")
        server: asyncio.AbstractServer | None = None
        self._jobs += [self._job(one.run()) for one in self._watches]
        if self._settings.metrics_port:
            pages = {"/metrics": self._told, "/healthz": self._health, "/readyz": self._readiness}
            self._jobs.append(self._job(serve_pages(self._settings.metrics_port, pages)))
        try:
            await self._until(stop, _all_synced(self._watches))
            if stop.is_set():
                return
            await self._replay()
            for one in list(self._store.released.values()):
                self._reports.released(one)
            server = await serve(Counted(self._answering, self._metrics), self._settings.socket)
            self._jobs += [self._job(self._heartbeat.run()), self._job(self._follow()), self._job(self._repeat())]
            await self._learn_ranges()
            self._install()
            self._ready = True
            log.info(
                "ready node=%s allocations=%d attached=%d",
                self._settings.node,
                len(self._reflector.store),
                len(self._store.attached),
            )
            await stop.wait()
            server.close()
            await self._reports.finish(5.0)
        finally:
            if server is not None:
                server.close()
            for job in self._jobs:
                job.cancel()
            await asyncio.gather(*self._jobs, return_exceptions=True)
            self._routes.close()

    def _told(self) -> tuple[int, bytes]:
        """The page of metrics."""
        numbers = {
            "ready": (int(self._ready), "1 once ADD is answered."),
            "adds_waiting": (self._allocations.waiting, "ADDs that wait for their allocation."),
            "allocations": (len(self._reflector.store), "Allocations of this node."),
            "attachments": (len(self._store.attached), "Sandbox interfaces that hold addresses of ours."),
            "delegated_attachments": (len(self._delegated.records), "Sandbox interfaces that another IPAM plugin answered for."),
            "unreported": (len(self._store.released), "Attachments that have ended and are not reported yet."),
            "reports_pending": (self._reports.pending, "Reports on their way to the API server."),
            "strays": (len(self._reconciling.strays()), "Addresses in use whose allocation is gone or another Pod's."),
        }
        return 200, self._metrics.text([*standing.held(numbers), *standing.watches(self._watches), *standing.process()])

    def _health(self) -> tuple[int, bytes]:
        """Whether everything that should run for ever does; a new process helps where it does not."""
        ended = [job for job in self._jobs if job.done()]
        return (500, f"{ended[0]!r} has ended\n".encode()) if ended else (200, b"ok\n")

    def _readiness(self) -> tuple[int, bytes]:
        """Whether ADD is answered."""
        return (200, b"ok\n") if self._ready else (503, b"allocations are not known yet; look at the API server's health\n")

    def _delegations(self) -> list[Reflector[NodeDelegation]]:
        """The watch of who is another IPAM plugin's, where there is one."""
        if not self._settings.fallback.plugin:
            return []
        selector = f"metadata.name={self._settings.node}"
        return [Reflector(self._api, DELEGATIONS, NodeDelegation, field_selector=selector, on_event=self._delegation)]

    def _delegation(self, kind: EventKind, one: NodeDelegation, _old: NodeDelegation | None) -> None:
        self._allocations.delegate(frozenset() if kind is EventKind.DELETED else frozenset(one.spec.pods))

    def _is_attached(self, address: Address) -> bool:
        return bool(self._store.holding(allocation_name(address)))

    def _event(self, kind: EventKind, allocation: IPAllocation, old: IPAllocation | None) -> None:
        self._allocations.changed(kind, allocation, old)
        self._changed.put_nowait(allocation.metadata.name)

    async def _follow(self) -> None:
        """Look at each allocation that has changed."""
        for one in self._store.attached.values():
            for grant in one.grants:
                self._changed.put_nowait(grant.name)
        while True:
            await self._look(await self._changed.get())

    async def _look(self, name: str) -> None:
        try:
            if await self._reconciling.look(name):
                self._heartbeat.soon()
        except Exception:
            log.exception("look_failed allocation=%s", name)

    async def _repeat(self) -> None:
        """A DEL may be spooled just before the socket was there; a release may wait for a route to go; somebody may tidy /etc."""
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            await self._replay()
            await self._learn_ranges()
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._install)
            for name, allocation in list(self._reflector.store.items()):
                if allocation.status.phase == "Releasing":
                    self._changed.put_nowait(name)

    async def _replay(self) -> None:
        spool = spool_of(self._settings.socket)
        if not await asyncio.to_thread(spool.exists):
            return
        with contextlib.suppress(SpoolKept), taken(spool) as keys:
            ended = [await self._replayed(key) for key in keys]
            if not all(ended):
                raise SpoolKept

    async def _replayed(self, key: AttachmentKey) -> bool:
        """End a spooled DEL's attachment; False where it is to be tried again: one of them must not stop the agent."""
        log.info("spooled_del key=%s", key)
        try:
            await self._answering.release(key)
        except (CniError, OSError):
            log.exception("spooled_del_failed key=%s again_seconds=%g", key, LOOK_AGAIN)
            return False
        self._metrics.spooled += 1
        return True

    async def _learn_ranges(self) -> None:
        """What host-local has to be told in a configuration of ours; asked again until the node has it."""
        wanted = self._settings
        if wanted.conf_dir is not None and wanted.fallback.plugin == conflist.HOST_LOCAL and not self._mode.ranges:
            self._mode = replace(self._mode, ranges=await ranges_of(self._api, wanted.node))

    def _install(self) -> None:
        wanted = self._settings
        if wanted.conf_dir is not None:
            for file in conflist.install(wanted.conf_dir, wanted.bin_dir, wanted.plugin_dir, wanted.socket, self._mode):
                log.info("cni_installed file=%s", file)

    @staticmethod
    def _job(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(work)

    @staticmethod
    async def _until(stop: asyncio.Event, wanted: Coroutine[Any, Any, Any]) -> None:
        tasks = [asyncio.create_task(wanted), asyncio.create_task(stop.wait())]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _all_synced(watches: list[Reflector[Any]]) -> None:
    await asyncio.gather(*(one.synced.wait() for one in watches))


async def run_agent(settings: AgentSettings) -> None:
    """The process: until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Api(load(settings.kubeconfig), user_agent="netmgr-agent", transport=LeanTransport) as api:
        await Agent(api, settings).run(stop)
