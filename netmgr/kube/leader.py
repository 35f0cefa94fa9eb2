"""Leader election by a Lease (coordination.k8s.io/v1), after the rules that make a stale leader harmless.

I/O: reads and writes one Lease. Expiry is measured on CLOCK_BOOTTIME (it runs while a machine sleeps) from the moment the last
successful renewal was *sent*; a request's time-out is shorter than the renewal deadline; others' renewals are judged by when we saw
the Lease change, never by their clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime

import msgspec

from netmgr.api.meta import Json
from netmgr.api.workload import Lease
from netmgr.kube.client import Api
from netmgr.kube.errors import AlreadyExists, ApiError, NotFound

log = logging.getLogger(__name__)


def boottime() -> float:
    """Seconds since boot, suspension included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def micro_time() -> str:
    """Now, as metav1.MicroTime."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def lease_path(namespace: str, name: str = "") -> str:
    """A Lease, or the collection."""
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases" + (f"/{name}" if name else "")


class LeaderLease:
    """Holds, or waits for, one Lease. `leads()` is true only while the last renewal is younger than the duration."""

    def __init__(self, api: Api, *, namespace: str, name: str, identity: str, duration: float = 8.0, retry: float = 1.0) -> None:
        """`duration` seconds without a renewal end the leadership; `retry` seconds lie between attempts."""
        self.api, self.namespace, self.name, self.identity = api, namespace, name, identity
        self.duration, self.retry = duration, retry
        self.renewed: float | None = None
        self.seen: tuple[str, float] = ("", 0.0)

    def leads(self) -> bool:
        """Whether we may write now."""
        return self.renewed is not None and boottime() - self.renewed < self.duration * 0.75

    async def acquire(self) -> None:
        """Return once we lead."""
        while not self.leads():
            try:
                await self.attempt()
            except ApiError as error:
                log.info("lease not acquired", extra={"error": str(error)})
            if not self.leads():
                await asyncio.sleep(self.retry)

    async def keep(self) -> None:
        """Renew until the leadership is lost; returns then."""
        while self.leads():
            await asyncio.sleep(self.retry)
            try:
                await self.attempt()
            except ApiError as error:
                log.warning("lease not renewed", extra={"error": str(error)})
        self.renewed = None

    async def attempt(self) -> None:
        """Take or renew the Lease if it is ours, free or expired."""
        sent = boottime()
        path = lease_path(self.namespace, self.name)
        timeout = self.duration / 4
        try:
            lease = msgspec.json.decode(await self.api.call("GET", path, seconds=timeout), type=Lease)
        except NotFound:
            body = self.body(transitions=0)
            try:
                await self.api.call("POST", lease_path(self.namespace), body, seconds=timeout)
            except AlreadyExists:
                return
            self.renewed = sent
            return
        if not self.may_take(lease):
            return
        mine = lease.spec.holder_identity == self.identity
        transitions = (lease.spec.lease_transitions or 0) + (0 if mine else 1)
        body = self.body(transitions=transitions, acquired=lease.spec.acquire_time if mine else None)
        body["metadata"]["resourceVersion"] = lease.metadata.resource_version
        await self.api.call("PUT", path, body, seconds=timeout)
        self.renewed = sent

    def may_take(self, lease: Lease) -> bool:
        """Ours, given back, or unchanged for as long as it lasts."""
        if lease.metadata.resource_version != self.seen[0]:
            self.seen = (lease.metadata.resource_version, boottime())
        if lease.spec.holder_identity in {self.identity, "", None}:
            return True
        return boottime() - self.seen[1] > (lease.spec.lease_duration_seconds or self.duration)

    def body(self, *, transitions: int, acquired: str | None = None) -> Json:
        """The Lease as we write it."""
        now = micro_time()
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(self.duration),
                "acquireTime": acquired or now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }

    async def release(self) -> None:
        """Give the Lease back, so that the next leader need not wait; call after the last write has ended."""
        if not self.leads():
            return
        self.renewed = None
        path = lease_path(self.namespace, self.name)
        try:
            lease = await self.api.get(path, Lease, seconds=self.duration / 4)
            if lease.spec.holder_identity == self.identity:
                version = {"resourceVersion": lease.metadata.resource_version}
                await self.api.merge_patch(path, {"metadata": version, "spec": {"holderIdentity": None}})
        except ApiError as error:
            log.info("lease not given back", extra={"error": str(error)})
