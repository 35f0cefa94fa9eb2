"""The API server's twin in memory: versions, preconditions, finalizers, selectors and watches, with faults on demand.

The product's own client runs over it (`TwinApi` replaces only the transport), and `tests/integration/kube/test_twin.py` runs the
same contract against the twin and against the real API server. It knows no schemas and no admission.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from netmgr.api.meta import Json
from netmgr.kube.client import Api, Call
from netmgr.kube.config import ApiAccess
from netmgr.kube.errors import RequestTimeout, Status, Unavailable, error_of

WITHOUT_STATUS_SUBRESOURCE = frozenset({"spiderreservedips", "leases", "events", "namespaces"})
LATENCY = 0.001
WRITES = frozenset({"create", "update", "patch", "delete"})


class Fault(Enum):
    """What may become of a write."""

    LOST = "nothing was done, and nobody said so"
    UNHEARD = "it was done, and nobody said so"
    SLOW = "it was done, three seconds later"
    REFUSED = "429: too many requests"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request's path leads."""

    collection: str
    namespace: str
    name: str
    subresource: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Of an object."""
        return (self.collection, self.namespace, self.name)

    @property
    def resource(self) -> str:
        """The plural name."""
        return self.collection.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history."""

    version: int
    collection: str
    old: Json | None
    new: Json | None
    by: str


def place_of(path: str) -> Place:
    """Parse a path."""
    parts = path.strip("/").split("/")
    depth = 2 if parts[0] == "api" else 3
    root, rest = "/" + "/".join(parts[:depth]), parts[depth:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    padded = [*rest, "", ""]
    return Place(f"{root}/{rest[0]}", namespace, padded[1], padded[2])


@dataclass
class ApiTwin:
    """One cluster's objects. `clock` gives seconds; `offset` is how far the server's clock has been set."""

    clock: Callable[[], float]
    objects: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    compacted: int = 0
    version: int = 100
    offset: float = 0.0
    observers: list[Callable[[Change], None]] = field(default_factory=list)
    changed: set[asyncio.Event] = field(default_factory=set)

    def now(self) -> datetime:
        """The server's clock."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.clock() + self.offset)

    def of(self, collection: str) -> list[Json]:
        """All objects of a collection."""
        return [thing for (where, _, _), thing in self.objects.items() if where == collection]

    def handle(self, call: Call, by: str) -> Json:
        """Answer one request."""
        place = place_of(call.path)
        if call.verb == "list":
            query = call.query or {}
            items = [one for one in self._in(place) if selected(one, query)]
            return {"metadata": {"resourceVersion": str(self.version)}, "items": items}
        if call.verb == "create":
            return self._create(place, call, by)
        found = self.objects.get(place.key)
        if call.verb == "patch" and "fieldManager" in (call.query or {}):
            return self._apply(place, found, call, by)
        if found is None:
            raise refusal(call, 404, "NotFound", f"{place.name} not found")
        if call.verb == "get":
            return found
        if call.verb == "delete":
            return self._delete(place, found, call, by)
        return self._patch(place, found, call, by)

    def _in(self, place: Place) -> Iterator[Json]:
        for (collection, namespace, _), thing in self.objects.items():
            if collection == place.collection and place.namespace in {"", namespace}:
                yield thing

    def _create(self, place: Place, call: Call, by: str) -> Json:
        body: Json = json.loads(json.dumps(call.body))
        name = body["metadata"]["name"]
        made = Place(place.collection, place.namespace, name, "")
        if made.key in self.objects:
            raise refusal(call, 409, "AlreadyExists", f"{name} already exists")
        if place.resource not in WITHOUT_STATUS_SUBRESOURCE:
            body.pop("status", None)
        body["metadata"] |= {
            "uid": f"00000000-0000-4000-8000-{self.version + 1:012x}",
            "creationTimestamp": self.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "generation": 1,
        }
        if place.namespace:
            body["metadata"]["namespace"] = place.namespace
        return self._put(made, None, body, by)

    def _patch(self, place: Place, found: Json, call: Call, by: str) -> Json:
        body = call.body or {}
        self._guard(call, found, body.get("metadata", {}))
        given = {key: value for key, value in body.get("metadata", {}).items() if key not in {"uid", "resourceVersion"}}
        whole = place.subresource != "status"
        patch = {**body, "metadata": given} if whole else {"status": body.get("status", {})}
        if whole and place.resource not in WITHOUT_STATUS_SUBRESOURCE:
            patch.pop("status", None)
        return self._replace(place, found, merged(found, patch), by)

    def _apply(self, place: Place, found: Json | None, call: Call, by: str) -> Json:
        body = call.body or {}
        if found is None:
            if place.subresource:
                raise refusal(call, 404, "NotFound", f"{place.name} not found")
            return self._create(place, call, by)
        self._guard(call, found, body.get("metadata", {}))
        status = dict(body.get("status", {}))
        if "conditions" in status:
            mine = {one["type"] for one in status["conditions"]}
            others = [one for one in found.get("status", {}).get("conditions", []) if one["type"] not in mine]
            status["conditions"] = [*others, *status["conditions"]]
        patch = {"status": status} if place.subresource == "status" else {**body, "metadata": {}}
        return self._replace(place, found, merged(found, patch), by)

    def _replace(self, place: Place, found: Json, new: Json, by: str) -> Json:
        if new == found:
            return found
        if new.get("spec") != found.get("spec"):
            new = merged(new, {"metadata": {"generation": found["metadata"]["generation"] + 1}})
        gone = "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers") and place.resource != "pods"
        return self._remove(place, new, by) if gone else self._put(place, found, new, by)

    def _delete(self, place: Place, found: Json, call: Call, by: str) -> Json:
        options = call.body or {}
        self._guard(call, found, options.get("preconditions", {}))
        bound_pod = place.resource == "pods" and found["spec"].get("nodeName") and options.get("gracePeriodSeconds") != 0
        if not bound_pod and not found["metadata"].get("finalizers"):
            return self._remove(place, found, by)
        if "deletionTimestamp" in found["metadata"]:
            return found
        stamp = {"metadata": {"deletionTimestamp": self.now().strftime("%Y-%m-%dT%H:%M:%SZ")}}
        return self._put(place, found, merged(found, stamp), by)

    def _guard(self, call: Call, found: Json, given: Mapping[str, Any]) -> None:
        meta = found["metadata"]
        for key in ("uid", "resourceVersion"):
            if given.get(key) and given[key] != meta[key]:
                raise refusal(call, 409, "Conflict", f"{key} is {meta[key]}, not {given[key]}")

    def _put(self, place: Place, old: Json | None, new: Json, by: str) -> Json:
        self.version += 1
        new = merged(new, {"metadata": {"resourceVersion": str(self.version)}})
        self.objects[place.collection, place.namespace, place.name] = new
        self._tell(Change(self.version, place.collection, old, new, by))
        return new

    def _remove(self, place: Place, last: Json, by: str) -> Json:
        self.version += 1
        del self.objects[place.collection, place.namespace, place.name]
        gone = merged(last, {"metadata": {"resourceVersion": str(self.version)}})
        self._tell(Change(self.version, place.collection, gone, None, by))
        return gone

    def _tell(self, change: Change) -> None:
        self.history.append(change)
        for event in self.changed:
            event.set()
        for observer in self.observers:
            observer(change)

    def compact(self) -> None:
        """Forget the history: watches from before must list again."""
        self.compacted = self.version
        self.history.clear()

    @contextmanager
    def notified(self) -> Iterator[asyncio.Event]:
        """An event that is set at every change."""
        event = asyncio.Event()
        self.changed.add(event)
        try:
            yield event
        finally:
            self.changed.discard(event)


class TwinApi(Api):
    """The product's client with the twin behind it. A process that is `dead` reaches nobody."""

    def __init__(self, twin: ApiTwin, name: str) -> None:
        super().__init__(ApiAccess("http://twin"), user_agent=name)
        self.twin, self.name = twin, name
        self.dead = False
        self.faults: deque[Fault] = deque()
        self.stalled: set[str] = set()
        self.cuts = 0
        self.seen: dict[str, int] = {}

    def server_time(self) -> datetime:
        """The twin's clock."""
        return self.twin.now()

    async def _send_once(self, call: Call) -> bytes:
        await asyncio.sleep(LATENCY)
        fault = self.faults.popleft() if self.faults and call.verb in WRITES else None
        if fault is Fault.SLOW:
            await asyncio.sleep(3.0)
        if self.dead or fault is Fault.LOST:
            raise Unavailable(str(call), Status(message="the twin cannot be reached"))
        if fault is Fault.REFUSED:
            raise refusal(call, 429, "TooManyRequests", "come back later")
        self.requests[call.verb, place_of(call.path).resource] += 1
        answer = json.dumps(self.twin.handle(call, self.name)).encode()
        if fault is Fault.UNHEARD:
            raise RequestTimeout(str(call), Status(message="no answer within 10 s"))
        await asyncio.sleep(LATENCY)
        return answer

    async def watch(self, path: str, query: Mapping[str, str], *, silence: float) -> AsyncGenerator[bytes, None]:  # noqa: ARG002 - the client's signature
        """The history from a version on, as it goes on; `stalled` collections stand still, a cut breaks every stream."""
        position, cuts = int(query["resourceVersion"]), self.cuts
        place = place_of(path)
        self.seen[place.collection] = position
        with self.twin.notified() as event:
            while True:
                if self.dead or cuts != self.cuts:
                    raise Unavailable(f"watch {path}", Status(message="the stream was cut"))
                if position < self.twin.compacted:
                    raise error_of(f"watch {path}", Status(code=410, reason="Expired", message="too old resource version"))
                if place.collection not in self.stalled:
                    for change in [one for one in self.twin.history if one.version > position]:
                        position = change.version
                        self.seen[place.collection] = position
                        if (line := line_of(change, place, query)) is not None:
                            yield line
                event.clear()
                await event.wait()

    def poke(self) -> None:
        """Have every stream look whether it was cut or goes on."""
        for event in self.twin.changed:
            event.set()


def line_of(change: Change, place: Place, query: Mapping[str, str]) -> bytes | None:
    """A change as a watcher with these selectors sees it."""
    if change.collection != place.collection:
        return None
    was = change.old is not None and inside(change.old, place) and selected(change.old, query)
    is_ = change.new is not None and inside(change.new, place) and selected(change.new, query)
    if not was and not is_:
        return None
    kind = "DELETED" if not is_ else "MODIFIED" if was else "ADDED"
    shown = change.new if change.new is not None else change.old
    return json.dumps({"type": kind, "object": shown}).encode()


def inside(thing: Json, place: Place) -> bool:
    """Whether an object is of the namespace that is watched."""
    return place.namespace in {"", thing["metadata"].get("namespace", "")}


def selected(thing: Json, query: Mapping[str, str]) -> bool:
    """Whether an object passes field and label selectors (`a.b=c`, `a.b!=c`)."""
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, wanted = term.replace("!=", "=!").partition("=")
        value: Any = thing
        for step in path.split("."):
            value = value.get(step, "") if isinstance(value, dict) else ""
        if (value == wanted.removeprefix("!")) == wanted.startswith("!"):
            return False
    labels = thing["metadata"].get("labels") or {}
    return all(
        labels.get(term.partition("=")[0]) == term.partition("=")[2]
        for term in filter(None, query.get("labelSelector", "").split(","))
    )


def merged(found: Json, patch: Mapping[str, Any]) -> Json:
    """RFC 7396."""
    result = dict(found)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            before = result.get(key)
            result[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[key] = value
    return result


def refusal(call: Call, code: int, reason: str, message: str) -> Exception:
    """A failed answer."""
    return error_of(str(call), Status(code=code, reason=reason, message=message))
