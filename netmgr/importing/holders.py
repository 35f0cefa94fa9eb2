"""Who holds an address, when several sources speak of it: statements about one Pod are joined, and of several Pods one is believed.

| believed before others | because |
| --- | --- |
| a Pod that runs with the address | the kubelet says so: nobody may take it away |
| a live Pod that is recorded and reports none yet | it is being started with it |
| an ordinal of a StatefulSet, or a VM, whose Pod is away | it comes back for it |
| any other record | nobody is seen with it |

Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from netmgr.api.spider import Route
from netmgr.controller.codec import TERMINAL, family_of
from netmgr.controller.kinds import MACHINES
from netmgr.importing.found import ETH0, Found, ListedPod, Record, Source

UNRECORDED = "unrecorded"
"""The interface of an address of which only the pool speaks, while its Pod's first interface has another."""


class Standing(IntEnum):
    """How much speaks for a holder; lower is more."""

    RUNS_WITH_IT = 0
    STARTS = 1
    COMES_BACK = 2
    RECORDED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """All that is said about one address and one Pod. `uid` is whom the address belongs to: the live Pod, or the one before it."""

    address: str
    key: str
    uid: str
    pod: ListedPod | None
    standing: Standing
    sources: frozenset[Source]
    recorded_uids: frozenset[str]
    pool: str = ""
    interface: str = ETH0
    node: str = ""
    gateway: str | None = None
    clean_gateway: bool = False
    routes: tuple[Route, ...] | None = None
    owner_kind: str = ""
    owner_name: str = ""
    interfaces: tuple[str, ...] = ()

    @property
    def lives(self) -> bool:
        """Whether the holder is a Pod that is there and has not ended."""
        return self.pod is not None and self.pod.metadata.uid == self.uid and self.pod.status.phase not in TERMINAL

    @property
    def order(self) -> tuple[int, str, str]:
        """Sort key: who is believed comes first; of two alike the older Pod."""
        return (self.standing, self.pod.metadata.creation_timestamp if self.pod else "9", self.key)


class Holders:
    """Finds the Pods that records speak of."""

    def __init__(self, found: Found) -> None:
        self.by_key = {f"{pod.metadata.namespace}/{pod.metadata.name}": pod for pod in found.pods}
        self.by_uid = {pod.metadata.uid: pod for pod in found.pods}
        self.found = found

    def of(self, records: Iterable[Record]) -> list[Holder]:
        """The holders of one address, the believed one first."""
        by_pod: defaultdict[str, list[Record]] = defaultdict(list)
        for one in records:
            known = self.by_uid.get(one.uid)  # a VM's record has the VM's name, its Pod another
            by_pod[f"{known.metadata.namespace}/{known.metadata.name}" if known else one.pod].append(one)
        return sorted((self._join(key, many) for key, many in by_pod.items()), key=lambda one: one.order)

    def _join(self, key: str, records: list[Record]) -> Holder:
        said = {one.source: one for one in reversed(records)}
        pod, endpoint, entry = self.by_key.get(key), said.get(Source.ENDPOINT), said.get(Source.POOL)
        recorded = frozenset(one.uid for one in records if one.source is not Source.POD)
        best = endpoint or entry or said[Source.POD]
        is_its_own = pod is not None and (Source.POD in said or pod.metadata.uid in recorded)
        other = reports_another(pod, best.address)
        interface = next((one.interface for one in (endpoint, said.get(Source.POD), entry) if one and one.interface), "")
        return Holder(
            address=best.address,
            key=key,
            uid=pod.metadata.uid if pod is not None and is_its_own else best.uid,
            pod=pod,
            standing=self._standing(
                key, pod if is_its_own and not (other and interface in {"", ETH0}) else None, best, runs=Source.POD in said
            ),
            sources=frozenset(said),
            recorded_uids=recorded,
            pool=next((one.pool for one in (entry, endpoint) if one and one.pool), ""),
            interface=interface or (UNRECORDED if other else ETH0),
            node=pod.spec.node_name if pod is not None and is_its_own else (endpoint.node if endpoint else ""),
            gateway=endpoint.gateway if endpoint else None,
            clean_gateway=endpoint is not None and endpoint.clean_gateway,
            routes=endpoint.routes if endpoint else None,
            owner_kind=endpoint.owner_kind if endpoint else "",
            owner_name=endpoint.owner_name if endpoint else "",
            interfaces=tuple(sorted({one.interface for one in records if one.source is Source.ENDPOINT})),
        )

    def _standing(self, key: str, pod: ListedPod | None, record: Record, *, runs: bool) -> Standing:
        """`pod` is None where the live Pod of that name does not have the address."""
        if runs:
            return Standing.RUNS_WITH_IT
        if pod is not None and pod.status.phase not in TERMINAL:
            return Standing.STARTS
        return Standing.COMES_BACK if self.comes_back(key, record.owner_kind, record.owner_name) else Standing.RECORDED

    def comes_back(self, key: str, kind: str, name: str) -> bool:
        """Whether the owner makes the same Pod again: an ordinal within the replicas, or a VM."""
        namespace, _, pod_name = key.partition("/")
        if kind in MACHINES:
            return self.found.machine(namespace, name) is not None
        owner = self.found.workload(kind, f"{namespace}/{name}")
        base, _, number = pod_name.rpartition("-")
        if kind != "StatefulSet" or owner is None or base != name or not number.isdigit():
            return False
        return int(number) < (1 if owner.spec.replicas is None else owner.spec.replicas)


def reports_another(pod: ListedPod | None, address: str) -> bool:
    """Whether the kubelet reports addresses of this one's family, and not this one."""
    if pod is None:
        return False
    same = [one for one in pod.addresses if family_of(one) is family_of(address)]
    return bool(same) and address not in same
