"""I/O: the agent's unix socket. Reads one request, has it answered, writes the answer, closes.

A client that hangs up cancels its call: nobody would hear the answer. The socket is 0600: root only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import Protocol, cast

from cni.config import Call, parse_call
from cni.errors import CniError
from cni.protocol import Answer, encode, encode_answer, missing, parse_request
from cni.result import error_result

log = logging.getLogger(__name__)
BACKLOG = 512


class Answerer(Protocol):
    """Who answers CNI calls."""

    async def answer(self, call: Call) -> Answer:
        """The result to print, or who answers instead; CniError where there is none."""


class Connection(asyncio.Protocol):
    """One plugin process."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A plugin has connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class inherits from neither

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The plugin has gone, or has its answer."""
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect the request; start the call once it is whole."""
        if self._task is not None:
            return
        self._received += data
        try:
            if missing(self._received):
                return
            environment, stdin = parse_request(self._received)
            call = parse_call(environment, stdin)
        except CniError as error:
            self._finish(1, error_result("1.0.0", error.code, str(error), error.details))
            return
        self._task = asyncio.ensure_future(self._serve(call))

    async def _serve(self, call: Call) -> None:
        version = call.config.cni_version
        try:
            self._write(encode(await self._answerer.answer(call)))
        except CniError as error:
            log.warning("cni_error command=%s key=%s code=%d message=%s", call.command, call.key, error.code, error)
            self._finish(1, error_result(version, error.code, str(error), error.details))
        except Exception as error:
            log.exception("cni_failed command=%s key=%s", call.command, call.key)
            self._finish(1, error_result(version, 999, f"{call.command} {call.key}: {error!r}; look at the agent's log"))

    def _finish(self, code: int, stdout: bytes) -> None:
        self._write(encode_answer(code, stdout))

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)
            self._transport.close()


async def serve(answerer: Answerer, path: Path) -> asyncio.AbstractServer:
    """Listen on the socket, in place of one that a killed agent left behind."""
    return await asyncio.get_running_loop().create_unix_server(lambda: Connection(answerer), sock=_bound(path), backlog=BACKLOG)


def _bound(path: Path) -> socket.socket:
    """A socket that is root's alone from its first moment. Nothing waits in here: the umask is the whole process's."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        made.bind(str(path))
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    return made
