"""Auto pools: each application that names a subnet has one pool per interface and family, of the size its replicas ask for.

I/O: the range is carved by a resourceVersion-guarded write to the subnet's status before the pool is created or grown; a pool
shrinks before the range is given back. What pools an application wants and has is `netmgr.controller.auto_pools`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import msgspec

from ipam.annotations import AddressRequest, parse_request
from ipam.application import Application
from ipam.carve import Carved, CarveShortage, SubnetBook, plan_carve
from ipam.errors import AnnotationError
from ipam.networks import interface_names
from ipam.prefix import RangeSet, address_of_name
from ipam.size import desired_size
from netmgr.api import spider
from netmgr.api.spider import SpiderIPPool, SpiderSubnet
from netmgr.api.workload import Workload
from netmgr.controller import codec
from netmgr.controller.auto_pools import (
    Wanted,
    annotations_of,
    changes,
    home,
    is_of,
    outlives,
    pool_body,
    subnet_name,
    wanted_pools,
)
from netmgr.controller.books import Books
from netmgr.controller.kinds import KINDS, Kind, keeps_all_running, ordinals_of, parts_of, pods_at_once, surge, template_of
from netmgr.controller.owners import controller_of, goes_on, kind_of
from netmgr.controller.third_party import GRANT, has_template, read_live
from netmgr.controller.waiting import for_application
from netmgr.controller.world import Problem, World
from netmgr.kube import paths
from netmgr.kube.errors import ApiError, Forbidden, NotFound, Unavailable
from netmgr.kube.events import EventRecorder

log = logging.getLogger(__name__)
LATER = 60.0
"""Seconds until an application is looked at again whose kind cannot be read."""


@dataclass(frozen=True, slots=True)
class Unsized:
    """What an application wants cannot be told (yet): its pools stay as they are."""

    reason: str = ""
    message: str = ""
    again: float | None = None


class Applications:
    """Handler of the key "app": an application's book key."""

    def __init__(self, world: World, events: EventRecorder) -> None:
        self.world, self.events = world, events
        self.books = Books(world)

    async def fit(self, book_key: str) -> float | None:
        """Make the application's pools what its template and replicas say, or remove them with it."""
        parts = parts_of(book_key)
        kind = self.world.kind(parts[0]) if parts is not None else None
        self.world.asking.discard(book_key)
        if parts is None:
            return None
        if kind is None:
            return await self._meet(book_key)
        workload = self.world.live_workloads[kind.key].get(parts[1])
        if workload is None:
            return await self._end(book_key, kind, parts[1])
        if workload.metadata.deletion_timestamp:
            return None
        application = codec.application_of(kind.key, workload)
        try:
            wanted = await self._wanted(kind, workload, application)
        except AnnotationError as error:
            wanted = Unsized("BadAnnotation", str(error))
        if isinstance(wanted, Unsized):
            if wanted.message:
                self._tell(application, wanted.reason, wanted.message)
            return wanted.again
        if not wanted:  # what it lacked, it does not ask for any more
            self._clear(application)
        keep: set[str] = set()
        for one in wanted:
            keep |= await self._fit(one)
        await self._retire(book_key, keep)
        return None

    async def _meet(self, book_key: str) -> float | None:
        """Pools of a kind that nobody has watched since this process began; ranges of pools that are gone need no kind."""
        parts = parts_of(book_key)
        pools = self.world.pools_of(book_key)
        if parts is None or not (pools or self.world.third_party.is_asked_for(parts[0])):
            await self.books.close(book_key)
            return None
        problem = await self.world.third_party.follow(parts[0])
        if problem and not pools:
            await self.books.close(book_key)
            return None
        if problem:
            log.warning("pools_left_alone application=%s error=%s", book_key, problem)
            return LATER
        return await self.fit(book_key)

    async def _end(self, book_key: str, kind: Kind, object_key: str) -> float | None:
        """The copy shows no such application; its pools go only if the API server says so too."""
        for told in (self.world.problems, self.world.hints, self.world.asked):
            told.pop(book_key, None)
        if self.world.pools_of(book_key) and await read_live(self.world.api, kind, object_key) is not None:
            return 1.0
        await self._retire(book_key, keep=set())
        return None

    async def _wanted(self, kind: Kind, workload: Workload, application: Application) -> list[Wanted] | Unsized:
        """The pools that the template asks for; AnnotationError where it cannot be understood."""
        self.world.hints.pop(application.book_key, None)
        if template_of(workload).spec.host_network or is_part_of_another(kind, workload):
            return []
        annotations = template_of(workload).metadata.annotations if has_template(workload) else self._asked(application)
        if annotations is None and not has_template(workload):
            return Unsized()
        request = parse_request(annotations, interfaces=interface_names(annotations))
        if not request.wants_auto_pool:
            return []
        if not kind.built_in:
            object_key = f"{application.namespace}/{application.name}"
            try:
                replicas = await self.world.third_party.replicas(kind, object_key)
            except Forbidden:
                resource = kind.collection.rpartition("/")[2]
                words = f"the controller may not read the scale of {application}; grant get on {resource}/scale by a ClusterRole"
                return Unsized("SizeUnknown", f"{words} labelled {GRANT}", again=LATER)
            if replicas is None and (request.number is None or request.number.flexible):
                words = (
                    f"{application} has no scale that says how many Pods it runs, so its pool needs a size: "
                    'write ipam.spidernet.io/ippool-ip-number: "N" with the number of addresses'
                )
                return Unsized("SizeUnknown", words)
            workload = msgspec.structs.replace(workload, spec=msgspec.structs.replace(workload.spec, replicas=replicas or 0))
        return self._sized(kind, workload, application, request)

    def _sized(self, kind: Kind, workload: Workload, application: Application, request: AddressRequest) -> list[Wanted]:
        """One pool per interface and family, of the size that the replicas, a rollout and retained ordinals need."""
        pods = pods_at_once(kind, workload)
        size = desired_size(request.number, pods, surge(kind, workload))
        if request.number is not None and size == pods and keeps_all_running(kind, workload):
            self.world.hints[application.book_key] = (
                f"a rollout of {application} starts a new Pod before it ends an old one (maxUnavailable comes to 0), and the pool "
                f'has no address more than replicas; write ipam.spidernet.io/ippool-ip-number: "+1", or allow maxUnavailable 1'
            )
        retained = self._beyond(workload) if request.retain_ordinals and (request.number is None or request.number.flexible) else 0
        return wanted_pools(application, request, size + retained)

    def _beyond(self, workload: Workload) -> int:
        """Ordinals that were scaled away and keep their addresses."""
        present = ordinals_of(workload)
        held = self.world.by_owner.get(workload.metadata.uid, {}).values()
        return len({one.spec.claimant.ordinal for one in held if one.spec.claimant.ordinal not in present})

    def _asked(self, application: Application) -> dict[str, str] | None:
        """What the Pods' own annotations say, or said when the pools were made, where the application has no template."""
        asked = self.world.asked.get(application.book_key)
        return dict(asked) if asked is not None else annotations_of(self.world.pools_of(application.book_key))

    async def _fit(self, wanted: Wanted) -> set[str]:
        """Carve and write the pool of one interface and family; the names of pools that serve it and are to be left alone.

        A pool that exists stays in its subnet; what it cannot grow by there comes from the next subnet that has room for it. A new
        one goes to the first subnet that has room for all of it. A shrink that waits for addresses in use comes with their release.
        """
        pools = self.world.pools_of(wanted.application.book_key)
        at_home = home(wanted, pools)
        usable = [name for name in wanted.subnets if self._is_usable(wanted, name)]
        short: list[str] = []
        served: set[str] = set()
        left = wanted.size
        if at_home is not None:
            first = subnet_name(at_home)
            served.add(at_home.metadata.name)
            left -= await self._carve_what_fits(wanted, first, at_home, short)
            usable = [name for name in usable if name != first]
        for name in usable if left > 0 else ():
            pool = next(iter(wanted.pools_in((name,), pools)), None)
            made = await self._carve(replace(wanted, size=left), name, pool, short)
            if made:
                self._clear(wanted.application)
                if at_home is None:
                    self._tell_of_move(wanted, made, pools)
                return served | {made}
        if left > 0 and short:
            self._tell(wanted.application, "SubnetFull", "; ".join(short))
        elif left <= 0:
            self._clear(wanted.application)
        return served or {one.metadata.name for one in pools if wanted.is_for(one) and is_of(one, wanted.application)}

    async def _carve_what_fits(self, wanted: Wanted, subnet: str, pool: SpiderIPPool, short: list[str]) -> int:
        """Grow or shrink a pool where it is; the number of addresses that it has now, all that it wants if it could."""
        if not self._is_usable(wanted, subnet):
            return wanted.size
        async with self.books.of(subnet) as book:
            plan, have = self._plan(wanted, pool.metadata.name, book, wanted.size)
            got = wanted.size
            if isinstance(plan, CarveShortage):
                short.append(str(plan))
                got = self.world.unreserved(have).size + plan.free
                plan, have = self._plan(wanted, pool.metadata.name, book, got)
            if isinstance(plan, Carved):
                await self._write(wanted, pool.metadata.name, book, pool, have, plan)
        return got

    async def _carve(self, wanted: Wanted, subnet: str, pool: SpiderIPPool | None, short: list[str]) -> str:
        """Carve a pool out of a subnet, all of it or nothing; its name where it has been made or grown."""
        async with self.books.of(subnet) as book:
            name = wanted.name(subnet, self.world.pools.store) if pool is None else pool.metadata.name
            plan, have = self._plan(wanted, name, book, wanted.size)
            if isinstance(plan, CarveShortage):
                short.append(str(plan))
                return ""
            await self._write(wanted, name, book, pool, have, plan)
        return name

    def _plan(self, wanted: Wanted, name: str, subnet: SpiderSubnet, size: int) -> tuple[Carved | CarveShortage, RangeSet]:
        """What to carve out of an accepted subnet, and what the pool has there."""
        book = codec.book_of(subnet)
        have = codec.ranges_of(wanted.family, book[name][0]) if name in book else RangeSet(wanted.family)
        size += have.size - self.world.unreserved(have).size  # an address that was reserved later serves nobody
        if size == have.size:
            return Carved(have), have
        ranges = {pool: codec.ranges_of(wanted.family, texts) for pool, (texts, _) in book.items()}
        for other, found in self._manual_ranges(subnet, book).items():
            ranges[other] = found.union(ranges.get(other, RangeSet(wanted.family)))
        ledger = self.world.ledger(name)
        held = ledger.held if ledger is not None else [address_of_name(one).value for one in self.world.by_pool.get(name, ())]
        used = frozenset(held)
        addresses = self.world.unreserved(self.world.verdicts()[0][subnet.metadata.name].ranges or RangeSet(wanted.family))
        plan = plan_carve(SubnetBook(name=subnet.metadata.name, addresses=addresses, pools=ranges), name, size, used)
        return plan, have

    async def _write(
        self, wanted: Wanted, name: str, subnet: SpiderSubnet, pool: SpiderIPPool | None, have: RangeSet, plan: Carved
    ) -> None:
        """Grow: book first, then the pool. Shrink: the ledger, the pool, then the book."""
        texts, key = plan.ranges.texts(), wanted.application.book_key
        if plan.ranges.size >= have.size:
            self.world.end_shrink(name)
            written = await self.books.enter(subnet, name, texts, key)
            if not written and (pool is None or pool.spec.ips != texts):
                await self.books.confirm(subnet, name, texts)
            await self._write_pool(wanted, name, subnet, pool, texts)
            return
        self.world.shrink(name, plan.ranges)
        try:
            await self._write_pool(wanted, name, subnet, pool, texts)
        except ApiError as error:
            if not isinstance(error, Unavailable):  # else it may have been done
                self.world.end_shrink(name)
            raise
        await self.books.enter(subnet, name, texts, key)

    async def _write_pool(
        self, wanted: Wanted, name: str, subnet: SpiderSubnet, pool: SpiderIPPool | None, texts: list[str]
    ) -> None:
        """Create the pool, or patch what differs."""
        if pool is None:
            await self.world.api.create(spider.POOLS, pool_body(wanted, name, subnet, texts), SpiderIPPool)
        elif body := changes(wanted, pool, texts):
            body["metadata"] = {**body.get("metadata", {}), "resourceVersion": pool.metadata.resource_version}
            await self.world.api.merge_patch(paths.named(spider.POOLS, name), body, SpiderIPPool)

    def _tell_of_move(self, wanted: Wanted, name: str, pools: list[SpiderIPPool]) -> None:
        """A pool in another subnet: the application is told where its Pods go, and what becomes of the old pool."""
        old = [one for one in pools if wanted.is_for(one) and is_of(one, wanted.application)]
        for one in old:
            words = (
                f"Pods that name the subnet get addresses of SpiderIPPool {name} from now on; SpiderIPPool {one.metadata.name} "
                f"({subnet_name(one)}) serves the Pods that were made before and "
                + ("stays until it is deleted (ippool-reclaim is false)" if outlives(one) else "goes with the last of them")
            )
            self.events.record(codec.application_reference(wanted.application), "Normal", "SubnetChanged", words)

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

    def _manual_ranges(self, subnet: SpiderSubnet, book: dict[str, tuple[list[str], str]]) -> dict[str, RangeSet]:
        """What pools that people made have now: the book learns of it a moment later."""
        verdicts = self.world.verdicts()[1]
        found: dict[str, RangeSet] = {}
        for name in self.world.pools_in.get(subnet.spec.subnet, ()):
            verdict = verdicts.get(name)
            if not (name in book and book[name][1]) and verdict and verdict.ranges:
                found[name] = verdict.ranges
        return found

    async def _retire(self, owner: str, keep: set[str]) -> None:
        """Delete the application's other auto pools once nobody holds their addresses, and close their entries in the books."""
        for pool in self.world.pools_of(owner):
            name = pool.metadata.name
            if name in keep or outlives(pool) or self.world.by_pool.get(name) or pool.metadata.deletion_timestamp:
                continue
            try:
                await self.world.api.delete(
                    paths.named(spider.POOLS, name), uid=pool.metadata.uid, resource_version=pool.metadata.resource_version
                )
            except NotFound:
                log.info("pool already gone pool=%s", name)
        await self.books.close(owner)

    def _tell(self, application: Application, reason: str, message: str) -> None:
        """Say it on the workload, and to its Pods that wait."""
        self.events.record(codec.application_reference(application), "Warning", reason, message)
        problem = Problem(reason, message)
        if self.world.problems.get(application.book_key) != problem:
            self.world.problems[application.book_key] = problem
            self.world.wake(for_application(application.book_key))

    def _clear(self, application: Application) -> None:
        self.world.problems.pop(application.book_key, None)


def is_part_of_another(kind: Kind, workload: Workload) -> bool:
    """Whether what controls it is the application, whose pools serve its Pods."""
    above = controller_of(workload.metadata)
    known = KINDS.get(kind.key)
    if above is None or (known is not None and not known.is_revision):
        return False
    return goes_on(kind.key, kind_of(above))
