"""Annotations of Pods, Pod templates and namespaces, judged before the object is stored. Pure.

What cannot be understood is refused; a subnet or pool that does not exist is a warning, since it may be created later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from ipam.annotations import (
    DEFAULT_ROUTE_NIC,
    NAMESPACE_DEFAULTS,
    NUMBER,
    POOL,
    POOLS,
    PREFIX,
    RECLAIM,
    ROUTES,
    SUBNET,
    SUBNETS,
    AddressRequest,
    Source,
    parse_request,
)
from ipam.errors import AnnotationError
from ipam.interfaces import parse_pod
from ipam.networks import NETWORKS, interface_names
from netmgr.api.meta import Meta, PartialObject
from netmgr.api.workload import Pod, PodTemplate, Workload
from netmgr.controller import codec
from netmgr.controller.kinds import template_of
from netmgr.controller.owners import controller_of
from netmgr.webhook.review import AdmissionRequest, Answer, decoded

CALICO = "cni.projectcalico.org/ipAddrs"
CHOICES = (SUBNETS, SUBNET, POOLS, POOL)
"""In the order of precedence: the first that is there wins."""
READ_ON_PODS = frozenset({*CHOICES, NUMBER, RECLAIM, ROUTES, DEFAULT_ROUTE_NIC})
READ_ON_NAMESPACES = frozenset(NAMESPACE_DEFAULTS.values())


@dataclass(frozen=True, slots=True)
class Known:
    """The prefix of each subnet and pool that exists, by name; nothing for one that does not."""

    subnet: Callable[[str], str | None]
    pool: Callable[[str], str | None]


def judge(request: AdmissionRequest, known: Known) -> Answer:
    """The answer about a Pod, a workload or a namespace."""
    if request.kind.kind == "Namespace":
        return of_namespace(request, decoded(request.object, PartialObject), known)
    if request.kind.kind == "Pod":
        return of_pod(request, decoded(request.object, Pod), known)
    return of_workload(request, decoded(request.object, Workload), known)


def of_namespace(request: AdmissionRequest, one: PartialObject | None, known: Known) -> Answer:
    """A namespace names default pools for its Pods."""
    notes = (one.metadata.annotations if one is not None else None) or {}
    return on_annotations(request.title, {}, {key: notes[key] for key in READ_ON_NAMESPACES & notes.keys()}, known)


def of_pod(request: AdmissionRequest, pod: Pod | None, known: Known) -> Answer:
    """A Pod that is not on the host's network. Its owner's template was judged before, unless nobody answered then."""
    if pod is None or pod.spec.host_network:
        return Answer()
    title = f"Pod {request.namespace}/{pod.metadata.name or named_like(request, pod.metadata)}"
    answer = on_annotations(title, pod.metadata.annotations or {}, {}, known)
    if (
        answer.refusals
        or controller_of(pod.metadata) is not None
        or not understood(pod.metadata.annotations or {}, {}).wants_auto_pool
    ):
        return answer
    words = "a Pod without a controller cannot have a pool of its own; use ipam.spidernet.io/ippool, or a Deployment"
    return Answer((f"{title}: {words}",), answer.warnings)


def of_workload(request: AdmissionRequest, workload: Workload | None, known: Known) -> Answer:
    """The annotations that count are those of the Pod template."""
    if workload is None:
        return Answer()
    template: PodTemplate = template_of(workload)
    if template.spec.host_network:
        return Answer()
    answer = on_annotations(f"{request.title}, Pod template", template.metadata.annotations or {}, {}, known)
    owned = controller_of(workload.metadata) is not None  # a Deployment copies its own annotations to its ReplicaSets
    misplaced = sorted(READ_ON_PODS & (workload.metadata.annotations or {}).keys()) if not owned else []
    lost = tuple(
        f"{key} on the {request.kind.kind} itself has no effect; write it into spec.template.metadata.annotations"
        for key in misplaced
        if key not in (template.metadata.annotations or {})
    )
    return Answer(answer.refusals, answer.warnings + lost)


def on_annotations(title: str, pod: Mapping[str, str], namespace: Mapping[str, str], known: Known) -> Answer:
    """Refusals and warnings about one set of annotations."""
    ours = [key for key in pod if key.startswith(PREFIX)]
    if CALICO in pod and any(key in pod for key in CHOICES):
        chosen = next(key for key in CHOICES if key in pod)
        words = f"annotation {CALICO} asks Calico's own IPAM for an address, {chosen} asks netmgr; remove one of the two"
        return Answer((f"{title}: {words}",))
    try:
        request = understood(pod, namespace)
    except AnnotationError as error:
        return Answer((f"{title}: {error}",))
    return Answer(warnings=(*unread(ours), *shadowed(pod), *unknown_names(request, known)))


def understood(pod: Mapping[str, str], namespace: Mapping[str, str]) -> AddressRequest:
    """All that can be read without knowing the cluster; AnnotationError on the first mistake."""
    if any(key in pod for key in READ_ON_PODS):
        parse_pod(pod, "", namespace, {})
    return parse_request(pod, namespace, interface_names(pod) if any(key in pod for key in CHOICES) else ())


def unread(ours: list[str]) -> Iterator[str]:
    """Keys of ours that nobody reads: a typing error, mostly."""
    for key in ours:
        if key not in READ_ON_PODS:
            close = get_close_matches(key, READ_ON_PODS, n=1)
            yield f"annotation {key} is not known and has no effect" + (f"; did you mean {close[0]}?" if close else "")


def shadowed(pod: Mapping[str, str]) -> Iterator[str]:
    """Choices behind the one that wins. With several interfaces, each may follow another choice."""
    if NETWORKS in pod:
        return
    present = [key for key in CHOICES if key in pod]
    for key in present[1:]:
        yield f"annotation {key} has no effect beside {present[0]}; remove one of the two"


def unknown_names(request: AddressRequest, known: Known) -> Iterator[str]:
    """Subnets and pools that do not exist, or are of the other family."""
    for one in request.interfaces:
        kind, prefix_of = ("SpiderSubnet", known.subnet) if one.source is Source.SUBNET else ("SpiderIPPool", known.pool)
        for family, names in one.names.items():
            for name in names:
                if any(sign in name for sign in "*?["):
                    continue
                prefix = prefix_of(name)
                if prefix is None:
                    yield f"{kind} {name} does not exist; Pods wait until it is created"
                elif (found := codec.family_of(prefix)) is not family:
                    yield f"{kind} {name} is {found.word}, not {family.word}; name it under its own family"


def named_like(request: AdmissionRequest, meta: Meta) -> str:
    """A Pod whose name the API server has not made yet, by its owner."""
    owner = controller_of(meta)
    return request.name or (f"of {owner.kind} {owner.name}" if owner is not None else "(unnamed)")
