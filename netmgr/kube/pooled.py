"""I/O: the transport of aiohttp, for processes that have it in memory anyway."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
from yarl import URL

from netmgr.kube.config import ApiAccess
from netmgr.kube.transport import Reply, Request, TransportError

GOODBYE_SECONDS = 0.05
"""A TLS connection that is closed in the middle of an answer still exchanges a goodbye, which aiohttp does not wait for (3.14)."""


def _keepalive_socket(address: Any) -> socket.socket:  # noqa: ANN401 - aiohttp's AddrInfoType
    """A TCP socket that notices a dead peer within 30 s although a watch never writes."""
    made = socket.socket(address[0], address[1], address[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    made.setblocking(False)
    return made


class PooledStream:
    """See Stream."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.status, self.date = answer.status, answer.headers.get("Date", "")
        self._answer = answer

    async def piece(self) -> bytes:
        """See Stream."""
        try:
            return await self._answer.content.readany()
        except TimeoutError:
            raise
        except (aiohttp.ClientError, ValueError) as broken:
            raise TransportError(repr(broken)) from broken

    async def close(self) -> None:
        """See Stream."""
        self._answer.close()


class PooledTransport:
    """One aiohttp session. Make it inside a running loop."""

    def __init__(self, access: ApiAccess) -> None:
        connector = aiohttp.TCPConnector(ssl=access.ssl_context(), limit=0, keepalive_timeout=75, socket_factory=_keepalive_socket)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        self._server, self._server_name = access.server, access.tls_server_name or None
        self._cut_off = False

    async def exchange(self, request: Request) -> Reply:
        """See Transport."""
        try:
            async with await self._send(request, aiohttp.ClientTimeout(total=None)) as answer:
                return Reply(answer.status, answer.headers.get("Date", ""), await answer.read())
        except asyncio.CancelledError:
            self._cut_off = True
            raise
        except aiohttp.ClientError as broken:
            raise TransportError(repr(broken)) from broken

    async def stream(self, request: Request, *, silence: float) -> PooledStream:
        """See Transport."""
        self._cut_off = True
        try:
            limits = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=silence)
            return PooledStream(await self._send(request, limits))
        except TimeoutError:
            raise
        except aiohttp.ClientError as broken:
            raise TransportError(repr(broken)) from broken

    async def close(self) -> None:
        """See Transport."""
        await self._session.close()
        if self._cut_off:
            await asyncio.sleep(GOODBYE_SECONDS)

    async def _send(self, request: Request, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        return await self._session.request(
            request.method,
            URL(self._server + request.target, encoded=True),
            data=request.body,
            headers=request.headers,
            timeout=limits,
            server_hostname=self._server_name,
            allow_redirects=False,
        )
