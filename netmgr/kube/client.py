"""I/O: one HTTP client for the Kubernetes API, typed by msgspec structs.

Owns requests, time-outs, authentication headers and the translation of failures into `netmgr.kube.errors`.
Does not own retries: a read-change-write loop is `netmgr.kube.update`, a watch that lasts is `netmgr.kube.reflector`.
Partial structs are for reading. What is written is a plain JSON object, since a struct would drop unknown fields.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Generic, TypeVar

import aiohttp
import msgspec

from netmgr.api.meta import Json, PartialObject
from netmgr.kube.config import ApiAccess
from netmgr.kube.errors import ApiError, Gone, NotFound, RequestTimeout, Status, Unauthorized, Unavailable, error_of
from netmgr.kube.paths import resource_of

T = TypeVar("T")

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
GOODBYE_SECONDS = 0.05
"""A TLS connection that is closed in the middle of an answer still exchanges a goodbye, which aiohttp does not wait for (3.14)."""


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


def _keepalive_socket(address: Any) -> socket.socket:  # noqa: ANN401 - aiohttp's AddrInfoType
    """A TCP socket that notices a dead peer within 30 s although a watch never writes."""
    made = socket.socket(address[0], address[1], address[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    made.setblocking(False)
    return made


class Api:
    """The API server. Use as `async with Api(load(kubeconfig), user_agent="netmgr-agent") as api`.

    `requests` counts what was sent, by (verb, resource); verbs are Kubernetes' own (get, list, watch, create, ...).
    """

    def __init__(self, access: ApiAccess, *, user_agent: str = "netmgr", timeout: float = DEFAULT_TIMEOUT) -> None:
        self.access = access
        self.requests: Counter[tuple[str, str]] = Counter()
        self._agent = user_agent
        self._timeout = timeout
        self._open: aiohttp.ClientSession | None = None
        self._cut_off = False
        self._heard: tuple[str, float] | None = None
        self.observe: Observer | None = None

    async def __aenter__(self) -> Api:
        connector = aiohttp.TCPConnector(
            ssl=self.access.ssl_context(), limit=0, keepalive_timeout=75, socket_factory=_keepalive_socket
        )
        headers = {"User-Agent": self._agent, "Accept": JSON, "Accept-Encoding": "identity"}
        self._open = aiohttp.ClientSession(connector=connector, headers=headers, auto_decompress=False)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._open is not None:
            await self._open.close()
            self._open = None
        if self._cut_off:
            await asyncio.sleep(GOODBYE_SECONDS)

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
        self._cut_off = True
        call = Call("watch", path, query={"watch": "true", **query})
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=silence)
        began, status = time.perf_counter(), 0
        try:
            async with await self._answer(call, limits) as answer:
                status = answer.status
                self._observed(call, status, began)
                if answer.status != 200:
                    raise error_of(str(call), self._status(answer.status, await answer.read()))
                async for line in _lines(answer.content):
                    yield line
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as broken:
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
            async with await self._answer(call, aiohttp.ClientTimeout(total=seconds)) as answer:
                raw = await answer.read()
        except asyncio.CancelledError:
            self._cut_off = True
            raise
        except TimeoutError as late:
            self._cut_off = True
            raise RequestTimeout(str(call), Status(message=f"no answer within {seconds:g} s")) from late
        except (aiohttp.ClientError, OSError) as broken:
            raise Unavailable(str(call), Status(message=f"cannot reach {self.access.server}: {broken!r}")) from broken
        if answer.status >= 300:
            raise error_of(str(call), self._status(answer.status, raw))
        return answer.status, raw

    async def _answer(self, call: Call, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        if self._open is None:
            raise Unavailable(str(call), Status(message="the client is closed"))
        self.requests[call.verb, resource_of(call.path)] += 1
        headers = {"Content-Type": call.content} if call.body is not None else {}
        token = await asyncio.to_thread(self.access.token) if self.access.token_is_stale() else self.access.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        answer = await self._open.request(
            METHODS[call.verb],
            f"{self.access.server}{call.path}",
            params=call.query,
            data=None if call.body is None else msgspec.json.encode(call.body),
            headers=headers,
            timeout=limits,
            server_hostname=self.access.tls_server_name or None,
            allow_redirects=False,
        )
        if "Date" in answer.headers:
            self._heard = answer.headers["Date"], time.clock_gettime(time.CLOCK_BOOTTIME)
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


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """Newline-terminated lines of any length up to LINE_LIMIT; a partial last line is dropped."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_LIMIT:
            raise ValueError(f"a watch event is longer than {LINE_LIMIT} bytes")
        for line in whole:
            if line:
                yield line
