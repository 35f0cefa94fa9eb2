"""I/O: keeps a copy of one collection in memory and reports every change of it, for as long as the process lives.

List in pages, watch from there; when the stream ends, watch again from the last known resourceVersion; when that is too
old (410, as HTTP status or as an ERROR event), list again and report the difference, including what vanished meanwhile.
Rules learnt from kube-apiserver 1.35: bookmarks come about once a minute, so a silent stream is a dead one; a paged list
whose token expires must begin anew; an object deleted and created between two lists has another UID.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import aclosing
from typing import Generic, TypeVar

import msgspec

from netmgr.api.meta import Meta, PartialObject
from netmgr.kube.backoff import Backoff
from netmgr.kube.client import Api, decoder_of
from netmgr.kube.errors import ApiError, Gone, NotFound, Status, Unavailable
from netmgr.kube.store import EventKind, OnEvent, Store, Watched, key_of

__all__ = ["EventKind", "OnEvent", "Reflector", "Watched", "key_of"]

log = logging.getLogger(__name__)
W = TypeVar("W", bound=Watched)

SILENCE = 150.0
"""Seconds without event or bookmark after which a watch counts as dead."""


ABSENT = 10.0
"""Seconds between looks for a kind that is not installed."""


class WatchEvent(msgspec.Struct, frozen=True):
    """One line of a watch stream."""

    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct, frozen=True):
    """The object of a BOOKMARK event carries nothing but its resourceVersion."""

    metadata: Meta


class Reflector(Generic[W]):
    """A live copy of the collection at `path`. Run `run()` as a task; `synced` is set after the first whole list.

    `optional`: the kind may not be installed, or come later; until then the copy is empty.
    `store` maps keys (see `key_of`) to objects and is for reading. `resource_version` is how far the copy is,
    `heard` when it last heard of that (time.monotonic()).
    """

    def __init__(
        self,
        api: Api,
        path: str,
        type_: type[W],
        *,
        field_selector: str = "",
        label_selector: str = "",
        on_event: OnEvent[W] | None = None,
        page: int = 500,
        silence: float = SILENCE,
        longest_pause: float = 5.0,
        optional: bool = False,
    ) -> None:
        self.synced = asyncio.Event()
        self.resource_version = ""
        self.lists = self.watches = 0
        self.heard = time.monotonic()
        self.path = path
        self._copy: Store[W] = Store(on_event)
        self._api, self._path, self._type = api, path, type_
        self._field_selector, self._label_selector = field_selector, label_selector
        self._page, self._silence = page, silence
        self._backoff = Backoff(0.05, longest_pause)
        self._optional = optional
        self._moved = asyncio.Event()

    @property
    def store(self) -> dict[str, W]:
        """The copy."""
        return self._copy.objects

    async def run(self) -> None:
        """Never returns; cancel the task to end it."""
        listed = False
        while True:
            before = self.resource_version
            try:
                if not listed:
                    await self._list()
                    listed = True
                await self._watch()
            except Gone:
                log.info("relist path=%s resource_version=%s", self._path, self.resource_version)
                listed = False
            except NotFound as error:
                listed = False
                await self._absent(error)
            except ApiError as error:
                log.warning("watch_interrupted path=%s error=%s", self._path, error)
            if self.resource_version != before:
                self._backoff.reset()
            await asyncio.sleep(self._backoff.next())

    async def _absent(self, error: NotFound) -> None:
        """The API server does not know the kind."""
        if not self._optional:
            log.warning("watch_interrupted path=%s error=%s", self._path, error)
            return
        self._copy.replace_all([])
        self.synced.set()
        await asyncio.sleep(ABSENT)

    async def wait_at_least(self, resource_version: str, timeout: float = 30.0) -> None:
        """Wait until the copy is at least as new as the given resourceVersion; TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            while not self.resource_version or int(self.resource_version) < int(resource_version):
                self._moved.clear()
                await self._moved.wait()

    async def _list(self) -> None:
        """Read the whole collection; nothing is reported before the last page is there."""
        found: list[W] = []
        token, limit = "", self._page
        while True:
            try:
                page = await self._api.list_page(
                    self._path,
                    msgspec.Raw,
                    field_selector=self._field_selector,
                    label_selector=self._label_selector,
                    limit=limit,
                    token=token,
                )
            except Gone:
                if not token:
                    raise
                found, token, limit = [], "", 0
                continue
            found += [item for raw in page.items or () if (item := self._decode(raw)) is not None]
            token = page.metadata.continue_
            if not token:
                break
        self.lists += 1
        self._copy.replace_all(found)
        self._advance(page.metadata.resource_version)
        self.synced.set()

    async def _watch(self) -> None:
        """Follow one watch stream until it ends."""
        query = {
            "allowWatchBookmarks": "true",
            "resourceVersion": self.resource_version,
            "timeoutSeconds": str(random.randint(240, 300)),  # noqa: S311 - spreads reconnects, no secret
            "fieldSelector": self._field_selector,
            "labelSelector": self._label_selector,
        }
        wanted = {key: value for key, value in query.items() if value}
        self.watches += 1
        async with aclosing(self._api.watch(self._path, wanted, silence=self._silence)) as lines:
            async for line in lines:
                self._handle(line)

    def _handle(self, line: bytes) -> None:
        try:
            event: WatchEvent = decoder_of(WatchEvent).decode(line)
            if event.type == "BOOKMARK":
                bookmark: _Bookmark = decoder_of(_Bookmark).decode(event.object)
                self._advance(bookmark.metadata.resource_version)
                return
            if event.type == "ERROR":
                status: Status = decoder_of(Status).decode(event.object)
                raise Gone(f"watch {self._path}", status)  # whatever the code: the position is lost, so list again
            item = self._decode(event.object)
            metadata = item.metadata if item else decoder_of(PartialObject).decode(event.object).metadata
        except msgspec.MsgspecError as unreadable:
            raise Unavailable(f"watch {self._path}", Status(message=f"unreadable event: {unreadable}")) from unreadable
        if event.type == "DELETED" or item is None:
            self._forget(key_of(metadata), item)
        else:
            self._copy.put(item)
        self._advance(metadata.resource_version)

    def _forget(self, key: str, last: W | None) -> None:
        """An object that is gone, or has become unreadable, which for us is the same."""
        last = last or self.store.get(key)
        if last is not None:
            self._copy.remove(last)

    def _decode(self, raw: msgspec.Raw) -> W | None:
        """An object, or nothing where it does not fit the struct (an older schema let it in): one must not stop all."""
        try:
            decoded: W = decoder_of(self._type).decode(raw)
        except msgspec.MsgspecError as unreadable:
            log.warning("object_unreadable path=%s error=%s start=%r", self._path, unreadable, bytes(raw)[:200])
            return None
        return decoded

    def _advance(self, resource_version: str) -> None:
        self.heard = time.monotonic()
        if resource_version:
            self.resource_version = resource_version
            self._moved.set()
