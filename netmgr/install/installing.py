"""I/O: applies netmgr to a cluster and waits until it works. Idempotent: what is there already is not written again.

Server-side apply with our own field manager: fields that others own stay theirs, an unchanged object keeps its resourceVersion.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from netmgr.api.meta import Json, Meta, PartialObject
from netmgr.api.workload import Lease
from netmgr.install.objects import (
    COLLECTIONS,
    MANAGED_BY,
    MANAGER,
    Settings,
    custom_resources,
    defaults,
    objects,
    path_of,
    title,
)
from netmgr.install.spiderpool import writers
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import AlreadyExists, Conflict, NotFound, Unavailable

OLDEST = (1, 31)
POLL_SECONDS = 0.2
TOLD_SECONDS = 2.0
Progress = Callable[[str], None]


class InstallError(Exception):
    """Installation cannot go on; the message says what was found and what to do."""


@dataclass(frozen=True, slots=True)
class Written:
    """One object and what became of it: created, configured, unchanged, or kept (it is the administrator's)."""

    object: str
    result: str


class Installer:
    """Puts netmgr into one cluster. `seconds` bounds each wait; `dry_run` asks the API server and changes nothing."""

    def __init__(self, api: Api, settings: Settings, say: Progress, *, seconds: float = 180.0, dry_run: bool = False) -> None:
        self.api, self.say, self.seconds, self.dry_run = api, say, seconds, dry_run
        self.namespace = settings.namespace
        self.kinds, self.objects, self.once = custom_resources(), objects(settings), defaults(settings)

    async def run(self) -> list[Written]:
        """Check, apply, wait; InstallError where the cluster is not one that netmgr can be put into."""
        await self._refuse_unfit()
        done = [await self._apply(one) for one in self.kinds]
        if not self.dry_run:
            await self._until("the kinds to be served", self._kinds_served)
        done += [await self._apply(one) for one in self.objects]
        done += [await self._make_once(one) for one in self.once]
        if not self.dry_run:
            await self._until("controller, agents and speakers", self._pods_ready)
            await self._until("a leading controller", self._leader_there)
            await self._until("the webhook's authority", self._webhook_trusted)
        return done

    async def _refuse_unfit(self) -> None:
        version = await self.api.get("/version", dict[str, str])
        found = (int(version["major"]), int(version["minor"].rstrip("+")))
        if found < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise InstallError(
                f"the API server is Kubernetes {found[0]}.{found[1]}; netmgr needs {wanted} or newer: upgrade the cluster first"
            )
        for one in self.kinds:
            try:
                known = await self.api.get(path_of(one), PartialObject)
            except NotFound:
                continue
            if (known.metadata.labels or {}).get(MANAGED_BY) != MANAGER:
                raise InstallError(
                    f"CustomResourceDefinition {known.metadata.name} belongs to another product (it lacks the label "
                    f"{MANAGED_BY}={MANAGER}); two products cannot own one kind: take Spiderpool's over with `netmgr import "
                    "spiderpool`, or remove the other product and its CRDs first"
                )
        running = await writers(self.api)
        if running:
            raise InstallError(f"Spiderpool still runs, and it owns the same kinds: {'; '.join(running)}")

    async def _apply(self, one: Json) -> Written:
        before = await self._present(one)
        try:
            after = await self.api.apply(path_of(one), one, MANAGER, dict[str, Any], force=True, dry_run=self.dry_run)
        except NotFound:
            if self.dry_run:  # its namespace or kind would be there by now
                return self._tell(one, "created")
            raise
        except Conflict as error:
            raise InstallError(f"{title(one)}: {error.message}") from error
        if before is None:
            return self._tell(one, "created")
        return self._tell(one, "unchanged" if essence(after) == essence(before) else "configured")

    async def _make_once(self, one: Json) -> Written:
        if await self._present(one) is not None:
            return self._tell(one, "kept")
        if not self.dry_run:
            try:
                await self.api.create(COLLECTIONS[one["kind"]], one, PartialObject)
            except AlreadyExists:
                return self._tell(one, "kept")
        return self._tell(one, "created")

    async def _present(self, one: Json) -> Json | None:
        try:
            return await self.api.get(path_of(one), dict[str, Any])
        except NotFound:
            return None

    def _tell(self, one: Json, result: str) -> Written:
        self.say(f"{title(one)} {result}{' (dry run)' if self.dry_run else ''}")
        return Written(title(one), result)

    async def _kinds_served(self) -> str:
        for one in self.kinds:
            spec = one["spec"]
            try:
                await self.api.list_page(
                    f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}", PartialObject, limit=1
                )
            except NotFound:
                return f"{one['metadata']['name']} is not served yet"
        return ""

    async def _pods_ready(self) -> str:
        for one in self.objects:
            if one["kind"] in {"Deployment", "DaemonSet"}:
                found = await self.api.get(path_of(one), Rollout)
                if not found.finished:
                    return f"{title(one)}: {found}"
        return ""

    async def _leader_there(self) -> str:
        path = paths.named(paths.LEASES, "netmgr-controller", namespace=self.namespace)
        try:
            lease = await self.api.get(path, Lease)
        except NotFound:
            return "no controller leads yet"
        return "" if lease.spec.holder_identity else "no controller leads yet"

    async def _webhook_trusted(self) -> str:
        """Until then the API server does not ask the webhook, and mistakes pass."""
        for one in self.objects:
            if one["kind"].endswith("WebhookConfiguration"):
                found = await self.api.get(path_of(one), dict[str, Any])
                if not all(hook["clientConfig"].get("caBundle") for hook in found["webhooks"]):
                    return f"{title(one)} has no caBundle yet; the leading controller writes it"
        return ""

    async def _until(self, what: str, missing: Callable[[], Awaitable[str]]) -> None:
        await until(what, missing, self.say, self.seconds)


def essence(one: Json) -> Json:
    """The object without what the API server keeps about writes: a dry run gives no new resourceVersion to compare."""
    metadata = {key: value for key, value in one["metadata"].items() if key not in {"managedFields", "resourceVersion"}}
    return {**{key: value for key, value in one.items() if key != "status"}, "metadata": metadata}


class RolloutSpec(msgspec.Struct, frozen=True):
    """`spec` of a Deployment (a DaemonSet has no replicas)."""

    replicas: int | None = None


class RolloutStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How far a Deployment or DaemonSet is."""

    observed_generation: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    desired_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_ready: int = 0


class Rollout(msgspec.Struct, frozen=True):
    """A Deployment or DaemonSet on its way."""

    metadata: Meta
    spec: RolloutSpec = RolloutSpec()
    status: RolloutStatus = RolloutStatus()

    @property
    def wanted(self) -> int:
        """Pods there should be."""
        return self.status.desired_number_scheduled if self.spec.replicas is None else self.spec.replicas

    @property
    def finished(self) -> bool:
        """Whether all Pods are of the present template and ready. A cluster without nodes has finished DaemonSets."""
        status = self.status
        updated = max(status.updated_replicas, status.updated_number_scheduled)
        ready = max(status.ready_replicas, status.number_ready)
        return status.observed_generation >= self.metadata.generation and updated >= self.wanted and ready >= self.wanted

    def __str__(self) -> str:
        ready = max(self.status.ready_replicas, self.status.number_ready)
        return f"{ready} of {self.wanted} ready"


async def until(what: str, missing: Callable[[], Awaitable[str]], say: Progress, seconds: float) -> None:
    """Wait until nothing is missing, with a line of progress each two seconds; InstallError says what was missing last."""
    began = told = time.monotonic()
    while True:
        try:
            lacking = await missing()
        except Unavailable as error:
            lacking = str(error)
        if not lacking:
            return
        now = time.monotonic()
        if now - began > seconds:
            raise InstallError(
                f"waiting for {what}: {lacking} after {seconds:g} s; see `kubectl get pods,events` in netmgr's namespace"
            )
        if now - told > TOLD_SECONDS:
            say(f"waiting for {what}: {lacking} ({now - began:.0f} s)")
            told = now
        await asyncio.sleep(POLL_SECONDS)
