"""Addresses that Pods hold from another IPAM plugin, as they report them. No I/O.

Each plugin keeps its own book, so the other one's ranges must not touch ours. Where they do, an address that it has given out is
never given out by us as well, as long as its Pod is there.
"""

from __future__ import annotations

from ipam.errors import AddressError
from ipam.prefix import allocation_name, parse_address
from netmgr.api.workload import Pod
from netmgr.kube.store import key_of


class Elsewhere:
    """By the name that an allocation of the address would have. `kept` says from which of our pools such an address was kept."""

    def __init__(self) -> None:
        self._pods: dict[str, str] = {}
        self.kept: dict[str, str] = {}

    def put(self, pod: Pod) -> None:
        """A Pod that another plugin answers for has reported an address, or none yet."""
        if (name := name_of(pod)) is not None:
            self._pods[name] = key_of(pod.metadata)

    def end(self, pod: Pod) -> tuple[str, str] | None:
        """The Pod is gone: name and pool of the address that is ours to give again, if it was kept."""
        name = name_of(pod)
        if name is None or self._pods.get(name) != key_of(pod.metadata):
            return None
        del self._pods[name]
        pool = self.kept.pop(name, None)
        return (name, pool) if pool is not None else None

    def holder(self, name: str) -> str | None:
        """`namespace/name` of the Pod that has the address from somebody else."""
        return self._pods.get(name)


def name_of(pod: Pod) -> str | None:
    """The name that an allocation of the Pod's address would have."""
    try:
        return allocation_name(parse_address(pod.status.pod_ip)) if pod.status.pod_ip else None
    except AddressError:
        return None
