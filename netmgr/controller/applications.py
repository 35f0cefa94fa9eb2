"""Auto pools: each application that names a subnet has one pool per interface and family, of the size its replicas ask for.

I/O: the range is carved by a resourceVersion-guarded write to the subnet's status before the pool is created or grown; a pool
shrinks before the range is given back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ipam.annotations import AddressRequest, Source, parse_request
from ipam.application import Application
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
from netmgr.controller.kinds import KINDS, pods_at_once, surge, template_of
from netmgr.controller.owners import controller_of
from netmgr.controller.world import Problem, World
from netmgr.kube import paths
from netmgr.kube.errors import NotFound
from netmgr.kube.events import EventRecorder

log = logging.getLogger(__name__)
LONGEST_LABEL = 63
RETRY_SECONDS = 1.0
Naming = Callable[[Application, AddressFamily, str], str]
"""What the pool of an application, family and interface is called."""


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
        if kind not in KINDS:
            return None
        workload = self.world.live_workloads[kind].get(object_key)
        await self._remove_orphans(kind, object_key, workload)
        if workload is None:
            self.world.problems.pop(book_key(kind, object_key), None)
            return None
        if workload.metadata.deletion_timestamp or is_part_of_another(kind, workload):
            return None
        template = template_of(workload)
        if template.spec.host_network:
            return None
        application = codec.application_of(kind, workload)
        try:
            request = parse_request(template.metadata.annotations)
        except AnnotationError as error:
            self._tell(application, "BadAnnotation", str(error))
            return None
        again: float | None = None
        size = desired_size(request.number, pods_at_once(kind, workload), surge(kind, workload))
        for wanted in wanted_pools(application, request, size, self.world.auto_pool):
            pending = await self._fit_pool(wanted)
            again = RETRY_SECONDS if pending else again
        return again

    async def _fit_pool(self, wanted: Wanted) -> bool:
        """Carve and write one pool, in the first of its subnets that has room; True if a shrink waits for addresses in use."""
        pool = self.world.pools.store.get(wanted.name)
        short: list[str] = []
        for subnet in await self._subnets_for(wanted, pool):
            plan, have = self._plan(wanted, subnet)
            if isinstance(plan, CarveShortage):
                short.append(str(plan))
                continue
            self._clear(wanted.application)
            await self._write(wanted, subnet, pool, have, plan)
            return plan.pending > 0
        if short:
            self._tell(wanted.application, "SubnetFull", "; ".join(short))
        return False

    def _plan(self, wanted: Wanted, subnet: SpiderSubnet) -> tuple[Carved | CarveShortage, RangeSet]:
        """What to carve out of an accepted subnet, and what the pool has there."""
        book = codec.book_of(subnet)
        ranges = {name: codec.ranges_of(wanted.family, texts) for name, (texts, _) in book.items()}
        ranges |= self._manual_ranges(subnet, ranges)
        ledger = self.world.ledger(wanted.name)
        used = frozenset(ledger.held) if ledger is not None else frozenset()
        addresses = self.world.unreserved(self.world.verdicts()[0][subnet.metadata.name].ranges or RangeSet(wanted.family))
        have = ranges.get(wanted.name, RangeSet(wanted.family))
        size = wanted.size + have.size - self.world.unreserved(have).size  # an address that was reserved later serves nobody
        plan = plan_carve(SubnetBook(name=subnet.metadata.name, addresses=addresses, pools=ranges), wanted.name, size, used)
        return plan, have

    async def _write(self, wanted: Wanted, subnet: SpiderSubnet, pool: SpiderIPPool | None, have: RangeSet, plan: Carved) -> None:
        """Grow: book first, then the pool. Shrink: the ledger, the pool, then the book."""
        if plan.ranges.size >= have.size:
            await self._book(subnet, wanted.name, plan.ranges.texts(), wanted.application.book_key)
            await self._write_pool(wanted, subnet, pool, plan.ranges)
            return
        self.world.shrink(wanted.name, plan.ranges)
        await self._write_pool(wanted, subnet, pool, plan.ranges)
        await self._book(subnet, wanted.name, plan.ranges.texts(), wanted.application.book_key)

    async def _subnets_for(self, wanted: Wanted, pool: SpiderIPPool | None) -> list[SpiderSubnet]:
        """The subnets to try, in the user's order, read live. A pool that exists stays in its own."""
        usable = [name for name in wanted.subnets if self._is_usable(wanted, name)]
        if pool is not None:
            home = [name for name in usable if self.world.subnets.store[name].spec.subnet == pool.spec.subnet]
            if usable and not home:
                words = f"SpiderIPPool {wanted.name} lies in {pool.spec.subnet}, and no subnet of that prefix is named any more"
                remedy = "name it again, or delete the application and make it anew to have a pool in another subnet"
                self._tell(wanted.application, "SubnetChanged", f"{words}; {remedy}")
            usable = home
        return [await self.world.api.get(paths.named(spider.SUBNETS, name), SpiderSubnet) for name in usable]

    def _is_usable(self, wanted: Wanted, name: str) -> bool:
        """Whether a subnet may serve the pool; where it may not, the application is told why."""
        known = self.world.subnets.store.get(name)
        if known is None:
            words = f"SpiderSubnet {name} does not exist; create it or correct ipam.spidernet.io/subnet"
            self._tell(wanted.application, "UnknownSubnet", words)
            return False
        verdict = self.world.verdicts()[0].get(name)
        if verdict is None or not verdict.accepted:
            words = f"SpiderSubnet {name} is not accepted yet; look at its conditions if this lasts"
            self._tell(wanted.application, "SubnetNotAccepted", verdict.message if verdict else words)
            return False
        if codec.family_of(known.spec.subnet) is not wanted.family:
            words = f"SpiderSubnet {name} is not {wanted.family.word}; name it under its own family"
            self._tell(wanted.application, "WrongFamily", words)
            return False
        return True

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
        owner = book_key(kind, object_key)
        live = workload.metadata.uid if workload is not None else ""
        for pool in list(self.world.pools.store.values()):
            notes = pool.metadata.annotations or {}
            if notes.get(codec.APPLICATION) != owner or notes.get(codec.APPLICATION_UID) == live:
                continue
            if notes.get(codec.RECLAIM) == "false" or self.world.by_pool.get(pool.metadata.name):
                continue
            if not pool.metadata.deletion_timestamp:
                path = paths.named(spider.POOLS, pool.metadata.name)
                try:
                    await self.world.api.delete(path, uid=pool.metadata.uid, resource_version=pool.metadata.resource_version)
                except NotFound:
                    log.info("pool already gone pool=%s", pool.metadata.name)
        await self._close_books(owner, live)

    async def _close_books(self, application: str, live: str) -> None:
        """Give back ranges of pools that are gone."""
        for known in list(self.world.subnets.store.values()):
            gone = [
                name
                for name, (_, owner) in codec.book_of(known).items()
                if owner == application and name not in self.world.pools.store and not belongs(name, live)
            ]
            for name in gone:
                subnet = await self.world.api.get(paths.named(spider.SUBNETS, known.metadata.name), SpiderSubnet)
                await self._book(subnet, name, None, "")

    def _tell(self, application: Application, reason: str, message: str) -> None:
        """Say it on the workload, and to its Pods that wait."""
        self.events.record(reference(application), "Warning", reason, message)
        self.world.problems[application.book_key] = Problem(reason, message)
        self.world.wake_waiting()

    def _clear(self, application: Application) -> None:
        self.world.problems.pop(application.book_key, None)


def book_key(kind: str, object_key: str) -> str:
    """The entry of a subnet's book for `namespace/name` of a kind."""
    namespace, _, name = object_key.partition("/")
    return f"{KINDS[kind].group_version.replace('/', '_')}_{kind}_{namespace}_{name}"


def is_part_of_another(kind: str, workload: Workload) -> bool:
    """Whether a Deployment or CronJob made it, whose pools serve its Pods."""
    above = controller_of(workload.metadata)
    return above is not None and above.kind == KINDS[kind].parent


def wanted_pools(application: Application, request: AddressRequest, size: int, name: Naming) -> list[Wanted]:
    """The pools that a request asks for, one per interface and family."""
    return [
        Wanted(name(application, family, one.interface), application, family, one.interface, subnets, size, request)
        for one in request.interfaces
        if one.source is Source.SUBNET
        for family, subnets in one.names.items()
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
