"""Which nodes have a live agent, by the Leases that agents renew. A Lease is an agent's own by its whole name.

No I/O. An agent is alive while its Lease has changed within the Lease's duration, by this machine's CLOCK_BOOTTIME; only a Lease
that is seen for the first time is judged by the time written in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from netmgr.api.workload import Lease
from netmgr.kube.leader import boottime
from netmgr.kube.store import EventKind, key_of

BOOT_ID, NODE = "netmgr.io/boot-id", "netmgr.io/node"
DEFAULT_DURATION = 40


@dataclass(frozen=True, slots=True)
class Heard:
    """The last sign of life: when, for how many seconds it counts, and the node's boot id."""

    at: float
    lasts: float
    boot_id: str


class Agents:
    """Feed `changed` from the reflector of Leases in `namespace`; `leases` is its copy."""

    def __init__(self, namespace: str, leases: Callable[[], Mapping[str, Lease]]) -> None:
        self.clock: Callable[[], float] = boottime
        self._namespace, self._leases = namespace, leases
        self._heard: dict[str, Heard] = {}

    def boot_id(self, node: str) -> str | None:
        """Boot id that the node's live agent reported; nothing where no agent is alive."""
        key = f"{self._namespace}/netmgr-agent-{node}"
        lease, heard = self._leases().get(key), self._heard.get(key)
        if lease is None or heard is None or (lease.metadata.annotations or {}).get(NODE) != node:
            return None
        return heard.boot_id if self.clock() - heard.at < heard.lasts else None

    def changed(self, kind: EventKind, lease: Lease, old: Lease | None) -> str | None:
        """One event of the watch; the node's name if its Pods may be served now and could not before."""
        key, notes = key_of(lease.metadata), lease.metadata.annotations or {}
        node = notes.get(NODE, "")
        before = self.boot_id(node) if old is not None else None
        if kind is EventKind.DELETED:
            self._heard.pop(key, None)
            return None
        age = 0.0 if old is not None else renewed_ago(lease)
        lasts = float(lease.spec.lease_duration_seconds or DEFAULT_DURATION)
        self._heard[key] = Heard(self.clock() - age, lasts, notes.get(BOOT_ID, ""))
        now = self.boot_id(node)
        return node if now is not None and now != before else None


def renewed_ago(lease: Lease) -> float:
    """Seconds since the Lease was renewed by its holder's clock."""
    try:
        renewed = datetime.fromisoformat(lease.spec.renew_time or "")
    except ValueError:
        return float("inf")
    return max(0.0, (datetime.now(UTC) - renewed).total_seconds())
