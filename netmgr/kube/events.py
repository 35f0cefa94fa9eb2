"""Kubernetes Events (core/v1), so that people see what happened where they look.

I/O: creates Event objects, in the background, dropping what exceeds a bounded queue: an Event must never delay an address.
The same words about the same object are told once in ten minutes.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import OrderedDict

import msgspec

from netmgr.api.meta import Json, ObjectReference
from netmgr.kube.client import Api
from netmgr.kube.errors import ApiError
from netmgr.kube.leader import micro_time

log = logging.getLogger(__name__)
LONGEST_MESSAGE = 1024
QUIET_SECONDS = 600.0
REMEMBERED = 4096


class EventRecorder:
    """Writes Events under one component's name."""

    def __init__(self, api: Api, component: str, instance: str) -> None:
        """`instance` is who, of the component's replicas, speaks."""
        self.api, self.component, self.instance = api, component, instance
        self.queue: asyncio.Queue[tuple[str, Json]] = asyncio.Queue(maxsize=1000)
        self.told: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def tell(self, about: ObjectReference, reason: str, message: str, *, warning: bool = False) -> None:
        """Queue one Event; at most once in ten minutes for the same object, reason and message."""
        mark = (about.uid or about.name, reason, message)
        now = time.monotonic()
        if now - self.told.get(mark, -QUIET_SECONDS) < QUIET_SECONDS:
            return
        self.told[mark] = now
        self.told.move_to_end(mark)
        while len(self.told) > REMEMBERED:
            self.told.popitem(last=False)
        namespace = about.namespace or "default"
        body: Json = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{about.name[:200]}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
            "involvedObject": msgspec.to_builtins(about),
            "reason": reason,
            "message": message[:LONGEST_MESSAGE],
            "type": "Warning" if warning else "Normal",
            "action": reason,
            "eventTime": micro_time(),
            "reportingComponent": self.component,
            "reportingInstance": self.instance[:128],
        }
        try:
            self.queue.put_nowait((f"/api/v1/namespaces/{namespace}/events", body))
        except asyncio.QueueFull:
            log.warning("event dropped", extra={"reason": reason, "about": about.name})

    async def run(self) -> None:
        """Send queued Events until cancelled."""
        while True:
            path, body = await self.queue.get()
            try:
                await self.api.create(path, body)
            except ApiError as error:
                log.info("event refused", extra={"error": str(error)})
