"""What a client needs of HTTP: one request and its whole answer, and one request whose answer is followed as it comes.

`netmgr.kube.lean` is small and our own, for the agent; `netmgr.kube.pooled` is aiohttp's. The same tests run against both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class TransportError(Exception):
    """The way to the server failed: no connection, a broken one, or an answer that is no HTTP. Outcome unknown."""


@dataclass(frozen=True, slots=True)
class Request:
    """`target` is path and query, encoded, without the server's own prefix."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; `date` is its header of that name, empty where there is none."""

    status: int
    date: str
    body: bytes


class Stream(Protocol):
    """An answer that goes on. Close it when it is not wanted any more."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def date(self) -> str:
        """The Date header."""

    async def piece(self) -> bytes:
        """Some more of the body as soon as it is there, b"" at its end. TimeoutError after too long a silence."""
        ...

    async def close(self) -> None:
        """Want no more of it."""
        ...


class Transport(Protocol):
    """Raises TransportError or OSError where the way fails. A cancelled call leaves no half-used connection behind."""

    async def exchange(self, request: Request) -> Reply:
        """Send, and wait for the whole answer for as long as the caller likes."""
        ...

    async def stream(self, request: Request, *, silence: float) -> Stream:
        """Send, and wait for the answer to begin; `silence` is how many seconds may pass between two pieces of it."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
