"""A node's agent is alive while its own Lease is renewed; a renewal alone is no news."""

from __future__ import annotations

from datetime import UTC, datetime

from netmgr.api.meta import Meta
from netmgr.api.workload import Lease, LeaseSpec
from netmgr.controller.agents import BOOT_ID, NODE, Agents
from netmgr.kube.store import EventKind

HOME = "netmgr-system"


def lease(node: str, *, of: str = "", boot: str = "boot-1", seconds: int = 40, renewed: str = "") -> Lease:
    """The Lease of `node`'s agent; it claims to speak for `of`."""
    notes = {NODE: of or node, BOOT_ID: boot}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = LeaseSpec(holder_identity=node, lease_duration_seconds=seconds, renew_time=renewed or now)
    return Lease(metadata=Meta(name=f"netmgr-agent-{node}", namespace=HOME, annotations=notes), spec=spec)


class Watched:
    """The copy of Leases and the index over it."""

    def __init__(self) -> None:
        self.leases: dict[str, Lease] = {}
        self.agents = Agents(HOME, lambda: self.leases)

    def sees(self, one: Lease) -> str | None:
        key = f"{HOME}/{one.metadata.name}"
        old, self.leases[key] = self.leases.get(key), one
        return self.agents.changed(EventKind.ADDED if old is None else EventKind.MODIFIED, one, old)

    def loses(self, one: Lease) -> None:
        old = self.leases.pop(f"{HOME}/{one.metadata.name}")
        self.agents.changed(EventKind.DELETED, one, old)


def test_a_nodes_pods_are_woken_when_its_agent_comes_not_when_it_renews() -> None:
    seen = Watched()
    assert [seen.sees(lease("a")), seen.sees(lease("a")), seen.sees(lease("a", boot="boot-2"))] == ["a", None, "a"]
    assert seen.agents.boot_id("a") == "boot-2"


def test_an_old_lease_that_is_seen_for_the_first_time_is_no_sign_of_life() -> None:
    seen = Watched()
    assert seen.sees(lease("a", renewed="2026-01-01T00:00:00.000000Z")) is None
    assert seen.agents.boot_id("a") is None
    assert seen.sees(lease("a")) == "a"


def test_an_agent_speaks_for_no_other_node() -> None:
    seen = Watched()
    seen.sees(lease("a", of="b"))
    assert (seen.agents.boot_id("a"), seen.agents.boot_id("b")) == (None, None)


def test_an_agent_whose_lease_is_gone_is_not_alive() -> None:
    seen = Watched()
    seen.sees(lease("a"))
    seen.loses(lease("a"))
    assert seen.agents.boot_id("a") is None
