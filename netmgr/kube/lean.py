"""I/O: HTTP/1.1 to one server over asyncio, with kept connections and TLS, in 160 lines and 1 MiB.

A connection carries one request at a time. One whose answer is not read to its end is aborted, never used again. A GET whose
kept connection turns out to be dead is sent once more on a new one; a write is not, since its outcome is unknown.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import cast
from urllib.parse import urlsplit

from netmgr.kube.config import ApiAccess
from netmgr.kube.http1 import MalformedError, ReplyParser, render
from netmgr.kube.transport import Reply, Request, TransportError

IDLE_SECONDS = 75.0
"""kube-apiserver closes an idle connection after 90 s."""
CONNECT_SECONDS = 10.0
SUSPECT_SECONDS = 2.0
GOODBYE_SECONDS = 1.0
READ_AHEAD = 1 << 20
KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


class Connection(asyncio.Protocol):
    """One connection to the server, and the answer that comes over it."""

    def __init__(self) -> None:
        self.since = 0.0
        self.used = False
        self.gone = asyncio.get_running_loop().create_future()
        self._parser: ReplyParser | None = None
        self._transport: asyncio.Transport | None = None
        self._wake: asyncio.Future[None] | None = None
        self._trouble: Exception | None = None
        self._ahead = 0

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def heard(self) -> bool:
        """Whether anything of the answer has come."""
        return self._ahead > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, TLS included."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class inherits from neither
        _notice_dead_peers(transport.get_extra_info("socket").fileno())

    def connection_lost(self, exc: Exception | None) -> None:
        """Ended by either side."""
        try:
            if self._parser is not None:
                self._parser.end()
        except MalformedError as error:
            self._trouble = self._trouble or exc or error
        self._notify()
        if not self.gone.done():
            self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Some of the answer; a server that speaks without being asked is cut off."""
        if self._parser is None:
            self.abort()
            return
        self._ahead += len(data)
        try:
            self._parser.feed(data)
        except MalformedError as error:
            self._trouble = error
            self.abort()
        if sum(map(len, self._parser.pieces)) > READ_AHEAD and self._transport is not None:
            self._transport.pause_reading()
        self._notify()

    async def send(self, raw: bytes) -> ReplyParser:
        """Send a request; the answer, once its head is there."""
        self._parser, self._ahead = ReplyParser(), 0
        if self._transport is None or self._transport.is_closing():
            raise TransportError("the connection is closed")
        self._transport.write(raw)
        while not self._parser.status:
            await self._more()
        return self._parser

    async def piece(self) -> bytes:
        """The next piece of the body; b"" at its end."""
        parser = self._parser
        assert parser is not None  # noqa: S101 - send() came before
        while not parser.pieces:
            if parser.done:
                return b""
            await self._more()
        piece = b"".join(parser.pieces)
        parser.pieces.clear()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        return piece

    def release(self) -> bool:
        """The answer is read: whether the connection may carry another."""
        fit = self._parser is not None and self._parser.reusable and self.is_open
        self._parser = None
        return fit

    def abort(self) -> None:
        """End it at once, without a goodbye."""
        if self._transport is not None:
            self._transport.abort()

    async def _more(self) -> None:
        if self._trouble is not None or self.gone.done():
            raise TransportError(f"connection broken: {self._trouble!r}") from self._trouble
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class LeanStream:
    """An answer that is followed; nothing but `close` may be called after its end."""

    def __init__(self, connection: Connection, parser: ReplyParser, silence: float) -> None:
        self.status, self.date = parser.status, parser.headers.get("date", "")
        self._connection, self._silence = connection, silence

    async def piece(self) -> bytes:
        """See Stream."""
        async with asyncio.timeout(self._silence):
            return await self._connection.piece()

    async def close(self) -> None:
        """See Stream."""
        self._connection.abort()


class LeanTransport:
    """Connections to the server of `access`, opened as they are needed."""

    def __init__(self, access: ApiAccess) -> None:
        server = urlsplit(access.server)
        context = access.ssl_context()
        self._tls = context if isinstance(context, ssl.SSLContext) else None
        self._host, self._port = server.hostname or "", server.port or (443 if self._tls else 80)
        self._name, self._prefix = server.netloc.rpartition("@")[2], server.path
        self._server_name = (access.tls_server_name or self._host) if self._tls else None
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()

    async def exchange(self, request: Request) -> Reply:
        """See Transport."""
        connection = self._kept()
        if connection is not None:
            sent = asyncio.get_running_loop().time()
            try:
                return await self._over(connection, request)
            except (TransportError, OSError):
                if request.method != "GET" or connection.heard:
                    raise
            except asyncio.CancelledError:
                if not connection.heard and asyncio.get_running_loop().time() - sent >= SUSPECT_SECONDS:
                    self._drop_idle()
                raise
        return await self._over(await self._connect(), request)

    async def stream(self, request: Request, *, silence: float) -> LeanStream:
        """See Transport. A stream has a connection of its own."""
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await self._connect()
        try:
            async with asyncio.timeout(silence):
                return LeanStream(connection, await connection.send(self._raw(request)), silence)
        except BaseException:
            connection.abort()
            raise

    async def close(self) -> None:
        """See Transport."""
        left = list(self._all)
        for connection in left:
            connection.abort()
        if left:
            await asyncio.wait([connection.gone for connection in left], timeout=GOODBYE_SECONDS)

    async def _over(self, connection: Connection, request: Request) -> Reply:
        try:
            parser = await connection.send(self._raw(request))
            pieces: list[bytes] = []
            while piece := await connection.piece():
                pieces.append(piece)
        except BaseException:
            connection.abort()
            raise
        if connection.release():
            connection.since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()
        return Reply(parser.status, parser.headers.get("date", ""), b"".join(pieces))

    def _raw(self, request: Request) -> bytes:
        return render(request.method, self._prefix + request.target, self._name, request.headers, request.body)

    def _kept(self) -> Connection | None:
        """The connection that was used last, while it is fresh enough; the others go when they are too old."""
        oldest = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._idle and (self._idle[0].since < oldest or not self._idle[0].is_open):
            self._idle.pop(0).abort()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    def _drop_idle(self) -> None:
        """A kept connection was silent: what forgot it may have forgotten the others too, and each would cost a time-out."""
        while self._idle:
            self._idle.pop().abort()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            Connection, self._host, self._port, ssl=self._tls, server_hostname=self._server_name
        )
        self._all.add(connection)
        connection.gone.add_done_callback(lambda _: self._all.discard(connection))
        return connection


def _notice_dead_peers(handle: int) -> None:
    """A dead peer is noticed within 30 s although a watch never writes. The options belong to the connection, not the handle."""
    with socket.socket(fileno=os.dup(handle)) as shared:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            shared.setsockopt(socket.IPPROTO_TCP, option, value)
