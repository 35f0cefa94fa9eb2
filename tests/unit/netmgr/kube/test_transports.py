"""What each transport does with connections: kept, dead, late, cut off; with TLS and with tokens. The server is a socket.

On uvloop, which the processes run on; the other tests of the client run on asyncio's own loop.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from netmgr.api.meta import PartialObject
from netmgr.kube.client import Api
from netmgr.kube.config import ApiAccess, load
from netmgr.kube.errors import RequestTimeout, Unauthorized, Unavailable
from netmgr.kube.lean import LeanTransport
from tests.carriers import CARRIERS, Carrier
from tests.integration.certificates import Authority

BODY = b'{"metadata":{"name":"a"}}'
FOUND = b"HTTP/1.1 200 OK\r\nDate: Tue, 01 Dec 2026 10:00:00 GMT\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
PATH = "/api/v1/namespaces/n/things/a"
KUBECONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: %s}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: ./program}}}]
"""
Script = Callable[["Server", bytes, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=CARRIERS)
def transport(request: pytest.FixtureRequest) -> Carrier:
    """Each way of carrying requests."""
    carrier: Carrier = request.param
    return carrier


class Server:
    """Reads requests and lets a script answer; remembers what came over how many connections."""

    def __init__(self, script: Script) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self.ended = asyncio.Event()
        self.url = ""
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
                await reader.readexactly(length)
                self.heads.append(head)
                await self._script(self, head, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()
        finally:
            writer.close()


async def found(_: Server, __: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(FOUND)


@asynccontextmanager
async def serving(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(script)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if context else 'http'}://127.0.0.1:{port}"
    async with listening:
        yield server


def test_one_connection_serves_one_request_after_another(transport: Carrier) -> None:
    async def scene() -> tuple[int, int]:
        async with serving(found) as server:
            async with Api(ApiAccess(server.url), transport=transport) as api:
                for _ in range(5):
                    await api.get(PATH, PartialObject)
            return len(server.heads), server.connections

    assert uvloop.run(scene()) == (5, 1)


def test_requests_at_once_have_a_connection_each(transport: Carrier) -> None:
    async def together(server: Server, _: bytes, writer: asyncio.StreamWriter) -> None:
        while len(server.heads) < 5:  # noqa: ASYNC110 - other connections change it
            await asyncio.sleep(0.005)
        writer.write(FOUND)

    async def scene() -> int:
        async with serving(together) as server:
            async with Api(ApiAccess(server.url), transport=transport) as api:
                await asyncio.gather(*(api.get(PATH, PartialObject) for _ in range(5)))
            return server.connections

    assert uvloop.run(scene()) == 5


def test_a_late_answer_is_not_taken_for_the_next_ones(transport: Carrier) -> None:
    async def late(server: Server, _: bytes, writer: asyncio.StreamWriter) -> None:
        if len(server.heads) == 1:
            await server.ended.wait()
        writer.write(FOUND)

    async def scene() -> int:
        async with serving(late) as server:
            async with Api(ApiAccess(server.url), transport=transport) as api:
                with pytest.raises(RequestTimeout):
                    await api.get(PATH, PartialObject, timeout=0.1)
                server.ended.set()
                await api.get(PATH, PartialObject)
            return server.connections

    assert uvloop.run(scene()) == 2


async def only_once(server: Server, _: bytes, writer: asyncio.StreamWriter) -> None:
    """Answers the first request of a connection and cuts the second one off."""
    if len(server.heads) % 2 == 1:
        writer.write(FOUND)
    else:
        writer.transport.abort()


def test_a_read_over_a_connection_that_died_is_sent_again(transport: Carrier) -> None:
    async def scene() -> int:
        async with serving(only_once) as server:
            async with Api(ApiAccess(server.url), transport=transport) as api:
                await api.get(PATH, PartialObject)
                await api.get(PATH, PartialObject)
            return len(server.heads)

    assert uvloop.run(scene()) == 3


def test_a_write_over_a_connection_that_died_is_not_sent_again(transport: Carrier) -> None:
    async def scene() -> int:
        async with serving(only_once) as server:
            async with Api(ApiAccess(server.url), transport=transport) as api:
                await api.get(PATH, PartialObject)
                with pytest.raises(Unavailable):
                    await api.merge_patch(PATH, {"data": {}}, PartialObject)
            return len(server.heads)

    assert uvloop.run(scene()) == 2


def test_a_server_that_is_not_there_is_unavailable(transport: Carrier) -> None:
    async def scene() -> None:
        async with serving(found) as server:
            url = server.url
        async with Api(ApiAccess(url), transport=transport) as api:
            with pytest.raises(Unavailable):
                await api.get(PATH, PartialObject)
            with pytest.raises(Unavailable):
                await anext(api.watch(PATH, {}, silence=1.0))

    uvloop.run(scene())


def test_a_watch_that_is_left_ends_its_connection(transport: Carrier) -> None:
    async def lines(_: Server, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}\n{\r\n2\r\n}\n\r\n")

    async def scene() -> list[bytes]:
        async with serving(lines) as server, Api(ApiAccess(server.url), transport=transport) as api:
            watch = api.watch(PATH, {}, silence=5.0)
            heard = [await anext(watch), await anext(watch)]
            await watch.aclose()
            async with asyncio.timeout(5):
                await server.ended.wait()
            return heard

    assert uvloop.run(scene()) == [b"{}", b"{}"]


def test_a_body_larger_than_what_is_read_ahead_arrives_whole(transport: Carrier) -> None:
    text = "x" * 5_000_000

    async def large(_: Server, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        body = b'{"metadata":{"name":"%s"}}' % text.encode()
        for start in range(0, len(body), 30_000):
            part = body[start : start + 30_000]
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        writer.write(b"0\r\n\r\n")

    async def scene() -> str:
        async with serving(large) as server, Api(ApiAccess(server.url), transport=transport) as api:
            return (await api.get(PATH, PartialObject)).metadata.name

    assert uvloop.run(scene()) == text


def test_the_servers_clock_is_read_from_its_answers(transport: Carrier) -> None:
    async def scene() -> str:
        async with serving(found) as server, Api(ApiAccess(server.url), transport=transport) as api:
            await api.get(PATH, PartialObject)
            return api.server_time().isoformat()[:16]

    assert uvloop.run(scene()) == "2026-12-01T10:00"


def test_a_path_of_the_server_comes_before_each_of_ours(transport: Carrier) -> None:
    async def scene() -> bytes:
        async with serving(found) as server, Api(ApiAccess(f"{server.url}/k8s/c-1/"), transport=transport) as api:
            await api.list_page("/api/v1/pods", PartialObject, field_selector="spec.nodeName=a b&c")
            return server.heads[0].split(b"\r\n")[0]

    assert uvloop.run(scene()) == b"GET /k8s/c-1/api/v1/pods?fieldSelector=spec.nodeName%3Da%20b%26c&limit=500 HTTP/1.1"


def test_a_refused_token_is_read_again_and_the_request_repeated(transport: Carrier, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")

    async def strict(_: Server, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(FOUND if b"Bearer new\r\n" in head else REFUSED)

    async def scene() -> int:
        async with serving(strict) as server:
            access = ApiAccess(server.url, token_source=lambda: (token.read_text().strip(), 60.0))
            async with Api(access, transport=transport) as api:
                with pytest.raises(Unauthorized):
                    await api.get(PATH, PartialObject)
                token.write_text("new\n")
                await api.get(PATH, PartialObject)
            return len(server.heads)

    assert uvloop.run(scene()) >= 3


def test_a_credential_program_is_asked_for_the_token(transport: Carrier, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho \'{"status":{"token":"from-the-program"}}\'\n')
    program.chmod(0o755)

    async def scene() -> bytes:
        async with serving(found) as server:
            config = tmp_path / "kubeconfig"
            config.write_text(KUBECONFIG % server.url)
            async with Api(load(config), transport=transport) as api:
                await api.get(PATH, PartialObject)
            return server.heads[0]

    assert b"Authorization: Bearer from-the-program\r\n" in uvloop.run(scene())


@asynccontextmanager
async def serving_tls(authority: Authority, folder: Path) -> AsyncIterator[Server]:
    certificate, key = authority.server("127.0.0.1")
    (folder / "server.crt").write_bytes(certificate)
    (folder / "server.key").write_bytes(key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    async with serving(found, context) as server:
        yield server


def test_a_server_of_another_authority_is_not_spoken_to(transport: Carrier, tmp_path: Path) -> None:
    async def scene() -> int:
        async with serving_tls(Authority(), tmp_path) as server:
            async with Api(ApiAccess(server.url, ca=Authority().pem), transport=transport) as api:
                with pytest.raises(Unavailable):
                    await api.get(PATH, PartialObject)
            return len(server.heads)

    assert uvloop.run(scene()) == 0


@pytest.mark.parametrize(("name", "requests"), [("kubernetes", 1), ("another", 0)])
def test_the_server_is_known_by_the_name_that_the_kubeconfig_gives(
    transport: Carrier, tmp_path: Path, name: str, requests: int
) -> None:
    authority = Authority()

    async def scene() -> int:
        async with serving_tls(authority, tmp_path) as server:
            access = ApiAccess(server.url, ca=authority.pem, tls_server_name=name)
            async with Api(access, transport=transport) as api:
                await asyncio.gather(api.get(PATH, PartialObject), return_exceptions=True)
            return len(server.heads)

    assert uvloop.run(scene()) == requests


def test_a_network_that_forgot_its_connections_costs_one_time_out() -> None:
    forgotten: set[asyncio.StreamWriter] = set()
    three = asyncio.Barrier(3)

    async def forgetful(server: Server, _: bytes, writer: asyncio.StreamWriter) -> None:
        if writer in forgotten:
            return
        if server.connections <= three.parties:
            forgotten.add(writer)
            await three.wait()
        writer.write(FOUND)

    async def scene() -> None:
        async with serving(forgetful) as server, Api(ApiAccess(server.url), timeout=2.5, transport=LeanTransport) as api:
            await asyncio.gather(*(api.get(PATH, PartialObject) for _ in range(three.parties)))
            with pytest.raises(RequestTimeout):
                await api.get(PATH, PartialObject)
            await api.get(PATH, PartialObject)

    uvloop.run(scene())
