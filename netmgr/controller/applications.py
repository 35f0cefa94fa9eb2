"""Auto pools: each application that names a subnet has one pool per interface and family, of the size its replicas ask for.

I/O: the range is carved by a resourceVersion-guarded write to the subnet's status before the pool is created or grown; a pool
shrinks before the range is given back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ipam.annotations import AddressRequest, Source, parse_request
from ipam.application import Application, auto_pool_name
from ipam.carve import Carved, CarveShortage, SubnetBook, plan_carve
from ipam.errors import AnnotationError
from ipam.prefix import AddressFamily, RangeSet
from ipam.projection import controlled_pools
from ipam.size import desired_size
from netmgr.api import spider
from netmgr.api.meta import Json, ObjectReference
from netmgr.api.spider import LabelKeys, SpiderIPPool, SpiderSubnet
from netmgr.api.workload import Workload
from netmgr.controller import codec
from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.errors import NotFound
from netmgr.kube.events import EventRecorder

log = logging.getLogger(__name__)
LONGEST_LABEL = 63
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One auto pool as it should be."""

    name: str
    application: Application
    family: AddressFamily
    interface: str
    subnets: tuple[str, ...]
    size: int
    request: AddressRequest


class Applications:
    """Handler of the key "app": `Kind/namespace/name`."""

    def __init__(self, world: World, events: EventRecorder) -> None:
        self.world, self.events = world, events

    async def fit(self, key: str) -> float | None:
        """Make the application's pools what its template and replicas say, or remove them with it."""
        kind, _, object_key = key.partition("/")
        workloads = {"Deployment": self.world.deployments, "StatefulSet": self.world.stateful_sets}.get(kind)
        workload = workloads.store.get(object_key) if workloads is not None else None
        await self._remove_orphans(kind, object_key, workload)
        if workload is None or workload.metadata.deletion_timestamp or workload.spec.template.spec.host_network:
            return None
        application = codec.application_of(kind, workload)
        try:
            request = parse_request(workload.spec.template.metadata.annotations)
        except AnnotationError as error:
            self._tell(application, "BadAnnotation", str(error))
            return None
        again: float | None = None
        for wanted in wanted_pools(application, request, workload.spec.replicas if workload.spec.replicas is not None else 1):
            pending = await self._fit_pool(wanted)
            again = RETRY_SECONDS if pending else again
        return again

    async def _fit_pool(self, wanted: Wanted) -> bool:
        """Carve and write one pool; True if a shrink has to wait for addresses in use."""
        pool = self.world.pools.store.get(wanted.name)
        subnet = await self._subnet_for(wanted)
        if subnet is None:
            return False
        book = codec.book_of(subnet)
        ranges = {name: codec.ranges_of(wanted.family, texts) for name, (texts, _) in book.items()}
        ranges |= self._manual_ranges(subnet, ranges)
        verdict = self.world.verdicts()[0].get(subnet.metadata.name)
        if verdict is None or verdict.ranges is None:
            return False
        ledger = self.world.ledger(wanted.name)
        used = frozenset(ledger.held) if ledger is not None else frozenset()
        plan = plan_carve(
            SubnetBook(name=subnet.metadata.name, addresses=verdict.ranges, pools=ranges), wanted.name, wanted.size, used
        )
        if isinstance(plan, CarveShortage):
            self._tell(wanted.application, "SubnetFull", str(plan))
            return False
        self._clear(wanted.application)
        await self._write(wanted, subnet, pool, ranges.get(wanted.name, RangeSet(wanted.family)), plan)
        return plan.pending > 0

    async def _write(self, wanted: Wanted, subnet: SpiderSubnet, pool: SpiderIPPool | None, have: RangeSet, plan: Carved) -> None:
        """Grow: book first, then the pool. Shrink: the ledger, the pool, then the book."""
        if plan.ranges.size >= have.size:
            await self._book(subnet, wanted.name, plan.ranges.texts(), wanted.application.book_key)
            await self._write_pool(wanted, subnet, pool, plan.ranges)
            return
        self.world.shrink(wanted.name, plan.ranges)
        await self._write_pool(wanted, subnet, pool, plan.ranges)
        await self._book(subnet, wanted.name, plan.ranges.texts(), wanted.application.book_key)

    async def _subnet_for(self, wanted: Wanted) -> SpiderSubnet | None:
        """The subnet, read live: the one that has the pool already, else the first accepted one of the list."""
        verdicts = self.world.verdicts()[0]
        for name in wanted.subnets:
            known = self.world.subnets.store.get(name)
            if known is None:
                self._tell(
                    wanted.application,
                    "UnknownSubnet",
                    f"SpiderSubnet {name} does not exist; create it or correct ipam.spidernet.io/subnet",
                )
                continue
            verdict = verdicts.get(name)
            if verdict is None or not verdict.accepted:
                words = verdict.message if verdict else "is not accepted yet"
                self._tell(wanted.application, "SubnetNotAccepted", words)
                continue
            if codec.family_of(known.spec.subnet) is not wanted.family:
                self._tell(
                    wanted.application,
                    "WrongFamily",
                    f"SpiderSubnet {name} is not {wanted.family.word}; name it under its own family",
                )
                continue
            return await self.world.api.get(paths.named(spider.SUBNETS, name), SpiderSubnet)
        return None

    def _manual_ranges(self, subnet: SpiderSubnet, booked: dict[str, RangeSet]) -> dict[str, RangeSet]:
        verdicts = self.world.verdicts()[1]
        found: dict[str, RangeSet] = {}
        for name, pool in self.world.pools.store.items():
            verdict = verdicts.get(name)
            if name not in booked and pool.spec.subnet == subnet.spec.subnet and verdict and verdict.ranges:
                found[name] = verdict.ranges
        return found

    async def _book(self, subnet: SpiderSubnet, pool: str, ranges: list[str] | None, application: str) -> None:
        """Write one entry of the book (None removes it), guarded by the version it was planned on."""
        book = codec.book_of(subnet)
        before = dict(book)
        if ranges is None:
            book.pop(pool, None)
        else:
            book[pool] = (ranges, application)
        if book == before:
            return
        body: Json = {
            "metadata": {"resourceVersion": subnet.metadata.resource_version},
            "status": {"controlledIPPools": controlled_pools(book)},
        }
        await self.world.api.merge_patch(paths.named(spider.SUBNETS, subnet.metadata.name, "status"), body, SpiderSubnet)

    async def _write_pool(self, wanted: Wanted, subnet: SpiderSubnet, pool: SpiderIPPool | None, ranges: RangeSet) -> None:
        """Create the pool, or give it the new ranges."""
        texts = ranges.texts()
        if pool is None:
            await self.world.api.create(spider.POOLS, pool_body(wanted, subnet, texts), SpiderIPPool)
            return
        if pool.spec.ips != texts:
            body: Json = {"metadata": {"resourceVersion": pool.metadata.resource_version}, "spec": {"ips": texts}}
            await self.world.api.merge_patch(paths.named(spider.POOLS, pool.metadata.name), body, SpiderIPPool)

    async def _remove_orphans(self, kind: str, object_key: str, workload: Workload | None) -> None:
        """Delete auto pools of this name whose application is gone or another one, once nobody holds their addresses."""
        namespace, _, name = object_key.partition("/")
        book_key = f"apps_v1_{kind}_{namespace}_{name}"
        live = workload.metadata.uid if workload is not None else ""
        for pool in list(self.world.pools.store.values()):
            notes = pool.metadata.annotations or {}
            if notes.get(codec.APPLICATION) != book_key or notes.get(codec.APPLICATION_UID) == live:
                continue
            if notes.get(codec.RECLAIM) == "false" or self.world.by_pool.get(pool.metadata.name):
                continue
            if not pool.metadata.deletion_timestamp:
                path = paths.named(spider.POOLS, pool.metadata.name)
                try:
                    await self.world.api.delete(path, uid=pool.metadata.uid, resource_version=pool.metadata.resource_version)
                except NotFound:
                    log.info("pool already gone pool=%s", pool.metadata.name)
        await self._close_books(book_key, live)

    async def _close_books(self, book_key: str, live: str) -> None:
        """Give back ranges of pools that are gone."""
        for known in list(self.world.subnets.store.values()):
            gone = [
                name
                for name, (_, owner) in codec.book_of(known).items()
                if owner == book_key and name not in self.world.pools.store and not belongs(name, live)
            ]
            for name in gone:
                subnet = await self.world.api.get(paths.named(spider.SUBNETS, known.metadata.name), SpiderSubnet)
                await self._book(subnet, name, None, "")

    def _tell(self, application: Application, reason: str, message: str) -> None:
        """Say it on the workload, and to its Pods that wait."""
        self.events.record(reference(application), "Warning", reason, message)
        self.world.problems[application.book_key] = message
        self.world.wake_waiting()

    def _clear(self, application: Application) -> None:
        self.world.problems.pop(application.book_key, None)


def wanted_pools(application: Application, request: AddressRequest, replicas: int) -> list[Wanted]:
    """The pools that a request asks for, one per interface and family."""
    size = desired_size(request.number, replicas)
    return [
        Wanted(auto_pool_name(application, family, one.interface), application, family, one.interface, names, size, request)
        for one in request.interfaces
        if one.source is Source.SUBNET
        for family, names in one.names.items()
    ]


def belongs(pool: str, uid: str) -> bool:
    """Whether an auto pool's name ends in this UID's last group."""
    return bool(uid) and pool.endswith(uid.rpartition("-")[2])


def reference(application: Application) -> ObjectReference:
    """The application as the subject of an Event."""
    return ObjectReference(
        kind=application.kind,
        api_version=application.group_version,
        namespace=application.namespace,
        name=application.name,
        uid=application.uid,
    )


def pool_body(wanted: Wanted, subnet: SpiderSubnet, ranges: list[str]) -> Json:
    """A new auto pool, with the labels and the affinity that Spiderpool's tools look for."""
    application = wanted.application
    labels = {
        LabelKeys.OWNER_SUBNET: subnet.metadata.name,
        LabelKeys.APPLICATION_GV: application.group_version.replace("/", "_"),
        LabelKeys.APPLICATION_KIND: application.kind,
        LabelKeys.APPLICATION_NAMESPACE: application.namespace,
        LabelKeys.APPLICATION_NAME: application.name,
        LabelKeys.APPLICATION_UID: application.uid,
        LabelKeys.INTERFACE: wanted.interface,
        LabelKeys.IP_VERSION: wanted.family.word,
        LabelKeys.RECLAIM: str(wanted.request.reclaim).lower(),
    }
    group, _, version = application.group_version.rpartition("/")
    affinity = {
        "app-api-group": group,
        "app-api-version": version,
        "app-kind": application.kind,
        "app-namespace": application.namespace,
        "app-name": application.name,
    }
    spec: Json = {
        "ipVersion": wanted.family.number,
        "subnet": subnet.spec.subnet,
        "ips": ranges,
        "podAffinity": {"matchLabels": {LabelKeys.PREFIX + key: value for key, value in affinity.items()}},
    }
    if subnet.spec.gateway:
        spec["gateway"] = subnet.spec.gateway
    if subnet.spec.routes:
        spec["routes"] = [{"dst": route.dst, "gw": route.gw} for route in subnet.spec.routes]
    notes = {codec.APPLICATION: application.book_key, codec.APPLICATION_UID: application.uid}
    notes[codec.RECLAIM] = str(wanted.request.reclaim).lower()
    if wanted.request.number is not None:
        notes[LabelKeys.IP_NUMBER] = str(wanted.request.number)
    return {
        "apiVersion": spider.GROUP_VERSION,
        "kind": "SpiderIPPool",
        "metadata": {
            "name": wanted.name,
            "labels": {key: value for key, value in labels.items() if len(value) <= LONGEST_LABEL},
            "annotations": notes,
        },
        "spec": spec,
    }
