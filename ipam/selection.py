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


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector; without requirements it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether all requirements hold (an unknown operator never does)."""
        return all(holds(one, labels) for one in self.requirements)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """A Pod as selection sees it. `application` is the book key of its verified top owner."""

    namespace: str
    labels: Mapping[str, str]
    node: str
    node_labels: Mapping[str, str]
    namespace_labels: Mapping[str, str]
    application: str


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
    """Why the Pod may not use the pool; empty if it may."""
    if pool is None:
        return "does not exist; create it or correct the annotation"
    rules = (
        (pool.terminating, "is being deleted"),
        (pool.disabled, "is disabled (spec.disable)"),
        (not pool.accepted, pool.refusal or "is not accepted yet"),
        (pool.family is not family, f"is {pool.family.word}, not {family.word}"),
        (bool(pool.application) and pool.application != pod.application, "belongs to another application"),
        (bool(pool.node_names) and pod.node not in pool.node_names, f"does not admit node {pod.node} (spec.nodeName)"),
        (not pool.node_names and not admits(pool.node_selector, pod.node_labels), f"does not admit node {pod.node}"),
        (bool(pool.namespaces) and pod.namespace not in pool.namespaces, f"does not admit namespace {pod.namespace}"),
        (
            not pool.namespaces and not admits(pool.namespace_selector, pod.namespace_labels),
            f"does not admit namespace {pod.namespace} (spec.namespaceAffinity)",
        ),
        (
            not pool.application and not admits(pool.pod_selector, pod.labels),
            "does not admit this Pod (spec.podAffinity)",
        ),
        (pool.free <= 0, "has no free address; enlarge it or remove Pods"),
    )
    return next((words for broken, words in rules if broken), "")


def admits(selector: Selector | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector, if there is one, matches."""
    return selector is None or selector.matches(labels)
