"""An API server in this process that misbehaves in every way that a real one, or the network before it, may.

It keeps ConfigMap-like objects with resourceVersions and a bounded history. `Fault`s are spent one a request, in order.
"""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum

from aiohttp import web

from netmgr.api.meta import Json

PATH = "/api/v1/namespaces/n/things"


class Fault(StrEnum):
    """What goes wrong with one request."""

    NONE = "none"
    ERROR_500 = "500"
    TOO_MANY = "429"
    DROPPED = "connection dropped"
    GARBAGE = "200 with garbage"
    GONE = "410 as HTTP status"
    GONE_IN_STREAM = "410 as ERROR event"
    PARTIAL_LINE = "stream cut in the middle of a line"
    SILENT = "stream stays silent"
    EXPIRED_PAGE = "continue token expired"
    NULL_ITEMS = "items is null on an extra first page"


class HostileServer:
    """`put` and `delete` change objects; `url` is where it listens; `faults` is what goes wrong next."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.version = 100
        self.oldest = 100
        self.faults: list[Fault] = []
        self.url = ""
        self._history: list[tuple[int, str, Json]] = []
        self._changed = asyncio.Condition()
        self._snapshots: dict[str, tuple[int, list[Json]]] = {}
        self._uids = 0

    async def __aenter__(self) -> HostileServer:
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def put(self, name: str) -> None:
        old = self.objects.get(name)
        if old is None:
            self._uids += 1
        uid = old["metadata"]["uid"] if old else f"uid-{self._uids}"
        await self._change("MODIFIED" if old else "ADDED", name, uid)

    async def delete(self, name: str) -> None:
        old = self.objects.get(name)
        if old is not None:
            await self._change("DELETED", name, old["metadata"]["uid"])

    def forget_history(self) -> None:
        """As after compaction: watches from before now are 410."""
        self.oldest = self.version
        self._history.clear()
        self._snapshots.clear()

    async def _change(self, kind: str, name: str, uid: str) -> None:
        self.version += 1
        thing = {"metadata": {"name": name, "namespace": "n", "uid": uid, "resourceVersion": str(self.version)}}
        if kind == "DELETED":
            del self.objects[name]
        else:
            self.objects[name] = thing
        self._history.append((self.version, kind, thing))
        async with self._changed:
            self._changed.notify_all()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.pop(0) if self.faults else Fault.NONE
        if fault is Fault.DROPPED:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault in {Fault.ERROR_500, Fault.TOO_MANY}:
            return web.Response(status=int(fault), text="no Status object, as from a proxy")
        if fault is Fault.GARBAGE:
            return web.Response(text='{"metadata": {"resourceVer\n')
        if fault is Fault.GONE:
            return _gone()
        return await (self._watch(request, fault) if "watch" in request.query else self._list(request, fault))

    async def _list(self, request: web.Request, fault: Fault) -> web.Response:
        token = request.query.get("continue", "")
        if token and (fault is Fault.EXPIRED_PAGE or token.split("/")[0] not in self._snapshots):
            return _gone()
        if token:
            snapshot, start = token.split("/")[0], int(token.split("/")[1])
        else:
            snapshot, start = str(len(self._snapshots) + self.version * 1000), 0
            self._snapshots[snapshot] = self.version, list(self.objects.values())
        version, things = self._snapshots[snapshot]
        size = int(request.query.get("limit", len(things) or 1))
        if fault is Fault.NULL_ITEMS:
            return web.json_response(
                {"metadata": {"resourceVersion": str(version), "continue": f"{snapshot}/{start}"}, "items": None}
            )
        end = start + size
        following = {"continue": f"{snapshot}/{end}"} if end < len(things) else {}
        return web.json_response({"metadata": {"resourceVersion": str(version), **following}, "items": things[start:end]})

    async def _watch(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if fault is Fault.GONE_IN_STREAM or since < self.oldest:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            await response.write(_line("ERROR", status))
            return response
        if fault is Fault.SILENT:
            await asyncio.sleep(5)
            return response
        bookmark = {"metadata": {"resourceVersion": str(since)}}
        await response.write(_line("BOOKMARK", bookmark))
        if fault is Fault.PARTIAL_LINE:
            await self._wait_beyond(since)
            if since < self.oldest:
                return response
            later = [_line(kind, thing) for version, kind, thing in self._history if version > since]
            await response.write(b"".join(later)[:-7])
            return response
        while True:
            if since < self.oldest:  # never sends what is left after a gap: a real server ends such a watch
                return response
            for version, kind, thing in [one for one in self._history if one[0] > since]:
                await response.write(_line(kind, thing))
                since = version
            await self._wait_beyond(since)

    async def _wait_beyond(self, since: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.version > since)


def _line(kind: str, thing: Json) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


def _gone() -> web.Response:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "The provided continue parameter is too old"}
    return web.json_response(status, status=410)
