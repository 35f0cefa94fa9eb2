"""Bytes between plugin and agent on the unix socket. Pure.

Request: u32 LE length of the rest | `KEY=VALUE` NUL ... | NUL | stdin. Answer: one byte exit code | stdout | end of stream.

| first byte of an answer | rest | what the plugin does |
| --- | --- | --- |
| 254 | type | becomes that IPAM plugin (`exec`), with the same environment and `ipam.type` replaced in stdin |
| 253 | type | runs it so, then asks again with `NETMGR_DELEGATED` set to what an ADD printed, or to nothing |
| 252 | type NUL container NUL interface NUL, repeated | runs DEL of each, asks again after each as above |
| others | what is printed | ends with that exit code |
"""

from __future__ import annotations

from dataclasses import dataclass

from cni.config import AttachmentKey
from cni.errors import BadRequest

LENGTH = 4
LONGEST = 1 << 20
BECOME, REPORT, EACH = 254, 253, 252


@dataclass(frozen=True, slots=True)
class HandOver:
    """Another IPAM plugin answers. `reports`: the plugin tells us how it went."""

    plugin: str
    reports: bool = False


@dataclass(frozen=True, slots=True)
class HandOverEach:
    """Attachments that other IPAM plugins are to end."""

    attachments: tuple[tuple[str, AttachmentKey], ...]


Answer = bytes | HandOver | HandOverEach
"""What is printed, or who answers instead."""


def missing(received: bytes | bytearray) -> bool:
    """Whether more bytes must come; BadRequest where the length is beyond 1 MiB."""
    if len(received) < LENGTH:
        return True
    announced = int.from_bytes(received[:LENGTH], "little")
    if announced > LONGEST:
        raise BadRequest(f"request of {announced} bytes is longer than {LONGEST}; call the agent with its own plugin")
    return len(received) < LENGTH + announced


def parse_request(received: bytes | bytearray) -> tuple[dict[str, str], bytes]:
    """Environment and stdin of a whole request; what stands behind the announced length belongs to nobody."""
    announced = int.from_bytes(received[:LENGTH], "little")
    head, end, stdin = bytes(received[LENGTH : LENGTH + announced]).partition(b"\0\0")
    try:
        pairs = [entry.split("=", 1) for entry in head.decode().split("\0")]
    except UnicodeDecodeError as error:
        raise BadRequest("CNI environment is not UTF-8; call the agent with its own plugin") from error
    if not end or any(len(pair) != 2 for pair in pairs):
        raise BadRequest("CNI environment is malformed; call the agent with its own plugin")
    return {pair[0]: pair[1] for pair in pairs}, stdin


def encode_request(environment: dict[str, str], stdin: bytes) -> bytes:
    """What the plugin sends: for tests and probes."""
    body = "".join(f"{key}={value}\0" for key, value in environment.items()).encode() + b"\0" + stdin
    return len(body).to_bytes(LENGTH, "little") + body


def encode_answer(code: int, stdout: bytes) -> bytes:
    """What the plugin prints, behind its exit code."""
    return bytes((code,)) + stdout


def encode(answer: Answer) -> bytes:
    """A successful answer."""
    if isinstance(answer, HandOver):
        return bytes((REPORT if answer.reports else BECOME,)) + answer.plugin.encode()
    if isinstance(answer, HandOverEach):
        entries = (f"{plugin}\0{key.container_id}\0{key.ifname}\0" for plugin, key in answer.attachments)
        return bytes((EACH,)) + "".join(entries).encode()
    return encode_answer(0, answer)
