"""I/O: core/v1 Events about objects, written late, counted instead of repeated, and dropped rather than waited for."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

import msgspec

from netmgr.api.meta import Json, ObjectReference, PartialObject
from netmgr.api.reasons import EVENTS as EVENT_REASONS
from netmgr.kube.client import Api
from netmgr.kube.errors import AlreadyExists, ApiError, NotFound
from netmgr.kube.paths import EVENTS, in_namespace, named

log = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]
MESSAGE_LIMIT = 1024
REMEMBERED = 4096


class _Series(msgspec.Struct):
    """One Event object: how often it happened, and whether that is written."""

    body: Json
    count: int = 0
    first: str = ""
    written: bool = False


class EventRecorder:
    """`record()` never waits; `run()` writes, as a task. The same (object, type, reason, message) is one Event with a count.

    `component` is the Event's source. At most `rate` Events are written a second; beyond `backlog` new ones are dropped.
    """

    def __init__(self, api: Api, component: str, *, rate: float = 50.0, backlog: int = 1000) -> None:
        self.dropped = self.written = 0
        self._api, self._component, self._pause, self._backlog = api, component, 1.0 / rate, backlog
        self._known: OrderedDict[str, _Series] = OrderedDict()
        self._due: OrderedDict[str, None] = OrderedDict()
        self._wake = asyncio.Event()

    def record(self, about: ObjectReference, type_: EventType, reason: str, message: str) -> None:
        """Note that something happened to an object, for a reason of `netmgr.api.reasons`."""
        if reason not in EVENT_REASONS:
            log.error("reason_not_listed reason=%s next=add it to netmgr/api/reasons.py and docs/events.md", reason)
        text = message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
        parts = (about.kind, about.namespace, about.name, about.uid, type_, reason, text)
        name = f"{about.name[:200]}.{sha256('|'.join(parts).encode()).hexdigest()[:16]}"
        if name not in self._due and len(self._due) >= self._backlog:
            self.dropped += 1
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        series = self._known.get(name)
        if series is None:
            series = self._known[name] = _Series(self._new(name, about, type_, reason, text), first=now)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        series.count += 1
        series.body |= {"count": series.count, "firstTimestamp": series.first, "lastTimestamp": now}
        self._due[name] = None
        self._wake.set()

    async def run(self) -> None:
        """Write what is due, one after the other; never returns."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._due:
                name, _ = self._due.popitem(last=False)
                await self._write(name)
                await asyncio.sleep(self._pause)

    async def flush(self) -> None:
        """Write all that is due, for a process that ends."""
        while self._due:
            name, _ = self._due.popitem(last=False)
            await self._write(name)

    async def _write(self, name: str) -> None:
        series = self._known.get(name)
        if series is None:
            return
        namespace = str(series.body["metadata"]["namespace"])
        try:
            if not series.written:
                series.written = await self._create(namespace, series.body)
            else:
                changed = {key: series.body[key] for key in ("count", "lastTimestamp")}
                await self._api.merge_patch(named(EVENTS, name, namespace=namespace), changed, PartialObject)
            self.written += 1
        except NotFound:
            self._known.pop(name, None)
        except ApiError as error:
            self.dropped += 1
            log.warning("event_dropped name=%s/%s error=%s", namespace, name, error)

    async def _create(self, namespace: str, body: Json) -> bool:
        """Write a new Event; an earlier process may have said the same: then it is said again, counted anew."""
        try:
            await self._api.create(in_namespace(EVENTS, namespace), body, PartialObject)
        except AlreadyExists:
            changed = {key: body[key] for key in ("count", "lastTimestamp")}
            await self._api.merge_patch(named(EVENTS, body["metadata"]["name"], namespace=namespace), changed, PartialObject)
        return True

    def _new(self, name: str, about: ObjectReference, type_: EventType, reason: str, text: str) -> Json:
        """The Event; about a cluster-scoped object it lives in `default`, where `kubectl describe` looks for it."""
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": about.namespace or "default"},
            "involvedObject": msgspec.to_builtins(about),
            "type": type_,
            "reason": reason,
            "message": text,
            "source": {"component": self._component},
            "reportingComponent": self._component,
        }
