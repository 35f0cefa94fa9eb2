"""I/O: one rtnetlink socket. Sends a message, waits for the kernel's answer, turns its refusals into exceptions.

A socket belongs to the namespace in which it was opened. Making one costs 20 us, a message 5 to 30 us.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType

from cni.rtnetlink import NLM_F_REQUEST, Message, attributes

SOL_NETLINK, NETLINK_EXT_ACK = 270, 11
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_DUMP_INTR, NLM_F_CAPPED = 0x10, 0x100
NLMSGERR_ATTR_MSG = 1
HEADER = 16
SECONDS = 5.0
"""The kernel answers within the call; this bounds a wait for its lock."""
LARGEST = 1 << 17
ATTEMPTS = 10


class NetlinkError(Exception):
    """The kernel said no; `code` is its errno, the text has its own words where it gave some."""

    def __init__(self, code: int, words: str = "") -> None:
        super().__init__(f"{os.strerror(code)}: {words}" if words else os.strerror(code))
        self.code = code


class Netlink:
    """A socket in the thread's namespace; use it with `with`, or close it. Not for two threads at once."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.settimeout(SECONDS)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def ask(self, message: Message) -> tuple[int, bytes]:
        """Type and payload of the answer; for a change an empty acknowledgement. NetlinkError where the kernel says no."""
        self._send(message)
        return next((kind, payload) for kind, _, payload in self._answers())

    def dump(self, message: Message) -> list[bytes]:
        """The payloads of a whole dump; one that a change interrupted is asked for again."""
        for _ in range(ATTEMPTS):
            self._send(message)
            found: list[bytes] = []
            whole = True
            for kind, flags, payload in self._answers():
                whole = whole and not flags & NLM_F_DUMP_INTR
                if kind == NLMSG_DONE:
                    break
                found.append(payload)
            if whole:
                return found
        raise NetlinkError(errno.EINTR, f"{ATTEMPTS} dumps in a row were interrupted by changes")

    def _send(self, message: Message) -> None:
        self._sequence += 1
        head = struct.pack("=IHHII", HEADER + len(message.body), message.kind, message.flags | NLM_F_REQUEST, self._sequence, 0)
        self._socket.send(head + message.body)

    def _answers(self) -> Iterator[tuple[int, int, bytes]]:
        """Type, flags and payload of each message that answers the last one sent; late ones of earlier questions are dropped."""
        while True:
            received = self._socket.recv(LARGEST)
            offset = 0
            while offset + HEADER <= len(received):
                length, kind, flags, sequence = struct.unpack_from("=IHHI", received, offset)
                payload = received[offset + HEADER : offset + length]
                offset += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                if kind == NLMSG_ERROR:
                    _check(payload, flags)
                yield kind, flags, payload


def _check(payload: bytes, flags: int) -> None:
    """Raise what an NLMSG_ERROR says; code 0 is an acknowledgement."""
    code = -struct.unpack_from("=i", payload)[0]
    if code == 0:
        return
    asked = struct.unpack_from("=I", payload, 4)[0]
    told = 4 + (HEADER if flags & NLM_F_CAPPED else (asked + 3) & ~3)
    words = dict(attributes(payload, told)).get(NLMSGERR_ATTR_MSG, b"")
    raise NetlinkError(code, words.rstrip(b"\0").decode(errors="replace"))
