"""The responder, asked by sockets of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from netmgr.agent.serving import Page, Responder


def broken() -> tuple[int, bytes]:
    raise ValueError("a page that cannot be made")


PAGES: dict[str, Page] = {"/metrics": lambda: (200, b"a 1\n"), "/readyz": lambda: (503, b"not yet\n"), "/broken": broken}


def asked(*pieces: bytes) -> bytes:
    async def scene() -> bytes:
        server = await asyncio.get_running_loop().create_server(lambda: Responder(PAGES), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            try:
                return await asyncio.wait_for(reader.read(), 5)
            finally:
                writer.close()

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", b"200", b"a 1\n"),
        (b"GET /metrics?name[]=a HTTP/1.0\r\n\r\n", b"200", b"a 1\n"),
        (b"GET /readyz HTTP/1.1\r\n\r\n", b"503", b"not yet\n"),
        (b"GET /none HTTP/1.1\r\n\r\n", b"404", b"there are /metrics, /healthz and /readyz\n"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"405", b"GET only\n"),
        (b"GET /broken HTTP/1.1\r\n\r\n", b"500", b"look at the agent's log\n"),
        (b"\x16\x03\x01\xff\r\n\r\n", b"405", b"GET only\n"),
        (b"GET " + b"/" * 9000, b"400", b"too long\n"),
    ],
)
def test_a_request_gets_its_page_or_a_reason(request_: bytes, status: bytes, body: bytes) -> None:
    head, _, content = asked(request_).partition(b"\r\n\r\n")

    assert (head.split(b" ")[1], content) == (status, body)
    assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"


def test_a_request_may_come_in_pieces() -> None:
    assert asked(b"GET /met", b"rics HTTP/1.1\r\n", b"\r\n").endswith(b"\r\n\r\na 1\n")
