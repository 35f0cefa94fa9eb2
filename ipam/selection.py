"""Which pools a Pod may use, in order, and why not the others.

The user's order is kept; among pools that a wildcard or the default rule brings in, the name decides. An auto pool admits only its
own application.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ipam.prefix import AddressFamily


@dataclass(frozen=True, slots=True)
class Requirement:
    """One matchExpressions entry: In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.key} {self.operator}" + (f" ({', '.join(sorted(self.values))})" if self.values else "")


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector; without requirements it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether all requirements hold (an unknown operator never does)."""
        return all(holds(one, labels) for one in self.requirements)

    def __str__(self) -> str:
        return ", ".join(map(str, self.requirements))


def holds(one: Requirement, labels: Mapping[str, str]) -> bool:
    """One requirement against labels."""
    match one.operator:
        case "In":
            return labels.get(one.key) in one.values
        case "NotIn":
            return one.key not in labels or labels[one.key] not in one.values
        case "Exists":
            return one.key in labels
        case "DoesNotExist":
            return one.key not in labels
        case _:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """A pool as selection sees it. `application` is the book key of an auto pool's owner."""

    name: str
    family: AddressFamily
    free: int
    accepted: bool = True
    refusal: str = ""
    terminating: bool = False
    disabled: bool = False
    default: bool = False
    application: str = ""
    node_names: frozenset[str] = frozenset()
    node_selector: Selector | None = None
    namespaces: frozenset[str] = frozenset()
    namespace_selector: Selector | None = None
    pod_selector: Selector | None = None
    networks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """One interface of a Pod as selection sees it. `application` is the book key of the Pod's verified top owner.

    `networks` are the ways to write the interface's network; empty: the cluster's own, whose name is not known.
    """

    namespace: str
    labels: Mapping[str, str]
    node: str
    node_labels: Mapping[str, str]
    namespace_labels: Mapping[str, str]
    application: str
    networks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pool and, if it cannot be used, why."""

    pool: str
    refusal: str = ""

    @property
    def usable(self) -> bool:
        """Whether the Pod may take an address of it."""
        return not self.refusal


def named_pools(names: Iterable[str], family: AddressFamily, pools: Mapping[str, PoolView]) -> list[str]:
    """Names and wildcards in the user's order, each pool once; a name without a pool stays, to be refused with a reason."""
    chosen: dict[str, None] = {}
    for name in names:
        if any(c in name for c in "*?["):
            matching = sorted(p.name for p in pools.values() if p.family is family and fnmatchcase(p.name, name))
            chosen.update(dict.fromkeys(matching))
        else:
            chosen[name] = None
    return list(chosen)


def candidates(names: Iterable[str], family: AddressFamily, pools: Mapping[str, PoolView], pod: PodView) -> list[Candidate]:
    """Each named pool with the first rule that refuses it."""
    return [Candidate(name, refusal(pools.get(name), family, pod)) for name in names]


def refusal(pool: PoolView | None, family: AddressFamily, pod: PodView) -> str:
    """Why the Pod may not use the pool, with the value and the remedy; empty if it may."""
    if pool is None:
        return "does not exist; create it or correct the annotation"
    if pool.terminating:
        return "is being deleted; name another pool"
    if pool.disabled:
        return "is disabled; set its spec.disable to false or name another pool"
    if not pool.accepted:
        return pool.refusal or "is not accepted yet; look at its conditions if this lasts"
    if pool.family is not family:
        return f"is {pool.family.word}, not {family.word}; name it under {pool.family.word.lower()}"
    if pool.application and pool.application != pod.application:
        return "belongs to another application; an auto pool serves the one that it was made for"
    if barrier := affinity_refusal(pool, pod):
        return barrier
    return "" if pool.free > 0 else "has no free address; enlarge it or remove Pods"


def affinity_refusal(pool: PoolView, pod: PodView) -> str:
    """Which of the pool's affinities leaves the Pod's interface out; a list of names goes before a selector of the same thing."""
    if pool.node_names and pod.node not in pool.node_names:
        return f"does not admit node {pod.node}; its spec.nodeName lists {some_of(pool.node_names)}"
    if not pool.node_names and not admits(pool.node_selector, pod.node_labels):
        return f"does not admit node {pod.node}; its spec.nodeAffinity asks for {pool.node_selector}"
    if pool.namespaces and pod.namespace not in pool.namespaces:
        return f"does not admit namespace {pod.namespace}; its spec.namespaceName lists {some_of(pool.namespaces)}"
    if not pool.namespaces and not admits(pool.namespace_selector, pod.namespace_labels):
        return f"does not admit namespace {pod.namespace}; its spec.namespaceAffinity asks for {pool.namespace_selector}"
    if not pool.application and not admits(pool.pod_selector, pod.labels):
        return f"does not admit this Pod; its spec.podAffinity asks for {pool.pod_selector}"
    if pool.networks and not pool.networks & pod.networks:
        network = f"network {some_of(pod.networks)}" if pod.networks else "the cluster's own network, whose name is not known"
        return f"does not admit {network}; its spec.multusName lists {some_of(pool.networks)}"
    return ""


def some_of(names: Iterable[str], most: int = 5) -> str:
    """A list of names that fits into a sentence."""
    listed = sorted(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def admits(selector: Selector | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector, if there is one, matches."""
    return selector is None or selector.matches(labels)
