"""I/O: one HTTP client for the Kubernetes API, typed by msgspec structs.

Owns requests, time-outs, authentication headers and the translation of failures into `netmgr.kube.errors`.
Does not own retries: a read-change-write loop is `netmgr.kube.update`, a watch that lasts is `netmgr.kube.reflector`.
Partial structs are for reading. What is written is a plain JSON object, since a struct would drop unknown fields.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from netmgr.api.meta import Json, PartialObject
from netmgr.kube.config import ApiAccess
from netmgr.kube.errors import ApiError, Gone, NotFound, RequestTimeout, Status, Unauthorized, Unavailable, error_of
from netmgr.kube.paths import resource_of
from netmgr.kube.transport import Reply, Request, Stream, Transport, TransportError

T = TypeVar("T")
R = TypeVar("R", Reply, Stream)

DEFAULT_TIMEOUT = 10.0
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"
METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}
Observer = Callable[[str, int, float, str], None]
"""Called at the end of each request: verb, HTTP status (0: no answer), seconds, and the reason of a refusal."""
LINE_LIMIT = 16 * 1024 * 1024


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """`metadata` of a list: its resourceVersion and, where there is more, the token for the next page."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list; `items` is null where a server sends an empty one."""

    metadata: ListMeta
    items: list[T] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request: Kubernetes' verb, path and what goes with it; `timeout` is in seconds (None: the client's own)."""

    verb: str
    path: str
    query: Mapping[str, str] | None = None
    body: Json | None = None
    content: str = JSON
    timeout: float | None = None

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


@lru_cache(maxsize=128)
def decoder_of(type_: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 - msgspec takes any type form
    """The decoder of a type, made once."""
    return msgspec.json.Decoder(type_)


class Api:
    """The API server. Use as `async with Api(load(kubeconfig), user_agent="netmgr-agent") as api`.

    `transport` carries the requests: aiohttp's, unless the process is to stay small.
    `requests` counts what was sent, by (verb, resource); verbs are Kubernetes' own (get, list, watch, create, ...).
    """

    def __init__(
        self,
        access: ApiAccess,
        *,
        user_agent: str = "netmgr",
        timeout: float = DEFAULT_TIMEOUT,
        transport: Callable[[ApiAccess], Transport] | None = None,
    ) -> None:
        self.access = access
        self.requests: Counter[tuple[str, str]] = Counter()
        self._headers = {"User-Agent": user_agent, "Accept": JSON, "Accept-Encoding": "identity"}
        self._timeout = timeout
        self._make = transport or _pooled
        self._transport: Transport | None = None
        self._heard: tuple[str, float] | None = None
        self.observe: Observer | None = None

    async def __aenter__(self) -> Api:
        self._transport = self._make(self.access)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    def server_time(self) -> datetime:
        """The API server's clock (UTC, to the second), from its last answer; before the first one the wall clock."""
        if self._heard is None:
            return datetime.now(UTC)
        text, heard = self._heard
        return parsedate_to_datetime(text) + timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME) - heard)

    async def get(self, path: str, type_: type[T], *, timeout: float | None = None) -> T:
        """One object; NotFound where there is none. `timeout` is in seconds, as everywhere here."""
        return await self._typed(Call("get", path, timeout=timeout), type_)

    async def list(
        self, path: str, type_: type[T], *, field_selector: str = "", label_selector: str = "", page: int = 500
    ) -> list[T]:
        """All objects of a collection as of one moment, read in pages; begins anew when a page's token expires."""
        items: list[T] = []
        token = ""
        while True:
            try:
                part = await self.list_page(
                    path, type_, field_selector=field_selector, label_selector=label_selector, limit=page, token=token
                )
            except Gone:
                items, token, page = [], "", 0
                continue
            items.extend(part.items or ())
            token = part.metadata.continue_
            if not token:
                return items

    async def list_page(
        self,
        path: str,
        type_: type[T],
        *,
        field_selector: str = "",
        label_selector: str = "",
        limit: int = 500,
        token: str = "",
    ) -> Page[T]:
        """One page (`limit` 0: everything) of a consistent list; Gone when `token` has expired."""
        given = {"fieldSelector": field_selector, "labelSelector": label_selector, "continue": token}
        query = {key: value for key, value in given.items() if value} | ({"limit": str(limit)} if limit else {})
        page: Page[T] = await self._typed(Call("list", path, query=query, timeout=60.0), Page[type_])  # type: ignore[valid-type] # a type of run time
        return page

    async def create(self, path: str, body: Json, type_: type[T], *, timeout: float | None = None) -> T:
        """Create an object in a collection; AlreadyExists where the name is taken."""
        return await self._typed(Call("create", path, body=body, timeout=timeout), type_)

    async def replace(self, path: str, body: Json, type_: type[T], *, timeout: float | None = None) -> T:
        """PUT the whole object; Conflict where its resourceVersion is not the present one."""
        return await self._typed(Call("update", path, body=body, timeout=timeout), type_)

    async def merge_patch(self, path: str, body: Json, type_: type[T], *, timeout: float | None = None) -> T:
        """RFC 7396 merge patch; `metadata.resourceVersion` and `metadata.uid` in it are preconditions (Conflict)."""
        return await self._typed(Call("patch", path, body=body, content=MERGE_PATCH, timeout=timeout), type_)

    async def apply(self, path: str, body: Json, manager: str, type_: type[T], *, force: bool = False, dry_run: bool = False) -> T:
        """Server-side apply; Conflict where another manager owns a field and `force` is off."""
        query = {"fieldManager": manager, "force": str(force).lower()} | ({"dryRun": "All"} if dry_run else {})
        return await self._typed(Call("patch", path, body=body, content=APPLY_PATCH, query=query), type_)

    async def delete(self, path: str, *, uid: str = "", resource_version: str = "", options: Json | None = None) -> None:
        """Delete an object if it still is the one that was read (Conflict otherwise); NotFound where it is gone.

        `options` are further DeleteOptions fields (`gracePeriodSeconds`, `propagationPolicy`).
        """
        given = {"uid": uid, "resourceVersion": resource_version}
        wanted = {key: value for key, value in given.items() if value}
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", **(options or {})}
        if wanted:
            body["preconditions"] = wanted
        await self._send(Call("delete", path, body=body))

    async def watch(self, path: str, query: Mapping[str, str], *, silence: float) -> AsyncGenerator[bytes, None]:
        """Lines of a watch stream, complete ones only; Unavailable when it breaks or stays silent for `silence` s."""
        call = Call("watch", path, query={"watch": "true", **query})
        began, status = time.perf_counter(), 0
        try:
            stream = self._note(await self._open(call).stream(await self._request(call), silence=silence))
            status = stream.status
            self._observed(call, status, began)
            try:
                if status == 401:
                    self.access.forget_token()
                if status != 200:
                    raise error_of(str(call), self._status(status, await _whole(stream)))
                async for line in _lines(stream):
                    yield line
            finally:
                await stream.close()
        except (TransportError, OSError, TimeoutError, ValueError) as broken:
            if not status:
                self._observed(call, status, began)
            raise Unavailable(str(call), Status(message=f"watch broken: {broken!r}")) from broken

    async def _typed(self, call: Call, type_: type[T]) -> T:
        raw = await self._send(call)
        try:
            decoded: T = msgspec.json.decode(raw, type=type_)
        except msgspec.MsgspecError as unreadable:
            raise Unavailable(str(call), Status(message=f"answer is unreadable: {unreadable}")) from unreadable
        return decoded

    async def _send(self, call: Call) -> bytes:
        try:
            return await self._send_once(call)
        except Unauthorized:
            if not self.access.forget_token():
                raise
        return await self._send_once(call)

    async def _send_once(self, call: Call) -> bytes:
        began, code, reason = time.perf_counter(), 0, ""
        try:
            code, raw = await self._exchange(call)
        except ApiError as error:
            code, reason = error.code, error.reason
            raise
        finally:
            self._observed(call, code, began, reason)
        return raw

    def _observed(self, call: Call, code: int, began: float, reason: str = "") -> None:
        """Tell whoever counts."""
        if self.observe is not None:
            self.observe(call.verb, code, time.perf_counter() - began, reason)

    async def _exchange(self, call: Call) -> tuple[int, bytes]:
        """One request and its answer: HTTP status and body."""
        seconds = self._timeout if call.timeout is None else call.timeout
        try:
            async with asyncio.timeout(seconds):
                reply = self._note(await self._open(call).exchange(await self._request(call)))
        except TimeoutError as late:
            raise RequestTimeout(str(call), Status(message=f"no answer within {seconds:g} s")) from late
        except (TransportError, OSError, ValueError) as broken:
            raise Unavailable(str(call), Status(message=f"cannot reach {self.access.server}: {broken!r}")) from broken
        if reply.status >= 300:
            raise error_of(str(call), self._status(reply.status, reply.body))
        return reply.status, reply.body

    def _open(self, call: Call) -> Transport:
        if self._transport is None:
            raise Unavailable(str(call), Status(message="the client is closed"))
        return self._transport

    async def _request(self, call: Call) -> Request:
        self.requests[call.verb, resource_of(call.path)] += 1
        headers = self._headers | ({"Content-Type": call.content} if call.body is not None else {})
        token = await asyncio.to_thread(self.access.token) if self.access.token_is_stale() else self.access.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        target = f"{call.path}?{urlencode(call.query, quote_via=quote)}" if call.query else call.path
        body = None if call.body is None else msgspec.json.encode(call.body)
        return Request(METHODS[call.verb], target, headers, body)

    def _note(self, answer: R) -> R:
        """Keep the server's clock from an answer's head."""
        if answer.date:
            self._heard = answer.date, time.clock_gettime(time.CLOCK_BOOTTIME)
        return answer

    @staticmethod
    def _status(code: int, raw: bytes) -> Status:
        """The metav1.Status in a failed answer, or one made of the code where a proxy answered instead."""
        try:
            found: Status = decoder_of(Status).decode(raw)
        except msgspec.MsgspecError:
            return Status(code=code, message=raw[:300].decode(errors="replace").strip())
        return found if found.code else msgspec.structs.replace(found, code=code)


async def exists(api: Api, path: str) -> bool:
    """Whether an object is there now."""
    try:
        await api.get(path, PartialObject)
    except NotFound:
        return False
    return True


def _pooled(access: ApiAccess) -> Transport:
    """The transport of aiohttp, which is imported only by who uses it."""
    from netmgr.kube.pooled import PooledTransport

    return PooledTransport(access)


async def _whole(stream: Stream) -> bytes:
    """The body of a stream that ends."""
    body = b""
    while piece := await stream.piece():
        body += piece
    return body


async def _lines(stream: Stream) -> AsyncGenerator[bytes, None]:
    """Newline-terminated lines of any length up to LINE_LIMIT; a partial last line is dropped."""
    rest = b""
    while piece := await stream.piece():
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > LINE_LIMIT:
            raise ValueError(f"a watch event is longer than {LINE_LIMIT} bytes")
        for line in whole:
            if line:
                yield line
