"""What the controller counts and times, in Prometheus' terms. The names are stable; `docs/metrics.md` lists each of them.

Labels have few values, all of them known when the program is written: never an address, a Pod or a namespace. What the copies say
at the moment of a scrape (pools, queues, waiting Pods) is in `gauges.py`.
"""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds. An address is there after 5 to 20 ms; the ends of the scale are a rule that needs no write and a Pod that waited."""


class Metrics:
    """The counters of one controller process."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a series more for each, which nobody reads
        self.registry = one = CollectorRegistry()
        self._bound: dict[str, float] = {}
        self.claims = Counter(
            "netmgr_claims", "Attempts to give a Pod one address, by what came of them.", ["outcome"], registry=one
        )
        self.refusals = Counter(
            "netmgr_claim_refusals", "Times that a Pod was told why it has no address, by reason.", ["reason"], registry=one
        )
        self.claim_seconds = Histogram(
            "netmgr_claim_seconds",
            "Seconds from the moment a bound Pod was first seen to the moment its allocation was created.",
            buckets=BUCKETS,
            registry=one,
        )
        self.conflicts = Counter(
            "netmgr_conflicts", "Writes that were refused because somebody was faster, by reason.", ["reason"], registry=one
        )
        self.freed = Counter("netmgr_addresses_freed", "Addresses freed, by what proved that they may be.", ["why"], registry=one)
        self.repairs = Counter("netmgr_repairs", "Things put right by reconciliation, by kind.", ["kind"], registry=one)
        self.damage = Gauge("netmgr_damage", "Things that the last reconciliation found wrong, by kind.", ["kind"], registry=one)
        self.reconciled = Gauge("netmgr_reconciled_timestamp_seconds", "When the last reconciliation ended.", registry=one)
        self.handler_seconds = Histogram(
            "netmgr_handler_seconds", "Seconds that one key took, by kind of key.", ["kind"], buckets=BUCKETS, registry=one
        )
        self.handler_failures = Counter(
            "netmgr_handler_failures", "Keys that have to be tried again, by kind of key.", ["kind"], registry=one
        )
        self.requests = Counter(
            "netmgr_api_requests",
            "Requests to the API server, by verb and HTTP status (0: no answer).",
            ["verb", "code"],
            registry=one,
        )
        self.request_seconds = Histogram(
            "netmgr_api_request_seconds",
            "Seconds to the end of the API server's answer, by verb (a watch: to its beginning).",
            ["verb"],
            buckets=BUCKETS,
            registry=one,
        )
        self.status_writes = Counter(
            "netmgr_status_writes", "Writes of a subnet's or pool's status, by kind of object.", ["kind"], registry=one
        )
        self.leader = Gauge("netmgr_leader", "1 in the replica that decides and writes, 0 in the others.", registry=one)
        ProcessCollector(namespace="netmgr", registry=one)

    def add(self, collector: Collector) -> None:
        """Have something asked at each scrape."""
        self.registry.register(collector)

    def text(self) -> bytes:
        """All of it, in the text format 0.0.4."""
        return generate_latest(self.registry)

    def request(self, verb: str, code: int, seconds: float, reason: str) -> None:
        """One request has ended; `reason` is that of a refusal."""
        self.requests.labels(verb, str(code)).inc()
        self.request_seconds.labels(verb).observe(seconds)
        if code == 409:
            self.conflicts.labels(reason if reason == "AlreadyExists" else "Conflict").inc()

    def bound(self, pod_uid: str) -> None:
        """A bound Pod without addresses is seen; the first time counts."""
        self._bound.setdefault(pod_uid, time.monotonic())

    def unbound(self, pod_uid: str) -> None:
        """The Pod waits no more: it has its addresses, or needs none."""
        self._bound.pop(pod_uid, None)

    def claimed(self, pod_uid: str, outcome: str) -> None:
        """An attempt to give the Pod an address has ended."""
        self.claims.labels(outcome).inc()
        since = self._bound.get(pod_uid)
        if outcome == "created" and since is not None:
            self.claim_seconds.observe(time.monotonic() - since)

    def handled(self, kind: str, seconds: float, *, failed: bool) -> None:
        """A handler has ended."""
        self.handler_seconds.labels(kind).observe(seconds)
        if failed:
            self.handler_failures.labels(kind).inc()
