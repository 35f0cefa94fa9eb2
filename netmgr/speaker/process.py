"""The speaker process of one node.

I/O: watches neighbors, advertisements and pools; enters the delta with one vtysh call; reads sessions back into NodeBGPState. The
last good configuration lies in the state directory, and bgpd boots with it, waiting for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path
from typing import Any

import msgspec

from bgp import routes
from bgp.errors import EngineError
from bgp.frr.delta import delta, with_lists_of
from bgp.frr.render import render
from bgp.frr.vtysh import Vtysh
from netmgr.api import bgp, spider
from netmgr.api.bgp import BGPNeighbor, NodeBGPState, PoolAdvertisement
from netmgr.api.meta import Json, PartialObject
from netmgr.api.spider import SpiderIPPool
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.errors import AlreadyExists, ApiError, NotFound
from netmgr.kube.lean import LeanTransport
from netmgr.kube.reflector import Reflector
from netmgr.speaker.codec import Planned, plan

log = logging.getLogger(__name__)
LAST_GOOD = "bgpd.conf"
READ_BACK_SECONDS = 1.0
LONGEST_LIST = 1000


class Speaker:
    """Desired state from the API, running state in FRR."""

    def __init__(self, api: Api, node: str, vtysh: Vtysh, state: Path) -> None:
        self.api, self.node, self.vtysh, self.state = api, node, vtysh, state
        state.mkdir(parents=True, exist_ok=True)
        self.dirty = asyncio.Event()
        self.planned = Planned(None, {})
        self.reported: Json = {}
        self.neighbors = Reflector(api, bgp.NEIGHBORS, BGPNeighbor, on_event=self._changed)
        self.advertisements = Reflector(api, bgp.ADVERTISEMENTS, PoolAdvertisement, on_event=self._changed)
        self.pools = Reflector(api, spider.POOLS, SpiderIPPool, on_event=self._changed)
        self.labels: dict[str, str] = {}

    def _changed(self, *_: object) -> None:
        self.dirty.set()

    async def run(self) -> None:
        """Until cancelled."""
        reflectors: tuple[Reflector[Any], ...] = (self.neighbors, self.advertisements, self.pools)
        with contextlib.suppress(NotFound):
            node = await self.api.get(paths.named(paths.NODES, self.node), PartialObject)
            self.labels = node.metadata.labels or {}
        async with asyncio.TaskGroup() as group:
            for one in reflectors:
                group.create_task(one.run())
            await asyncio.gather(*(one.synced.wait() for one in reflectors))
            group.create_task(self._keep_applied())
            group.create_task(self._keep_reported())

    async def _keep_applied(self) -> None:
        while True:
            self.dirty.clear()
            try:
                await asyncio.to_thread(self.apply)
            except EngineError as error:
                log.error("apply_failed error=%s", error)  # noqa: TRY400 - the words are all there is
                await asyncio.sleep(1.0)
                continue
            await self.dirty.wait()

    def apply(self) -> None:
        """Bring FRR from what it runs to what the API says; the file moves only after FRR took the lines."""
        self.planned = plan(
            self.neighbors.store.values(),
            self.advertisements.store.values(),
            list(self.pools.store.values()),
            self.labels,
            routes.default_gateway,
            routes.source_towards,
        )
        desired = render(self.planned.policy) if self.planned.policy is not None else ""
        lines = delta(self._running(), desired)
        if lines:
            self.vtysh.apply(lines)
            store(self.state / LAST_GOOD, desired)
            log.info("configuration_applied lines=%s", len(lines))

    def _running(self) -> str:
        """What bgpd has of ours: one that was restarted without our file has no `router bgp`."""
        file = self.state / LAST_GOOD
        running = self.vtysh.text("show running-config")
        if not file.exists() or "router bgp" not in running:
            return ""
        return with_lists_of(file.read_text(), running)

    async def _keep_reported(self) -> None:
        while True:
            try:
                status = await asyncio.to_thread(self.read_back)
                await self._report(status)
            except (EngineError, ApiError) as error:
                log.warning("read_back_failed error=%s", error)
            await asyncio.sleep(READ_BACK_SECONDS)

    def read_back(self) -> Json:
        """Sessions and announced prefixes, as FRR says."""
        policy = self.planned.policy
        sessions: list[Json] = []
        announced: set[str] = set()
        for one in policy.neighbors if policy is not None else ():
            about = self.vtysh.show(f"show bgp neighbors {one.address} json").get(str(one.address), {})
            sent: set[str] = set()
            for family in one.families:
                command = f"show bgp {family.word.lower()} unicast neighbors {one.address} advertised-routes json"
                sent |= set(self.vtysh.show(command).get("advertisedRoutes", {}))
            announced |= sent
            state = str(about.get("bgpState", "Idle"))
            known: Json = {"neighbor": one.name, "address": str(one.address), "asn": one.asn}
            sessions.append({**known, "state": state, "advertised": len(sent)})
        sessions += [{"neighbor": name, "address": "", "state": "Refused", "message": why} for name, why in self.refusals()]
        return {
            "engine": "frr",
            "sessions": sessions,
            "announced": sorted(announced)[:LONGEST_LIST],
            "announcedCount": len(announced),
            "truncated": len(announced) > LONGEST_LIST,
        }

    def refusals(self) -> list[tuple[str, str]]:
        """Neighbors that were left out, and why."""
        return sorted(self.planned.refused.items())

    async def _report(self, status: Json) -> None:
        if status == self.reported:
            return
        path = paths.named(bgp.NODE_STATES, self.node)
        try:
            await self.api.merge_patch(f"{path}/status", {"status": status}, NodeBGPState)
        except NotFound:
            body: Json = {"apiVersion": bgp.GROUP_VERSION, "kind": "NodeBGPState", "metadata": {"name": self.node}}
            with contextlib.suppress(AlreadyExists):
                await self.api.create(bgp.NODE_STATES, body, NodeBGPState)
            await self.api.merge_patch(f"{path}/status", {"status": status}, NodeBGPState)
        self.reported = msgspec.json.decode(msgspec.json.encode(status))


def store(path: Path, text: str) -> None:
    """Whole or not at all, and on the disk: it must be there after a power cut."""
    partial = path.with_suffix(".partial")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


async def run(kubeconfig: Path | None, node: str, run_dir: Path, state: Path) -> int:
    """Run until SIGTERM; FRR goes on with what it has."""
    async with Api(load(kubeconfig), user_agent="netmgr-speaker", transport=LeanTransport) as api:
        task = asyncio.ensure_future(Speaker(api, node, Vtysh(run_dir), state).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return 0
