"""Workload kinds of third parties (Rollout, CloneSet, VirtualMachine), learnt from the API server when a Pod first leads there.

I/O: discovery of the kind, then one reflector for each; the `scale` subresource where a kind has one. What netmgr may not read is
said with the words that grant it. Nothing here is guessed from a kind's name.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from ipam.errors import quoted
from netmgr.api.meta import LabelSelector
from netmgr.api.workload import PodTemplate, RollingUpdate, Scale, ThirdPartyObject, UpdateStrategy, Workload, WorkloadSpec
from netmgr.controller.kinds import MACHINES, Kind, KindKey
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import Forbidden, NotFound
from netmgr.kube.reflector import Reflector
from netmgr.kube.store import EventKind, key_of

log = logging.getLogger(__name__)
T = TypeVar("T")
FIRST_LIST_SECONDS, REFUSED_SECONDS = 10.0, 30.0
GROUP_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?v[0-9][a-z0-9]{0,61}")
GRANT = 'netmgr.io/aggregate-to-controller: "true"'

OnWorkload = Callable[[EventKind, Workload, Workload | None], None]


class Resource(msgspec.Struct, frozen=True):
    """One resource of an API group version; subresources are listed as `<plural>/<subresource>`."""

    name: str
    kind: str
    namespaced: bool = False


class ResourceList(msgspec.Struct, frozen=True):
    """metav1.APIResourceList."""

    resources: list[Resource] = []


class ThirdParty:
    """`follow` a kind once; afterwards its objects are in `workloads`, and `tell(kind)` hears of each change."""

    def __init__(self, api: Api, workloads: dict[KindKey, dict[str, Workload]], tell: Callable[[Kind], OnWorkload]) -> None:
        self._api, self._workloads, self._tell = api, workloads, tell
        self.kinds: dict[KindKey, Kind] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._locks: dict[KindKey, asyncio.Lock] = {}
        self._refused: dict[KindKey, tuple[str, float]] = {}

    def is_asked_for(self, key: KindKey) -> bool:
        """Whether somebody wanted to follow the kind: its first list may be under way."""
        return key in self._locks

    async def follow(self, key: KindKey) -> str:
        """Watch a kind from now on; empty, or the words that say why it cannot be watched. A refusal holds for half a minute."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key in self.kinds:
                return ""
            words, until = self._refused.get(key, ("", 0.0))
            if until > asyncio.get_running_loop().time():
                return words
            words = await self._begin(key)
            self._refused[key] = (words, asyncio.get_running_loop().time() + REFUSED_SECONDS)
            return words

    async def _begin(self, key: KindKey) -> str:
        try:
            kind = await discover(self._api, key)
            if isinstance(kind, str):
                return kind
            await self._api.list_page(kind.collection, msgspec.Raw, limit=1)
        except Forbidden:
            return (
                f"the controller may not read {key[1]} of {key[0]}; grant get, list and watch on it, and get on its scale, "
                f"by a ClusterRole labelled {GRANT}"
            )
        return await self._watch(kind)

    async def _watch(self, kind: Kind) -> str:
        copy: dict[str, Workload] = {}
        tell = self._tell(kind)

        def hear(event: EventKind, one: ThirdPartyObject, old: ThirdPartyObject | None) -> None:
            workload = workload_of(one)
            if event is EventKind.DELETED:
                copy.pop(key_of(one.metadata), None)
            else:
                copy[key_of(one.metadata)] = workload
            tell(event, workload, workload_of(old) if old is not None else None)

        reflector = Reflector(self._api, kind.collection, ThirdPartyObject, on_event=hear)
        task = asyncio.create_task(reflector.run())
        try:
            await asyncio.wait_for(reflector.synced.wait(), FIRST_LIST_SECONDS)
        except TimeoutError:
            task.cancel()
            return f"{kind.name} of {kind.group_version} could not be listed within {FIRST_LIST_SECONDS:g} s"
        self._tasks.append(task)
        self._workloads[kind.key], self.kinds[kind.key] = copy, kind
        log.info("kind_followed kind=%s group_version=%s objects=%d", kind.name, kind.group_version, len(copy))
        return ""

    async def replicas(self, kind: Kind, object_key: str) -> int | None:
        """Pods that an object asks for, read live from its scale; None where the kind has none. A machine has one Pod."""
        if kind.name in MACHINES:
            return 1
        if not kind.has_scale:
            return None
        namespace, _, name = object_key.partition("/")
        return (await self._api.get(paths.named(kind.collection, name, "scale", namespace=namespace), Scale)).spec.replicas

    async def stop(self) -> None:
        """End all watches."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def discover(api: Api, key: KindKey) -> Kind | str:
    """The kind's plural and whether it has a scale."""
    group_version, name = key
    if not GROUP_VERSION.fullmatch(group_version):  # an ownerReference's author chose it, and it becomes a path
        return f"{quoted(group_version)} is no group and version of an API, where {quoted(name)} should be"
    root = "/apis" if "/" in group_version else "/api"
    try:
        found = await api.get(f"{root}/{group_version}", ResourceList)
    except NotFound:
        return f"the API server does not know {group_version}, where {name} should be"
    one = next((one for one in found.resources if one.kind == name and "/" not in one.name), None)
    if one is None or not one.namespaced:
        return f"{name} of {group_version} is no namespaced kind that could run Pods"
    scale = any(other.name == f"{one.name}/scale" for other in found.resources)
    return Kind(name, group_version, f"{root}/{group_version}/{one.name}", built_in=False, has_scale=scale)


def workload_of(one: ThirdPartyObject) -> Workload:
    """The object in the shape of the built-in kinds, as far as its spec has their fields in their meaning."""
    spec = one.spec or {}
    template = field(spec, "template", PodTemplate) or PodTemplate()
    selector = field(spec, "selector", LabelSelector) or LabelSelector()
    asked = max_surge(spec.get("strategy")) or max_surge(spec.get("updateStrategy"))
    strategy = UpdateStrategy(rolling_update=RollingUpdate(max_surge=asked)) if asked is not None else UpdateStrategy()
    return Workload(metadata=one.metadata, spec=WorkloadSpec(selector=selector, template=template, strategy=strategy))


def has_template(workload: Workload) -> bool:
    """Whether the workload says what its Pods' annotations are."""
    return workload.spec.template != PodTemplate() or workload.spec.job_template is not None


def field(spec: Mapping[str, Any], name: str, type_: type[T]) -> T | None:
    """One field, or nothing where it is not of that shape."""
    with suppress(msgspec.ValidationError):
        return msgspec.convert(spec.get(name), type_)
    return None


def max_surge(strategy: object) -> int | str | None:
    """`maxSurge` of a strategy, or of the one member that carries it (Rollout: `canary`; Deployment: `rollingUpdate`)."""
    if not isinstance(strategy, Mapping):
        return None
    places = [strategy, *(one for one in strategy.values() if isinstance(one, Mapping))]
    found = next((one["maxSurge"] for one in places if isinstance(one.get("maxSurge"), int | str)), None)
    return None if isinstance(found, bool) else found


async def read_live(api: Api, kind: Kind, object_key: str) -> Workload | None:
    """A live read; None only where the API server says that there is no such object."""
    namespace, _, name = object_key.partition("/")
    path = paths.named(kind.collection, name, namespace=namespace)
    try:
        if kind.built_in:
            return await api.get(path, Workload)
        return workload_of(await api.get(path, ThirdPartyObject))
    except NotFound:
        return None
