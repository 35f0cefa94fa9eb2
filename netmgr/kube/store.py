"""The copy of a collection that a reflector keeps, and the rules that turn lists and watch events into changes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from netmgr.api.meta import Meta


class Watched(Protocol):
    """Any object with metadata."""

    @property
    def metadata(self) -> Meta:
        """The object's metadata."""


W = TypeVar("W", bound=Watched)


class EventKind(StrEnum):
    """What happened to an object."""

    ADDED = "Added"
    MODIFIED = "Modified"
    DELETED = "Deleted"


OnEvent = Callable[[EventKind, W, W | None], None]
"""Called as (kind, object, what was known before) after the copy changed; for Deleted both are set. Must not block."""


def key_of(metadata: Meta) -> str:
    """The key in a store: `namespace/name`, or `name` for cluster-scoped objects."""
    return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name


class Store(Generic[W]):
    """`objects` by `key_of`. Another UID under the same name is another object: Deleted, then Added."""

    def __init__(self, on_event: OnEvent[W] | None = None) -> None:
        self.objects: dict[str, W] = {}
        self._on_event = on_event

    def replace_all(self, items: Iterable[W]) -> None:
        """A whole list: report the difference to the copy, deletions first."""
        found = {key_of(item.metadata): item for item in items}
        for key, old in list(self.objects.items()):
            if key not in found or found[key].metadata.uid != old.metadata.uid:
                self.remove(old)
        for item in found.values():
            self.put(item)

    def put(self, item: W) -> None:
        """An object as it is now; the same resourceVersion again is no change."""
        key = key_of(item.metadata)
        old = self.objects.get(key)
        if old is not None and old.metadata.uid != item.metadata.uid:
            self.remove(old)
            old = None
        if old is not None and old.metadata.resource_version == item.metadata.resource_version:
            return
        self.objects[key] = item
        self._report(EventKind.ADDED if old is None else EventKind.MODIFIED, item, old)

    def remove(self, last: W) -> None:
        """An object that is gone; `last` is its last state. Nothing happens where the copy has no such object."""
        old = self.objects.pop(key_of(last.metadata), None)
        if old is not None:
            self._report(EventKind.DELETED, last, old)

    def _report(self, kind: EventKind, item: W, old: W | None) -> None:
        if self._on_event is not None:
            self._on_event(kind, item, old)
