"""I/O: one leader among several processes, by a coordination.k8s.io/v1 Lease.

Time is CLOCK_BOOTTIME (it runs on while the machine is suspended), counted from the moment before the last successful
renewal was sent. Times written by other machines are never compared with ours: a Lease has expired when it has not
changed for its whole duration while we watched. A stale leader can waste a write, never do harm (names and
preconditions see to that), but it must stop at `valid() == False`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from netmgr.api.meta import Json
from netmgr.api.workload import Lease
from netmgr.kube.client import Api
from netmgr.kube.errors import ApiError, Conflict, LeaseLost, NotFound
from netmgr.kube.paths import LEASES, in_namespace, named

log = logging.getLogger(__name__)


AGAIN = 0.2
"""Seconds after a renewal that failed: an overloaded API server that answers late must not cost the Lease."""


def boottime() -> float:
    """Seconds on CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def now_text() -> str:
    """The wall clock as MicroTime: RFC 3339 with microseconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class LeaderLease:
    """The Lease `name` in `namespace`; `identity` is unique to this process.

    Seconds: others may take over `duration` after the last renewal; this process stops leading `deadline` after it
    (shorter than `duration`), and tries to renew every `period`.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: float = 15.0,
        deadline: float = 10.0,
        period: float = 2.0,
        clock: Callable[[], float] = boottime,
    ) -> None:
        if not period < deadline < duration:
            raise ValueError(f"Lease {namespace}/{name}: period {period} < deadline {deadline} < duration {duration} must hold")
        self._api, self._identity, self._clock = api, identity, clock
        self._collection, self._path = in_namespace(LEASES, namespace), named(LEASES, name, namespace=namespace)
        self._name, self._duration, self._deadline, self._period = name, duration, deadline, period
        self._renewed: float | None = None
        self._mine: Lease | None = None
        self._known: Lease | None = None  # as our last write left it: renewed without reading it before
        self._seen: tuple[str, float] = ("", 0.0)

    def valid(self) -> bool:
        """Whether this process may still write as the leader."""
        return self._renewed is not None and self._clock() - self._renewed < self._deadline

    def remaining(self) -> float:
        """Seconds for which `valid()` stays true without another renewal; a write's time-out must be below this."""
        return 0.0 if self._renewed is None else max(0.0, self._renewed + self._deadline - self._clock())

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, run `lead()` while it is held, give it back when `lead()` returns or this is cancelled.

        On cancellation (SIGTERM) `lead()` is cancelled first and may end its writes in flight; only then the Lease is
        released. LeaseLost is raised when a renewal did not succeed in time: `lead()` has ended by then.
        """
        await self.acquire()
        leading = asyncio.ensure_future(lead())
        renewing = asyncio.create_task(self.renew())
        try:
            await asyncio.wait({leading, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended_by_itself = leading.done()
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)
            lost = renewing.done()
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            if not lost:
                await self.release()
        if ended_by_itself:
            leading.result()
        elif lost:
            raise LeaseLost(f"Lease {self._path}: {self._identity} did not renew it within {self._deadline:g} s")

    async def acquire(self) -> None:
        """Return once this process holds the Lease."""
        while not await self._try():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(self._period * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
        log.info("lease_acquired lease=%s identity=%s", self._path, self._identity)

    async def release(self) -> None:
        """Give the Lease back, if it is ours; whoever waits takes it at its next look."""
        held, self._renewed, self._mine, self._known = self._mine, None, None, None
        if held is None:
            return
        free = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now_text()}
        guard = {"uid": held.metadata.uid, "resourceVersion": held.metadata.resource_version}
        try:
            await self._api.merge_patch(self._path, {"metadata": guard, "spec": free}, Lease, timeout=self._period)
        except ApiError as error:
            log.warning("lease_not_released lease=%s error=%s", self._path, error)

    async def renew(self) -> None:
        """Ends when the deadline has passed without a renewal, or somebody else has the Lease."""
        pause = self._period
        while self.valid():
            await asyncio.sleep(min(pause, self.remaining()))
            if not self.valid():
                break
            renewed = await self._try()
            if not renewed and self._mine is None:
                break
            pause = self._period if renewed else AGAIN
        self._renewed = None
        log.error("lease_lost lease=%s identity=%s", self._path, self._identity)

    async def _try(self) -> bool:
        """One attempt to take or renew the Lease, bounded in time; False where it did not work."""
        sent = self._clock()
        limit = self._period if self._renewed is None else max(self.remaining() / 2, min(self._period, self.remaining()))
        try:
            async with asyncio.timeout(max(limit, 0.05)):
                lease = self._known or await self._read()
                if lease is not None and not self._may_take(lease):
                    self._mine = None
                    return False
                self._mine = self._known = await self._write(lease)
        except (TimeoutError, Conflict):
            self._known = None
            return False
        except ApiError as error:
            self._known = None
            log.warning("lease_attempt_failed lease=%s error=%s", self._path, error)
            return False
        self._renewed = sent
        return True

    async def _read(self) -> Lease | None:
        try:
            return await self._api.get(self._path, Lease)
        except NotFound:
            return None

    def _may_take(self, lease: Lease) -> bool:
        holder = lease.spec.holder_identity
        if not holder or holder == self._identity:
            return True
        if self._seen[0] != lease.metadata.resource_version:
            self._seen = lease.metadata.resource_version, self._clock()
        return self._clock() - self._seen[1] >= (lease.spec.lease_duration_seconds or self._duration)

    async def _write(self, lease: Lease | None) -> Lease:
        now = now_text()
        spec: Json = {"holderIdentity": self._identity, "leaseDurationSeconds": round(self._duration), "renewTime": now}
        if lease is None:
            body: Json = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name},
                "spec": spec | {"acquireTime": now, "leaseTransitions": 0},
            }
            return await self._api.create(self._collection, body, Lease)
        if lease.spec.holder_identity != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": (lease.spec.lease_transitions or 0) + 1}
        guard = {"uid": lease.metadata.uid, "resourceVersion": lease.metadata.resource_version}
        return await self._api.merge_patch(self._path, {"metadata": guard, "spec": spec}, Lease)
