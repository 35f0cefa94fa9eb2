"""I/O: /metrics, /healthz and /readyz over HTTP on the node's loopback.

One answer a connection, GET only, and nothing is read of it but the path: a web server's library would be the largest thing in
the agent.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Mapping
from typing import cast

log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
LONGEST = 8192
SECONDS = 10.0
"""For a whole request and its answer."""
AGAIN_SECONDS = 5.0

Page = Callable[[], tuple[int, bytes]]
"""HTTP status and body, as they are now."""
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}


class Responder(asyncio.Protocol):
    """One connection."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody asks."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class inherits from neither
        self._late = asyncio.get_running_loop().call_later(SECONDS, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Answered, or gone."""
        if self._late is not None:
            self._late.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer once the head is whole; what follows it does not matter."""
        if self._transport is None or self._transport.is_closing():
            return
        self._received += data
        if b"\r\n\r\n" in self._received:
            self._answer(*self._page(self._received.split(b"\r\n", 1)[0]))
        elif len(self._received) > LONGEST:
            self._answer(400, b"too long\n")

    def _page(self, first: bytes) -> tuple[int, bytes]:
        method, _, rest = first.partition(b" ")
        page = self._pages.get(rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1"))
        if method != b"GET":
            return 405, b"GET only\n"
        if page is None:
            return 404, b"there are /metrics, /healthz and /readyz\n"
        try:
            return page()
        except Exception:
            log.exception("page_failed path=%r", first)
            return 500, b"look at the agent's log\n"

    def _answer(self, status: int, body: bytes) -> None:
        assert self._transport is not None  # noqa: S101 - the caller has looked
        head = f"HTTP/1.1 {status} {REASONS.get(status, 'Service Unavailable')}\r\nContent-Type: {TEXT}\r\n"
        self._transport.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        self._transport.close()


async def serve_pages(port: int, pages: Mapping[str, Page]) -> None:
    """Answer on the port until cancelled; an earlier agent's port is taken when that one ends."""
    told = False
    while True:
        try:
            server = await asyncio.get_running_loop().create_server(lambda: Responder(pages), LOOPBACK, port)
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if not told:
                log.warning("port_in_use port=%d again_seconds=%g", port, AGAIN_SECONDS)
            told = True
        await asyncio.sleep(AGAIN_SECONDS)
    try:
        await asyncio.Event().wait()
    finally:
        server.close()
