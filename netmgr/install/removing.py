"""I/O: takes netmgr out of a cluster, in an order in which nothing that is in use is lost.

First nobody may allocate any more, then it is looked whether something is allocated; only then nodes, routers and API are
cleaned. What is there without our label stays: somebody else made it.
"""

from __future__ import annotations

from netmgr.api.allocation import ALLOCATIONS, IPAllocation
from netmgr.api.delegation import DELEGATIONS, NodeDelegation
from netmgr.api.meta import Json, PartialObject
from netmgr.api.spider import POOLS, SUBNETS
from netmgr.api.workload import Pod
from netmgr.controller import codec
from netmgr.install.adopting import is_adopted, is_ours
from netmgr.install.installing import Installer, Progress, Rollout, Written, until
from netmgr.install.objects import (
    MANAGED_BY,
    MANAGER,
    Settings,
    cleanup,
    custom_resources,
    objects,
    path_of,
    title,
)
from netmgr.kube import paths
from netmgr.kube.client import Api, exists
from netmgr.kube.errors import NotFound

SELECTOR = f"{MANAGED_BY}={MANAGER}"
NAMED = 5  # addresses that a refusal lists


class InUseError(Exception):
    """Addresses are in use; nothing was removed."""


class Remover:
    """Takes netmgr out of one cluster."""

    def __init__(self, api: Api, settings: Settings, say: Progress, *, seconds: float = 180.0) -> None:
        self.api, self.settings, self.say, self.seconds = api, settings, say, seconds
        self.kinds, self.objects = custom_resources(), objects(settings)
        self.done: list[Written] = []

    async def run(self) -> list[Written]:
        """Remove everything; InUseError while an address is held."""
        parts = {one["metadata"]["name"]: one for one in self.objects if one["kind"] in {"Deployment", "DaemonSet"}}
        await self._refuse_in_use()
        for one in self.objects:
            if one["kind"].endswith("WebhookConfiguration"):  # nobody would answer it in a moment
                await self._delete(one)
        await self._delete(parts["netmgr-controller"])
        await self._gone("netmgr-controller")
        try:
            await self._refuse_in_use()
        except InUseError:
            await Installer(self.api, self.settings, self.say, seconds=self.seconds).run()
            raise
        await self._delete(parts["netmgr-speaker"])
        await self._delete(parts["netmgr-agent"])
        await self._gone("netmgr-speaker")
        await self._gone("netmgr-agent")
        await self._clean_nodes()
        await self._drop_finalizers()
        for one in reversed([*self.kinds, *self.objects]):
            await self._delete(one)
        for one in (*self.kinds, *(one for one in self.objects if one["kind"] == "Namespace")):
            await self._until_gone(one)
        return self.done

    async def _refuse_in_use(self) -> None:
        try:
            held = await self.api.list(ALLOCATIONS, IPAllocation)
        except NotFound:
            return
        if held:
            first = ", ".join(f"{one.metadata.name} ({one.spec.pod.namespace}/{one.spec.pod.name})" for one in held[:NAMED])
            more = f" and {len(held) - NAMED} more" if len(held) > NAMED else ""
            raise InUseError(
                f"{len(held)} addresses are in use: {first}{more}; delete these Pods' applications first. Nothing was removed"
            )
        await self._refuse_delegated()

    async def _refuse_delegated(self) -> None:
        """Without netmgr's plugin nobody would tell the fallback plugin of their end."""
        try:
            listed = {uid for one in await self.api.list(DELEGATIONS, NodeDelegation) for uid in one.spec.pods}
        except NotFound:
            return
        pods = [one for one in await self.api.list(paths.PODS, Pod) if codec.holder_uid(one) in listed] if listed else []
        if pods:
            first = ", ".join(f"{one.metadata.namespace}/{one.metadata.name}" for one in pods[:NAMED])
            more = f" and {len(pods) - NAMED} more" if len(pods) > NAMED else ""
            raise InUseError(
                f"{len(pods)} Pods have addresses of the fallback plugin through netmgr: {first}{more}; give the nodes another CNI "
                "configuration and have these Pods made again, or delete them. Nothing was removed"
            )

    async def _clean_nodes(self) -> None:
        one = cleanup(self.settings)
        if not await exists(self.api, paths.named(paths.NAMESPACES, self.settings.namespace)):
            return
        await self.api.apply(path_of(one), one, MANAGER, PartialObject, force=True)

        async def missing() -> str:
            found = await self.api.get(path_of(one), Rollout)
            return "" if found.finished else str(found)

        await until("the nodes to be clean", missing, self.say, self.seconds)
        await self._delete(one)
        await self._gone("netmgr-cleanup")

    async def _drop_finalizers(self) -> None:
        """Without a controller nobody else takes them off, and the kinds could never go."""
        for collection in (POOLS, SUBNETS):
            try:
                found = await self.api.list(collection, PartialObject)
            except NotFound:
                continue
            for one in found:
                kept = [name for name in one.metadata.finalizers or () if not name.startswith("netmgr.io/")]
                if kept != (one.metadata.finalizers or []):
                    body: Json = {"metadata": {"finalizers": kept, "uid": one.metadata.uid}}
                    await self.api.merge_patch(paths.named(collection, one.metadata.name), body, PartialObject)

    async def _delete(self, one: Json) -> None:
        """Delete an object of ours; one that is not there, or is not ours, is no error."""
        path = path_of(one)
        try:
            known = await self.api.get(path, PartialObject)
        except NotFound:
            return
        if is_adopted(known.metadata):
            self.done.append(Written(title(one), "kept"))
            self.say(f"{title(one)} kept with its objects: it was there before netmgr")
            return
        if not is_ours(known.metadata):
            self.done.append(Written(title(one), "kept"))
            self.say(f"{title(one)} kept: it lacks the label {SELECTOR}")
            return
        if known.metadata.deletion_timestamp:
            return
        await self.api.delete(path, uid=known.metadata.uid, options={"propagationPolicy": "Background"})
        self.done.append(Written(title(one), "deleted"))
        self.say(f"{title(one)} deleted")

    async def _gone(self, application: str) -> None:
        """Wait until no Pod of a component is left."""
        pods = paths.in_namespace(paths.PODS, self.settings.namespace)

        async def missing() -> str:
            left = await self.api.list(pods, PartialObject, label_selector=f"app={application}")
            return f"{len(left)} Pods of {application} are left" if left else ""

        await until(f"{application} to end", missing, self.say, self.seconds)

    async def _until_gone(self, one: Json) -> None:
        async def missing() -> str:
            try:
                known = await self.api.get(path_of(one), PartialObject)
            except NotFound:
                return ""
            return f"{title(one)} is still there" if is_ours(known.metadata) and not is_adopted(known.metadata) else ""

        await until(f"{title(one)} to go", missing, self.say, self.seconds)
