"""I/O: who answered for attachments that are not ours, in `<socket>.delegated/`, where the plugin finds it without the agent.

One file per attachment, named as CNI names it. Its first line is the plugin's type, which is all that the C program reads; the
second is the record as JSON. It is there before the delegate is called and goes when the delegate's DEL has succeeded.
`<socket>.fallback` says to the plugin who answers for attachments without any record: those from before netmgr was here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cni.config import AttachmentKey
from cni.files import write_whole

log = logging.getLogger(__name__)


class Delegated(msgspec.Struct, frozen=True, rename="camel"):
    """An attachment whose address is another plugin's. `link` and `addresses` are there where we made the interface."""

    network: str
    container_id: str
    ifname: str
    plugin: str
    boot_id: str
    pod_uid: str = ""
    link: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def key(self) -> AttachmentKey:
        """What CNI names it by."""
        return AttachmentKey(self.network, self.container_id, self.ifname)


class DelegatedStore:
    """The records in memory and beside the socket."""

    def __init__(self, socket: Path, boot: str) -> None:
        self.folder, self.boot = socket.with_name(f"{socket.name}.delegated"), boot
        self._fallback = socket.with_name(f"{socket.name}.fallback")
        self.records: dict[AttachmentKey, Delegated] = {}

    def open(self, plugin: str, attached: Path) -> None:
        """Read the records of this boot. `plugin` (empty: none) answers for unknown ones; ours are files in `attached`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.records = {one.key: one for one in self._read()}
        if plugin:
            write_whole(self._fallback, f"{plugin}\n{attached}\n".encode())
        else:
            self._fallback.unlink(missing_ok=True)

    def put(self, one: Delegated) -> None:
        """Record it: whole on disk before this returns."""
        write_whole(self.folder / str(one.key), one.plugin.encode() + b"\n" + msgspec.json.encode(one) + b"\n")
        self.records[one.key] = one

    def forget(self, key: AttachmentKey) -> None:
        """Its plugin has been told of its end."""
        self.records.pop(key, None)
        (self.folder / str(key)).unlink(missing_ok=True)

    def _read(self) -> Iterator[Delegated]:
        for file in self.folder.iterdir():
            if file.name.startswith("."):
                file.unlink()
                continue
            try:
                one = msgspec.json.decode(file.read_bytes().partition(b"\n")[2], type=Delegated)
            except msgspec.MsgspecError as error:
                log.warning("delegated_unreadable file=%s error=%s", file, error)
                continue
            if one.boot_id == self.boot and str(one.key) == file.name:
                yield one
            else:
                file.unlink()
