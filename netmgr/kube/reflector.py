"""A complete, current copy of one resource: paged list, watch with bookmarks, relist with synthetic deletes.

I/O: one list and one watch at a time. What an event means is decided by the pure `Store`; the loop around it only moves bytes.

* A list is paged (limit, continue); a token that expired starts the list again.
* A watch ends by itself after a jittered 240 to 300 s; the next one resumes at the last version, bookmarks included.
* Silence (no event, no bookmark: the API server sends one about each minute) ends the watch: half-open connections are found.
* 410, as HTTP status or inside the stream, relists; objects that are gone then are reported as deleted, and an object whose UID
  changed as deleted and added.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Generic, Protocol, TypeVar

import msgspec

from netmgr.api.meta import Meta
from netmgr.kube.client import Api
from netmgr.kube.errors import ApiError, Gone, error_of

log = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0


class HasMeta(Protocol):
    """Anything with metadata."""

    @property
    def metadata(self) -> Meta:
        """The object's metadata."""


T = TypeVar("T", bound=HasMeta)


class Change(Enum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


OnEvent = Callable[[Change, T, T | None], None]


def key_of(meta: Meta) -> str:
    """`namespace/name`, or `name` for cluster-scoped objects."""
    return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name


class Store(Generic[T]):
    """The copy, and the rules that turn lists and watch events into changes."""

    def __init__(self, on_event: OnEvent[T] | None = None) -> None:
        """`on_event(change, object, previous)` is called after the copy has changed."""
        self.objects: dict[str, T] = {}
        self.tell = on_event or (lambda _change, _now, _before: None)

    def replace(self, items: list[T]) -> None:
        """A full list: additions, changes, and deletions that nobody told us about."""
        listed = {key_of(one.metadata): one for one in items}
        for key in [key for key in self.objects if key not in listed]:
            self.remove(self.objects[key])
        for one in listed.values():
            self.put(one)

    def put(self, now: T) -> None:
        """An object as it is now; the same version again is no change, another UID is another object."""
        key = key_of(now.metadata)
        before = self.objects.get(key)
        if before is not None and before.metadata.uid != now.metadata.uid:
            self.remove(before)
            before = None
        if before is not None and before.metadata.resource_version == now.metadata.resource_version:
            return
        self.objects[key] = now
        self.tell(Change.ADDED if before is None else Change.MODIFIED, now, before)

    def remove(self, gone: T) -> None:
        """An object that is no longer there."""
        before = self.objects.pop(key_of(gone.metadata), None)
        if before is not None:
            self.tell(Change.DELETED, gone, before)


class WatchEvent(msgspec.Struct):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


class Mark(msgspec.Struct):
    """The part of a BOOKMARK that matters."""

    metadata: Meta


class Reflector(Generic[T]):
    """Keeps a store in step with the API server until its task is cancelled."""

    def __init__(
        self,
        api: Api,
        path: str,
        kind: type[T],
        *,
        field_selector: str = "",
        label_selector: str = "",
        on_event: OnEvent[T] | None = None,
    ) -> None:
        """`path` is the collection; selectors as in kubectl."""
        self.api, self.path, self.kind = api, path, kind
        self.query = {
            **({"fieldSelector": field_selector} if field_selector else {}),
            **({"labelSelector": label_selector} if label_selector else {}),
        }
        self.store: Store[T] = Store(on_event)
        self.synced = asyncio.Event()
        self.resource_version = ""
        self.moved = asyncio.Condition()
        self.decode = msgspec.json.Decoder(kind).decode
        self.decode_event = msgspec.json.Decoder(WatchEvent).decode
        self.decode_mark = msgspec.json.Decoder(Mark).decode

    @property
    def objects(self) -> Mapping[str, T]:
        """The copy, by `key_of`."""
        return self.store.objects

    async def run(self) -> None:
        """List, then watch, for ever; troubles are logged and retried with a growing, jittered pause."""
        pause = FIRST_PAUSE
        while True:
            try:
                if not self.resource_version:
                    await self.list()
                    pause = FIRST_PAUSE
                await self.watch()
                pause = FIRST_PAUSE
            except Gone:
                self.resource_version = ""
            except (ApiError, msgspec.DecodeError) as error:
                log.warning("reflector retries", extra={"path": self.path, "error": str(error), "pause": pause})
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause = min(pause * 2, LONGEST_PAUSE)

    async def list(self) -> None:
        """One consistent list into the store."""
        items, version = await self.api.list(self.path, self.kind, query=self.query)
        self.store.replace(items)
        await self.at(version)
        self.synced.set()

    async def watch(self) -> None:
        """One watch from the last version until it ends."""
        seconds = str(random.randint(240, 300))  # noqa: S311 - jitter, so that replicas do not reconnect together
        query = {
            **self.query,
            "resourceVersion": self.resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": seconds,
        }
        async with self.api.watch(self.path, query) as stream:
            async for line in stream:
                if line:
                    await self.apply(line)

    async def apply(self, line: bytes) -> None:
        """One watch event into the store."""
        event = self.decode_event(line)
        if event.type == "BOOKMARK":
            await self.at(self.decode_mark(event.object).metadata.resource_version)
            return
        if event.type == "ERROR":
            code = msgspec.json.decode(event.object, type=dict[str, object]).get("code")
            raise error_of("WATCH", self.path, code if isinstance(code, int) else 500, bytes(event.object))
        one = self.decode(event.object)
        if event.type == Change.DELETED.value:
            self.store.remove(one)
        else:
            self.store.put(one)
        await self.at(one.metadata.resource_version)

    async def at(self, version: str) -> None:
        """The copy is at that version now."""
        self.resource_version = version
        async with self.moved:
            self.moved.notify_all()

    async def wait_at_least(self, version: str) -> None:
        """Until the copy is as new as a list that returned this version (numbers since KEP-5504; etcd's always were)."""
        async with self.moved:
            await self.moved.wait_for(lambda: int(self.resource_version or 0) >= int(version))
