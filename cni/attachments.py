"""I/O: one file per attachment in the state directory (on tmpfs), written whole before ADD is answered.

`attached/<network>.<container id>.<interface>.json` exists from before ADD's answer until DEL; DEL renames it to
`released/...`, where it stays until the release is reported. An agent restart forgets nothing; a reboot, which ends every
sandbox, empties tmpfs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from cni.config import AttachmentKey
from cni.files import write_whole

log = logging.getLogger(__name__)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class GrantedRoute(msgspec.Struct, frozen=True, gc=False):
    """A route for the Pod: destination and gateway (empty: the default one)."""

    dst: str
    gw: str = ""


class Grant(msgspec.Struct, frozen=True, rename="camel"):
    """One address that an ADD is answered with; `prefix_length` is the subnet's. `origin` is opaque here.

    `clean_gateway`: the interface gets no default route, only those in `routes`.
    `name` and `uid` are those of the object the address was granted by; `origin` is that object's spec as it was.
    """

    name: str
    uid: str
    address: str
    prefix_length: int
    gateway: str = ""
    routes: tuple[GrantedRoute, ...] = ()
    clean_gateway: bool = False
    origin: msgspec.Raw = msgspec.Raw(b"{}")


class Attachment(msgspec.Struct, frozen=True, rename="camel"):
    """What one sandbox interface holds. `link` is the host end that we made (empty: another main plugin's).

    `withdrawn` maps an address whose host route we took away while attached to the link it led to.
    """

    network: str
    container_id: str
    ifname: str
    pod_uid: str
    boot_id: str
    grants: tuple[Grant, ...]
    netns: str = ""
    link: str = ""
    caller: str = ""
    pod_namespace: str = ""
    pod_name: str = ""
    withdrawn: dict[str, str] = {}

    @property
    def key(self) -> AttachmentKey:
        """What CNI names it by."""
        return AttachmentKey(self.network, self.container_id, self.ifname)

    @property
    def sandbox_of(self) -> tuple[str, str]:
        """Pod UID and interface: what several sandboxes of one Pod, old and new, have in common."""
        return (self.pod_uid, self.ifname)


def boot_id() -> str:
    """The kernel's boot id: another one means that no sandbox from before exists."""
    return BOOT_ID.read_text().strip()


class Index:
    """Attachments by sandbox and by the objects that granted their addresses: a node has hundreds, each event asks for a few."""

    def __init__(self) -> None:
        self._sandboxes: dict[tuple[str, str], dict[AttachmentKey, Attachment]] = {}
        self._names: dict[str, dict[AttachmentKey, Attachment]] = {}

    def put(self, one: Attachment) -> None:
        """An attachment that is not in the index."""
        self._sandboxes.setdefault(one.sandbox_of, {})[one.key] = one
        for grant in one.grants:
            self._names.setdefault(grant.name, {})[one.key] = one

    def drop(self, one: Attachment) -> None:
        """An attachment as it was put."""
        _without(self._sandboxes, one.sandbox_of, one.key)
        for grant in one.grants:
            _without(self._names, grant.name, one.key)

    def of_sandbox(self, sandbox: tuple[str, str]) -> list[Attachment]:
        """See AttachmentStore."""
        return list(self._sandboxes.get(sandbox, {}).values())

    def holding(self, name: str) -> list[Attachment]:
        """See AttachmentStore."""
        return list(self._names.get(name, {}).values())


K = TypeVar("K")


def _without(index: dict[K, dict[AttachmentKey, Attachment]], under: K, key: AttachmentKey) -> None:
    """Take an entry out, and what held it when it was the last."""
    entries = index.get(under, {})
    entries.pop(key, None)
    if not entries:
        index.pop(under, None)


class AttachmentStore:
    """The records in memory and on disk.

    `was_empty`: there was no state directory of this boot when we started, or a record cannot be read: not all is known here.
    """

    def __init__(self, folder: Path, boot: str) -> None:
        self.folder, self.boot = folder, boot
        self.attached: dict[AttachmentKey, Attachment] = {}
        self.released: dict[AttachmentKey, Attachment] = {}
        self.was_empty = False
        self._index = Index()

    def open(self) -> None:
        """Read what is there; records of another boot are dropped, since their sandboxes are gone."""
        folders = [self.folder, self._path("attached"), self._path("released")]
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        mark = self.folder / "boot-id"
        self.was_empty = not mark.exists() or mark.read_text().strip() != self.boot
        self.attached = {one.key: one for one in self._read("attached")}
        self.released = {one.key: one for one in self._read("released")}
        for one in self.attached.values():
            self._index.put(one)
        write_whole(mark, self.boot.encode())

    def attach(self, one: Attachment) -> None:
        """Record an attachment: whole on disk before this returns."""
        write_whole(self._file("attached", one.key), msgspec.json.encode(one))
        if one.key in self.attached:
            self._index.drop(self.attached[one.key])
        self.attached[one.key] = one
        self._index.put(one)

    def release(self, key: AttachmentKey) -> Attachment | None:
        """The attachment has ended; it waits for its report. None where there was none (DEL is idempotent)."""
        one = self.attached.get(key)
        if one is not None:
            self._file("attached", key).rename(self._file("released", key))  # first: where it fails, nothing has happened
            del self.attached[key]
            self._index.drop(one)
            self.released[key] = one
        return one

    def forget(self, key: AttachmentKey) -> None:
        """The release was reported, or needs no report."""
        self.released.pop(key, None)
        self._file("released", key).unlink(missing_ok=True)

    def of_sandbox(self, sandbox: tuple[str, str]) -> list[Attachment]:
        """Attachments of one Pod's interface: more than one while an old sandbox awaits its DEL."""
        return self._index.of_sandbox(sandbox)

    def holding(self, name: str) -> list[Attachment]:
        """Attachments with an address granted by the object of this name."""
        return self._index.holding(name)

    def _read(self, kind: str) -> Iterator[Attachment]:
        for file in self._path(kind).iterdir():
            if file.name.startswith("."):
                file.unlink()
                continue
            try:
                one = msgspec.json.decode(file.read_bytes(), type=Attachment)
            except msgspec.MsgspecError as error:
                log.error("attachment_unreadable file=%s error=%s", file, error)  # noqa: TRY400 - the text says it all
                self.was_empty = True
                continue
            if one.boot_id == self.boot:
                yield one
            else:
                file.unlink()

    def _path(self, kind: str) -> Path:
        return self.folder / kind

    def _file(self, kind: str, key: AttachmentKey) -> Path:
        return self.folder / kind / f"{key}.json"
