"""HTTP/1.1 (RFC 9112) as a client sees it: a request as bytes, and bytes as an answer. Pure: no socket, no clock.

| answer's framing | body ends |
| --- | --- |
| 1xx | skipped, another head follows |
| 204, 304 | at once |
| `Transfer-Encoding: chunked` | with the chunk of size 0 and its trailers |
| `Content-Length: n` | after n bytes |
| neither | when the connection does |
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

LONGEST_HEAD = 64 * 1024
LONGEST_LINE = 1024


class MalformedError(Exception):
    """What came is not HTTP/1.1, or ended in the middle."""


def render(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """A request as it goes over the wire; ValueError where a header would smuggle in another line."""
    length = {"Content-Length": str(len(body))} if body is not None else {}
    pairs = {"Host": host, **headers, **length}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in pairs.items())]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise ValueError(f"{method}: a header's value has a line end in it; look at the token and the server's name")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + (body or b"")


class ReplyParser:
    """One answer: `feed` what arrives, take `pieces` of the body, until `done`. `status` is 0 until the head is there.

    `reusable` says, once it is done, whether the connection may carry another request.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: deque[bytes] = deque()
        self.done = False
        self._rest = bytearray()
        self._left = 0
        self._step: Callable[[], bool] = self._head
        self._until_end = False
        self._http11 = False

    @property
    def reusable(self) -> bool:
        """Whether the server keeps the connection, and nothing came that nobody asked for."""
        kept = self._http11 and "close" not in self.headers.get("connection", "").lower()
        return self.done and kept and not self._until_end and not self._rest

    def feed(self, data: bytes) -> None:
        """Some more bytes; MalformedError where they make no sense."""
        self._rest += data
        while not self.done and self._step():
            pass

    def end(self) -> None:
        """The connection has ended; MalformedError unless that was how the body ends."""
        if self._until_end:
            self.done = True
        if not self.done:
            raise MalformedError("the connection ended before the answer did")

    def _head(self) -> bool:
        raw = self._upto(b"\r\n\r\n", LONGEST_HEAD)
        if raw is None:
            return False
        first, *lines = raw.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        code = rest[:3]
        if version not in {"HTTP/1.1", "HTTP/1.0"} or len(code) != 3 or not (code.isascii() and code.isdigit()):
            raise MalformedError(f"the answer begins with {first[:80]!r}, which is no HTTP/1.1")
        if code.startswith("1"):
            return True
        pairs = [line.partition(":") for line in lines]
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self.status, self._http11 = int(code), version == "HTTP/1.1"
        self._frame()
        return True

    def _frame(self) -> None:
        """How the body will end."""
        coding, length = self.headers.get("transfer-encoding", "").lower(), self.headers.get("content-length")
        if self.status in {204, 304}:
            self.done = True
        elif coding == "chunked":
            self._step = self._chunk_size
        elif coding:
            raise MalformedError(f"transfer coding {coding[:80]!r} is not known here")
        elif length is not None:
            self._left = _decimal(length)
            self._step, self.done = self._sized, self._left == 0
        else:
            self._step, self._until_end = self._unsized, True

    def _sized(self) -> bool:
        self._take_left()
        self.done = self._left == 0
        return False

    def _unsized(self) -> bool:
        self._left = len(self._rest)
        self._take_left()
        return False

    def _chunk_size(self) -> bool:
        line = self._upto(b"\r\n", LONGEST_LINE)
        if line is None:
            return False
        digits = line.partition(b";")[0].strip().decode("latin-1")
        if not 0 < len(digits) <= 15 or any(one not in "0123456789abcdefABCDEF" for one in digits):
            raise MalformedError(f"chunk of size {digits[:80]!r}")
        self._left = int(digits, 16)
        self._step = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        if self._left:
            self._take_left()
        if self._left or len(self._rest) < 2:
            return False
        if self._rest[:2] != b"\r\n":
            raise MalformedError("a chunk is longer than its size")
        del self._rest[:2]
        self._step = self._chunk_size
        return True

    def _trailer(self) -> bool:
        line = self._upto(b"\r\n", LONGEST_HEAD)
        self.done = line == b""
        return line is not None

    def _take_left(self) -> None:
        """Move what is there of the next `_left` bytes to the pieces."""
        if self._rest and self._left:
            piece = bytes(self._rest[: self._left])
            del self._rest[: len(piece)]
            self._left -= len(piece)
            self.pieces.append(piece)

    def _upto(self, end: bytes, longest: int) -> bytes | None:
        """What comes before `end`, which is dropped; None while it is not there."""
        found = self._rest.find(end)
        if found > longest or (found < 0 and len(self._rest) > longest + len(end)):
            raise MalformedError(f"no end of a line or head within {longest} bytes")
        if found < 0:
            return None
        raw = bytes(self._rest[:found])
        del self._rest[: found + len(end)]
        return raw


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise MalformedError(f"Content-Length {text[:80]!r} is no number")
    return int(text)
