"""What may have gone wrong behind the controller's back, as a pure function from a live view to a list of damages.

Each kind says whether it can be put right by the same rules as any event (`netmgr.controller.repairing` does that) or is only
reported. A cluster in motion shows damage for moments: who acts on it looks twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from ipam.prefix import AddressFamily, RangeSet, address_of_name
from ipam.release import PodState, Report, Verdict, decide, report_of
from netmgr.api import spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import Meta, ObjectReference
from netmgr.api.spider import FINALIZER, SpiderIPPool, SpiderSubnet
from netmgr.api.workload import ENDED, Pod


class Kind(StrEnum):
    """The kinds: words of metrics, Events and `netmgr repair`."""

    HOLDER_GONE = "holder-gone"
    HOLDER_REPLACED = "holder-replaced"
    HOLDER_FINISHED = "holder-finished"
    NOT_FREED = "not-freed"
    ENTRY_WITHOUT_POOL = "entry-without-pool"
    POOL_WITHOUT_APPLICATION = "pool-without-application"
    ORPHANED_FINALIZER = "orphaned-finalizer"
    UNPROTECTED_POOL = "unprotected-pool"
    POD_WAITS = "pod-waits"
    STALE_CONDITION = "stale-condition"
    UNANSWERED = "unanswered"
    OUTSIDE_POOL = "outside-pool"
    RESERVED = "reserved"


REMEDY = {
    Kind.HOLDER_GONE: "the node's agent is asked whether anything is attached",
    Kind.HOLDER_REPLACED: "the node's agent is asked whether anything is attached",
    Kind.HOLDER_FINISHED: "the node's agent is asked whether anything is attached",
    Kind.NOT_FREED: "the address is given back",
    Kind.ENTRY_WITHOUT_POOL: "the range is given back, or the application's pool made again",
    Kind.POOL_WITHOUT_APPLICATION: "the pool is deleted and its range given back",
    Kind.ORPHANED_FINALIZER: "the finalizer is taken off",
    Kind.UNPROTECTED_POOL: "the finalizer is put on",
    Kind.POD_WAITS: "the Pod is looked at again",
    Kind.STALE_CONDITION: "the condition is written anew",
    Kind.UNANSWERED: "nothing: only the agent can tell; look at DaemonSet netmgr-agent on that node, or declare it out of service",
    Kind.OUTSIDE_POOL: "nothing: the address stays its Pod's; enlarge the pool, or restart the Pod",
    Kind.RESERVED: "nothing: the address stays its Pod's until that ends; restart the Pod",
}
"""What is done about each."""
REPORTED = frozenset({Kind.UNANSWERED, Kind.OUTSIDE_POOL, Kind.RESERVED})
"""Only said: whoever holds an address keeps it, and nobody but a node's agent can say that nothing is attached."""
PATIENCE = timedelta(minutes=10)
"""An agent that lives answers within a second; one that was away, soon after it is back."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong with one object. `name` is the allocation, pool, subnet or Pod (`namespace/name`) to work on."""

    kind: Kind
    about: ObjectReference
    name: str
    message: str

    @property
    def mark(self) -> tuple[str, ...]:
        """The same damage in a later view has the same mark."""
        return (self.kind, self.about.kind, self.name, self.about.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveView:
    """What the API server says now. `now` is its clock; allocations were read before Pods, pools before allocations.

    `ranges`: what each pool may give; `reserved` by family; `retained`: detached allocations that their ordinal keeps; `ownerless`:
    auto pools whose application a live read did not find; `servable`: Pods that wait although every address they lack could be
    given; `served`: Pods that say they wait and lack nothing.
    """

    now: datetime
    allocations: tuple[IPAllocation, ...] = ()
    pods: tuple[Pod, ...] = ()
    pools: tuple[SpiderIPPool, ...] = ()
    subnets: tuple[SpiderSubnet, ...] = ()
    books: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ranges: Mapping[str, RangeSet] = field(default_factory=dict)
    reserved: Mapping[AddressFamily, RangeSet] = field(default_factory=dict)
    retained: frozenset[str] = frozenset()
    ownerless: frozenset[str] = frozenset()
    servable: Mapping[str, str] = field(default_factory=dict)
    served: frozenset[str] = frozenset()


def damages(view: LiveView) -> list[Damage]:
    """Everything that is wrong."""
    return [*of_holders(view), *of_places(view), *of_books(view), *of_pools(view), *of_pods(view)]


def of_holders(view: LiveView) -> Iterator[Damage]:
    """Allocations whose Pod needs them no more, and nobody has done the next step."""
    pods = {(pod.metadata.namespace, pod.metadata.name): pod for pod in view.pods}
    for one in view.allocations:
        holder = one.spec.pod
        pod = pods.get((holder.namespace, holder.name))
        report = report_of(
            phase=one.status.phase,
            reported_pod=one.status.pod_uid,
            holder=holder.uid,
            cooled=is_over(one.status.cooling_until, view.now),
        )
        state = state_of(pod, holder.uid)
        verdict = decide(state, report, retained=one.metadata.name in view.retained).verdict
        words = f"address {one.spec.address} of Pod {holder.namespace}/{holder.name}: the Pod {state.value}"
        if verdict is Verdict.ASK and state is PodState.FINISHED:
            yield at_pool(view, Kind.HOLDER_FINISHED, one, f"{words} and nobody has asked its node's agent")
        elif verdict is Verdict.ASK and pod is not None:
            yield at_pool(
                view, Kind.HOLDER_REPLACED, one, f"{words}, another Pod has its name, and nobody has asked its node's agent"
            )
        elif verdict is Verdict.ASK:
            yield at_pool(view, Kind.HOLDER_GONE, one, f"{words} and nobody has asked its node's agent")
        elif verdict is Verdict.FREE:
            yield at_pool(view, Kind.NOT_FREED, one, f"{words}, nothing is attached, and it is still held")
        elif (
            report is Report.ASKED
            and state in {PodState.GONE, PodState.FINISHED}
            and is_long_ago(one.status.releasing_since, view.now)
        ):
            since = f"the agent of node {one.spec.node_name} was asked at {one.status.releasing_since} and has not answered"
            yield at_pool(view, Kind.UNANSWERED, one, f"{words}; {since}")


def state_of(pod: Pod | None, uid: str) -> PodState:
    """How the holder is, from the Pod that has its name."""
    if pod is None or pod.metadata.uid != uid:
        return PodState.GONE
    if pod.status.phase in ENDED:
        return PodState.FINISHED
    return PodState.LIVES if pod.metadata.deletion_timestamp is None else PodState.TERMINATING


def is_over(until: str | None, now: datetime) -> bool:
    """Whether an RFC 3339 time has passed; none has."""
    return until is None or datetime.fromisoformat(until) <= now


def is_long_ago(asked: str | None, now: datetime) -> bool:
    """Whether an agent has had time enough to answer."""
    return asked is not None and now - datetime.fromisoformat(asked) >= PATIENCE


def of_places(view: LiveView) -> Iterator[Damage]:
    """Addresses that lie outside their pool, or are reserved."""
    pools = {pool.metadata.name for pool in view.pools}
    for one in view.allocations:
        address = address_of_name(one.metadata.name)
        words = f"address {one.spec.address} of Pod {one.spec.pod.namespace}/{one.spec.pod.name}"
        ranges = view.ranges.get(one.spec.pool)
        if one.spec.pool not in pools:
            yield at_pool(view, Kind.OUTSIDE_POOL, one, f"{words}: SpiderIPPool {one.spec.pool} does not exist")
        elif ranges is not None and address.value not in ranges:
            yield at_pool(
                view, Kind.OUTSIDE_POOL, one, f"{words} is not among the accepted addresses of SpiderIPPool {one.spec.pool}"
            )
        reserved = view.reserved.get(address.family)
        if reserved is not None and address.value in reserved:
            yield at_pool(view, Kind.RESERVED, one, f"{words} is reserved by a SpiderReservedIP")


def of_books(view: LiveView) -> Iterator[Damage]:
    """Entries of subnets' books without a pool; not while addresses of that pool are in use (`outside-pool` tells of these)."""
    pools = {pool.metadata.name for pool in view.pools} | {one.spec.pool for one in view.allocations}
    for subnet in view.subnets:
        for pool, owner in view.books.get(subnet.metadata.name, {}).items():
            if pool not in pools:
                words = f"its book has ranges for SpiderIPPool {pool} of {owner or 'nobody'}, which does not exist"
                yield Damage(
                    Kind.ENTRY_WITHOUT_POOL, spider_object("SpiderSubnet", subnet.metadata), f"{subnet.metadata.name}/{pool}", words
                )


def of_pools(view: LiveView) -> Iterator[Damage]:
    """Pools that nobody needs, finalizers that hold nothing, pools in use that nothing holds."""
    held = Counter(one.spec.pool for one in view.allocations)
    for pool in view.pools:
        meta = pool.metadata
        about, guarded = spider_object("SpiderIPPool", meta), FINALIZER in (meta.finalizers or ())
        if guarded and not held[meta.name]:
            yield Damage(Kind.ORPHANED_FINALIZER, about, meta.name, "its finalizer says that addresses are in use, and none is")
        if held[meta.name] and not guarded and meta.deletion_timestamp is None:
            words = f"{held[meta.name]} addresses are in use and no finalizer keeps the pool from being deleted"
            yield Damage(Kind.UNPROTECTED_POOL, about, meta.name, words)
        if meta.name in view.ownerless and not held[meta.name] and meta.deletion_timestamp is None:
            yield Damage(Kind.POOL_WITHOUT_APPLICATION, about, meta.name, "its application is gone and no address is in use")


def of_pods(view: LiveView) -> Iterator[Damage]:
    """Pods that wait without need, or say so without need."""
    for pod in view.pods:
        meta = pod.metadata
        key = f"{meta.namespace}/{meta.name}"
        about = ObjectReference(kind="Pod", api_version="v1", namespace=meta.namespace, name=meta.name, uid=meta.uid)
        if key in view.servable:
            yield Damage(Kind.POD_WAITS, about, key, f"it waits for an address although there are free ones: {view.servable[key]}")
        elif key in view.served:
            yield Damage(Kind.STALE_CONDITION, about, key, "its condition says that it has no address, and it has all of them")


def at_pool(view: LiveView, kind: Kind, one: IPAllocation, message: str) -> Damage:
    """A damage of an allocation, said on its pool."""
    pool = next((pool.metadata for pool in view.pools if pool.metadata.name == one.spec.pool), Meta(name=one.spec.pool))
    return Damage(kind, spider_object("SpiderIPPool", pool), one.metadata.name, message)


def spider_object(kind: str, meta: Meta) -> ObjectReference:
    """A pool or subnet as the subject of an Event."""
    return ObjectReference(kind=kind, api_version=spider.GROUP_VERSION, name=meta.name, uid=meta.uid)
