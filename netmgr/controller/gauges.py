"""What the controller's copies say at the moment of a scrape: queues, watches, waiting Pods, pools and their addresses.

A series per pool exists for pools that people made by hand, up to MOST_POOLS of them: these are as many as an administrator
writes. Pools of applications are as many as applications, come and go with them, and are counted together; which one of them is
full, its conditions say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import netmgr
from ipam.conditions import PoolFacts
from netmgr.controller import codec
from netmgr.controller.standing import pool_facts
from netmgr.controller.world import World
from netmgr.kube.events import EventRecorder
from netmgr.kube.paths import resource_of

MOST_POOLS = 200
PENDING = "Pending"


class Gauges(Collector):
    """Asked by the registry at each scrape; reads memory only."""

    def __init__(self, world: World, events: EventRecorder, kinds: Iterable[str]) -> None:
        self.world, self.events, self.kinds = world, events, tuple(kinds)

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield gauge("netmgr_build_info", "Always 1; the label says which version runs.", "version", {netmgr.__version__: 1})
        yield from self._work()
        yield from self._people()
        yield from self._pools()

    def describe(self) -> list[Metric]:
        """Nothing: names are not asked for before there is something to say."""
        return []

    def _work(self) -> Iterator[Metric]:
        """Queues, watches and Events."""
        depth = Counter(key[0] for key in self.world.queue.keys())  # noqa: SIM118 - a queue is no mapping
        kinds = dict.fromkeys(self.kinds, 0) | depth
        yield gauge("netmgr_queue_depth", "Keys that wait or are being worked on, by kind of key.", "kind", kinds)
        watches: dict[str, int] = {}
        lists: dict[str, int] = {}
        for one in self.world.reflectors:
            watches[resource_of(one.path)], lists[resource_of(one.path)] = one.watches, one.lists
        yield counter(
            "netmgr_watch_starts", "Times that a watch began, by resource; the API server ends each after minutes.", watches
        )
        yield counter("netmgr_watch_lists", "Whole lists read, by resource; more than one: a watch had lost its place.", lists)
        yield CounterMetricFamily("netmgr_events_written", "Events written.", value=self.events.written)
        yield CounterMetricFamily(
            "netmgr_events_dropped", "Events that were not written: too many, or refused.", value=self.events.dropped
        )

    def _people(self) -> Iterator[Metric]:
        """Pods and applications that have not what they ask for."""
        waiting = Counter(reason or PENDING for reason in self.world.waiting.reasons.values())
        yield gauge("netmgr_pods_waiting", "Bound Pods without all their addresses, by reason.", "reason", waiting)
        problems = Counter(one.reason for one in self.world.problems.values())
        yield gauge(
            "netmgr_applications_with_problem", "Applications whose pool cannot be as they ask, by reason.", "reason", problems
        )

    def _pools(self) -> Iterator[Metric]:
        """Subnets, pools and addresses."""
        subnets = Counter("accepted" if one.accepted else "refused" for one in self.world.verdicts()[0].values())
        yield gauge("netmgr_subnets", "SpiderSubnets, by whether they are accepted.", "state", subnets)
        known = {name: pool_facts(self.world, pool) for name, pool in self.world.pools.store.items()}
        yield gauge("netmgr_pools", "SpiderIPPools, by state.", "state", Counter(facts.state for facts in known.values()))
        addresses = GaugeMetricFamily(
            "netmgr_addresses", "Addresses of all pools, by family and state.", labels=("family", "state")
        )
        sums: Counter[tuple[str, str]] = Counter()
        for facts in known.values():
            for state, number in shares(facts).items():
                sums[facts.addresses.family.word, state] += number
        for labels, number in sums.items():
            addresses.add_metric(labels, number)
        yield addresses
        yield self._by_hand(known)

    def _by_hand(self, known: dict[str, PoolFacts]) -> Metric:
        """The series of pools that people made."""
        family = GaugeMetricFamily(
            "netmgr_pool_addresses",
            "Addresses of a pool made by hand, by state (the first 200 pools by name).",
            labels=("pool", "state"),
        )
        store = self.world.pools.store
        names = sorted(name for name in known if codec.APPLICATION not in (store[name].metadata.annotations or {}))
        for name in names[:MOST_POOLS]:
            for state, number in shares(known[name]).items():
                family.add_metric((name, state), number)
        return family


def shares(facts: PoolFacts) -> dict[str, int]:
    """A pool's addresses by state; `total` are those that may be given, held ones outside of it are `used` too."""
    held = len(facts.held)
    return {"total": facts.addresses.size, "used": held - facts.cooling, "cooling": facts.cooling, "free": facts.free}


def gauge(name: str, words: str, label: str, values: dict[str, int]) -> Metric:
    """A gauge with one label."""
    family = GaugeMetricFamily(name, words, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family


def counter(name: str, words: str, values: dict[str, int]) -> Metric:
    """A counter by resource."""
    family = CounterMetricFamily(name, words, labels=("resource",))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family
