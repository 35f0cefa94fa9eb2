"""I/O: tells the API server what is attached no more, and takes that back when the sandbox is made again.

Every write names the allocation's UID, its resourceVersion and the holder it is about; where the holder has changed the
report is void and dropped. A released record stays on disk until its report is through.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec

from cni.attachments import Attachment, AttachmentStore, Grant
from cni.config import AttachmentKey
from netmgr.agent.allocations import Sandbox, is_of_another_boot
from netmgr.api.allocation import ALLOCATIONS, BOUND, DETACHED, AllocationSpec, IPAllocation
from netmgr.api.meta import Json
from netmgr.kube.backoff import Backoff
from netmgr.kube.client import Api
from netmgr.kube.errors import ApiError, Conflict, NotFound, Status, Unavailable
from netmgr.kube.paths import named
from netmgr.kube.update import update

log = logging.getLogger(__name__)
AT_ONCE = 4
"""Reports under way: a node that is drained must not keep its own heartbeat, or others' Pods, waiting at the API server."""
ANSWER_SECONDS = 1.0
"""How long an ADD waits for the answer to a report about its allocation."""


class Reports:
    """One task per report. `settle` ends those about a sandbox that is being attached again."""

    def __init__(self, api: Api, store: AttachmentStore, known: dict[str, IPAllocation]) -> None:
        self._api, self._store, self._known = api, store, known
        self._tasks: dict[AttachmentKey | str, asyncio.Task[None]] = {}
        self._reported: set[str] = set()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._sending: set[str] = set()

    def released(self, one: Attachment) -> None:
        """An attachment has ended: report each of its addresses, then forget the record."""
        if one.key not in self._tasks:
            self._start(one.key, self._report_released(one))

    def nothing_attached(self, allocation: IPAllocation) -> None:
        """No sandbox holds the allocation: after a reboot, or because the controller asks."""
        name = allocation.metadata.name
        if name not in self._tasks:
            self._start(name, self._report(allocation.metadata.name, allocation.metadata.uid, allocation.spec.pod.uid, ""))

    async def settle(self, sandbox: Sandbox, names: Iterable[str]) -> None:
        """End reports about this sandbox's earlier attachments and about these allocations: they are being attached."""
        for name in names:
            if name in self._tasks:
                await self._end(name)
                self._reported.add(name)
        for one in [one for one in self._store.released.values() if one.sandbox_of == sandbox]:
            await self._end(one.key)
            self._reported |= {grant.name for grant in one.grants}
            self._store.forget(one.key)

    async def _end(self, key: AttachmentKey | str) -> None:
        """Stop a task. A request that it has sent may arrive although it is cut off: so that is given time to be answered."""
        task = self._tasks.get(key)
        if task is None:
            return
        if _name_of(task) in self._sending:
            await asyncio.wait([task], timeout=ANSWER_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def take_back(self, allocation: IPAllocation) -> None:
        """The allocation is attached again, in this boot: its `Detached` is void. Needs a request only where that was sent."""
        name, uid, pod = allocation.metadata.name, allocation.metadata.uid, allocation.spec.pod.uid

        def change(now: IPAllocation) -> Json | None:
            if now.metadata.uid != uid or now.spec.pod.uid != pod:
                raise Conflict(f"take back {name}", _changed())
            stale = now.status.phase == BOUND and is_of_another_boot(now, self._store.boot)
            return {"status": _status(BOUND, pod, "", self._store.boot)} if stale or now.status.phase == DETACHED else None

        await update(self._api, named(ALLOCATIONS, name), IPAllocation, change, subresource="status")
        self._reported.discard(name)

    def may_be_reported(self, name: str) -> bool:
        """Whether a report went out that the watch may not have shown yet."""
        return name in self._reported

    @property
    def pending(self) -> int:
        """How many reports are on their way."""
        return len(self._tasks)

    async def finish(self, seconds: float) -> None:
        """At the end: give reports in flight so many seconds; the rest is on disk."""
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: AttachmentKey | str, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload] # a coroutine of ours
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    async def _report_released(self, one: Attachment) -> None:
        for grant in one.grants:
            await self._report(grant.name, grant.uid, _holder(grant), one.container_id)
        self._store.forget(one.key)

    @asynccontextmanager
    async def _sent(self) -> AsyncIterator[None]:
        """A request of the task, once it is its turn."""
        task = _name_of(asyncio.current_task())
        async with self._turn:
            self._sending.add(task)
            try:
                yield
            finally:
                self._sending.discard(task)

    async def _report(self, name: str, uid: str, pod_uid: str, container_id: str) -> None:
        def change(now: IPAllocation) -> Json | None:
            if now.metadata.uid != uid or now.spec.pod.uid != pod_uid or now.status.phase == DETACHED:
                return None
            return {"status": _status(DETACHED, pod_uid, container_id, self._store.boot)}

        backoff = Backoff(0.2, 10.0)
        known = self._known.get(name)
        while True:
            try:
                async with self._sent():
                    await update(self._api, named(ALLOCATIONS, name), IPAllocation, change, subresource="status", current=known)
            except NotFound:
                return
            except (Unavailable, Conflict) as error:
                log.warning("report_delayed allocation=%s error=%s", name, error)
            except ApiError as error:
                log.warning("report_refused allocation=%s error=%s", name, error)
            else:
                log.info("detached allocation=%s pod_uid=%s container_id=%s", name, pod_uid, container_id)
                return
            known = None
            await asyncio.sleep(backoff.next())


def _name_of(task: asyncio.Task[None] | None) -> str:
    return task.get_name() if task is not None else ""


def _status(phase: str, pod_uid: str, container_id: str, boot: str) -> Json:
    return {"phase": phase, "podUID": pod_uid, "containerID": container_id, "bootID": boot}


def _changed() -> Status:
    return Status(code=409, reason="Conflict", message="the allocation has another holder now")


def _holder(grant: Grant) -> str:
    """The UID that the API server knows the holder by (a static Pod's runtime UID differs)."""
    return msgspec.json.decode(grant.origin, type=AllocationSpec).pod.uid
