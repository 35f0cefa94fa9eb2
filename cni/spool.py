"""I/O: DELs that came while the agent was away, one JSON line each in `<socket>.spool`.

The plugin locks the file (flock), sees that the path still names it, and appends. The agent locks it, handles every line,
and unlinks it before it lets go: a kill in between repeats DELs, which is harmless.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cni.config import INTERFACE, NAME, AttachmentKey

log = logging.getLogger(__name__)


class SpooledDel(msgspec.Struct, frozen=True):
    """One line."""

    network: str
    container_id: str = msgspec.field(name="containerID")
    ifname: str = msgspec.field()


def spool_of(socket: Path) -> Path:
    """The spool beside a socket."""
    return socket.with_name(f"{socket.name}.spool")


@contextmanager
def taken(spool: Path) -> Iterator[list[AttachmentKey]]:
    """The spooled DELs; the file goes when the block ends well. None while a plugin writes its line: look again later."""
    try:
        handle = os.open(spool, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield []
        return
    try:
        if not _locked(handle):
            log.warning("spool_in_use spool=%s", spool)
            yield []
            return
        with os.fdopen(os.dup(handle), "rb") as lines:
            keys = [key for line in lines if (key := _parse(line))]
        yield keys
        spool.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Take the lock, unless a plugin has it; a plugin that hangs must not stop the agent."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parse(line: bytes) -> AttachmentKey | None:
    try:
        one = msgspec.json.decode(line, type=SpooledDel)
    except msgspec.MsgspecError as error:
        log.warning("spool_line_unreadable error=%s", error)
        return None
    if not (NAME.fullmatch(one.network) and NAME.fullmatch(one.container_id) and INTERFACE.fullmatch(one.ifname)):
        log.warning("spool_line_malformed line=%r", line)
        return None
    return AttachmentKey(one.network, one.container_id, one.ifname)
