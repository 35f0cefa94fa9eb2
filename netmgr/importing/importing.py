"""I/O: takes over a cluster's addresses from Spiderpool, in an order in which an address is never anybody's and nobody's.

Webhooks of a controller that is gone, the kinds, the allocations, and only then what holds Spiderpool's objects back. Each step
finds what an interrupted run has done already.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from netmgr.api import allocation
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Json, PartialObject
from netmgr.importing.found import Finding
from netmgr.importing.objects import Change, changes, remarks
from netmgr.importing.plan import plan
from netmgr.importing.reading import read
from netmgr.install.adopting import adopt_kinds
from netmgr.install.installing import Progress, until
from netmgr.install.spiderpool import webhooks, writers
from netmgr.kube.client import Api
from netmgr.kube.errors import AlreadyExists, Conflict, Invalid, NotFound

AT_ONCE = 16
TOLD_SECONDS = 2.0


class RefusedError(Exception):
    """Spiderpool still writes; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was done, or would be. `running` is what of Spiderpool still runs."""

    subnets: int
    pools: int
    endpoints: int
    pods: int
    known: int
    allocations: tuple[Json, ...]
    changed: tuple[str, ...]
    findings: tuple[Finding, ...]
    running: tuple[str, ...]

    @property
    def conflicts(self) -> list[Finding]:
        """Findings that somebody should look at."""
        return [one for one in self.findings if not one.harmless]


class Importer:
    """One import. `even_if_running`: the administrator takes it on himself that Spiderpool writes meanwhile."""

    def __init__(self, api: Api, say: Progress, *, dry_run: bool, even_if_running: bool = False, seconds: float = 60.0) -> None:
        self.api, self.say, self.seconds = api, say, seconds
        self.dry_run, self.even_if_running = dry_run, even_if_running

    async def run(self) -> Report:
        """Look, decide, write; RefusedError where Spiderpool still runs."""
        running = await writers(self.api)
        if running and not self.dry_run and not self.even_if_running:
            raise RefusedError("Spiderpool still runs, and would write behind netmgr's back: " + "; ".join(running))
        done = [*await self._webhooks(), *await adopt_kinds(self.api, dry_run=self.dry_run)]
        if not self.dry_run:
            await until("the kinds to be served", self._served, self.say, self.seconds)
        async with self._telling("reading the cluster"):
            found = await read(self.api)
        decided = plan(found)
        patches = changes(found, decided.used)
        lost = [] if self.dry_run else await self._write(decided.allocations, patches)
        return Report(
            subnets=len(found.subnets),
            pools=len(found.pools),
            endpoints=len(found.endpoints),
            pods=len(found.pods),
            known=decided.known,
            allocations=decided.allocations,
            changed=(*done, *(one.title for one in patches)),
            findings=(*decided.findings, *remarks(found, decided.used), *lost),
            running=tuple(running),
        )

    async def _webhooks(self) -> list[str]:
        """Remove what would ask a controller that is gone about each write."""
        done: list[str] = []
        for path, meta in await webhooks(self.api):
            if not self.dry_run:
                await self.api.delete(path, uid=meta.uid)
            done.append(f"{path.split('/')[4].removesuffix('s')}/{meta.name} deleted")
        return done

    @asynccontextmanager
    async def _telling(self, what: str) -> AsyncIterator[None]:
        """A line of progress each two seconds while the block runs."""

        async def tell() -> None:
            began = time.monotonic()
            while True:
                await asyncio.sleep(TOLD_SECONDS)
                self.say(f"{what} ({time.monotonic() - began:.0f} s)")

        telling = asyncio.create_task(tell())
        try:
            yield
        finally:
            telling.cancel()

    async def _served(self) -> str:
        try:
            await self.api.list_page(allocation.ALLOCATIONS, PartialObject, limit=1)
        except NotFound:
            return "ipallocations.netmgr.io is not served yet"
        return ""

    async def _write(self, allocations: Iterable[Json], patches: Iterable[Change]) -> list[Finding]:
        """Allocations first; then what lets Spiderpool's objects go. What somebody changed meanwhile is for the next run."""
        lost = await self._all("addresses taken over", [self._create(one) for one in allocations])
        return lost + await self._all("objects changed", [self._change(one) for one in patches])

    async def _all(self, what: str, work: list[Awaitable[Finding | None]]) -> list[Finding]:
        """Some at a time, with a line of progress each two seconds."""
        limit, told = asyncio.Semaphore(AT_ONCE), time.monotonic()
        found: list[Finding] = []

        async def one(job: Awaitable[Finding | None]) -> Finding | None:
            async with limit:
                return await job

        for count, job in enumerate(asyncio.as_completed([one(job) for job in work]), 1):
            finding = await job
            found += [finding] if finding is not None else []
            if time.monotonic() - told > TOLD_SECONDS:
                self.say(f"{count} of {len(work)} {what}")
                told = time.monotonic()
        return found

    async def _create(self, body: Json) -> Finding | None:
        try:
            await self.api.create(allocation.ALLOCATIONS, body, IPAllocation)
        except AlreadyExists:
            return again(f"address {body['spec']['address']}", "was allocated meanwhile")
        except Invalid as error:
            return invalid(f"address {body['spec']['address']}", error, "it is not taken over")
        return None

    async def _change(self, one: Change) -> Finding | None:
        try:
            await self.api.merge_patch(one.path, {"metadata": one.metadata}, PartialObject)
        except NotFound:
            return None
        except Conflict:
            return again(one.title, "was changed meanwhile")
        except Invalid as error:
            return invalid(one.title, error, "it keeps Spiderpool's finalizer")
        return None


def invalid(what: str, error: Invalid, outcome: str) -> Finding:
    """Something in it breaks a rule that Spiderpool's kinds do not have."""
    remedy = "correct the object that the message names, and import once more before netmgr is installed"
    return Finding(rule="NotAccepted", object=what, message=f"{error.message}; {outcome}", remedy=remedy)


def again(what: str, happened: str) -> Finding:
    """Somebody was faster."""
    return Finding(rule="ChangedMeanwhile", object=what, message=f"{happened}; nothing is lost", remedy="import once more")
