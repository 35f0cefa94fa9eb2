"""CPU time per Pod over all processes: Pod made and ADD answered; DEL, Pod deleted and its address free again.

The floor of the control plane is the same Pods on the host's network, which get no address: that is what Kubernetes itself costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.calls import PLUGIN, Sandbox, many, must_succeed
from tests.bench.figures import Figure
from tests.bench.pods import create_all, delete_all
from tests.bench.processes import children_cpu_seconds, cpu_seconds
from tests.bench.site import Process, Site
from tests.waiting import eventually

PODS, AGENTS, AT_ONCE = 400, 8, 4
QUIET_SECONDS = 1.5
"""Statuses are written up to a second late; their cost belongs to the Pods before."""
POOL = "cost"


@dataclass(frozen=True, slots=True)
class Spent:
    """Milliseconds of CPU per Pod."""

    server: float
    controller: float
    agents: float
    plugins: float

    @property
    def control_plane(self) -> float:
        """API server, etcd and controller."""
        return self.server + self.controller

    @property
    def node(self) -> float:
        """Agents and plugin processes."""
        return self.agents + self.plugins


def measure(site: Site) -> list[Figure]:
    """Milliseconds per Pod."""
    site.pool(POOL, "10.74.0.0/16", "10.74.0.1-10.74.15.254")
    agents = site.with_agents(AGENTS)
    with site.controller() as controller:
        plain: list[Sandbox] = []
        ours: list[Sandbox] = []

        def make(into: list[Sandbox], *, host_network: bool) -> None:
            into += site.call(lambda api: create_all(api, agents, PODS, POOL, host_network=host_network))

        def remove(sandboxes: list[Sandbox]) -> None:
            site.call(lambda api: delete_all(api, sandboxes))

        def add() -> None:
            make(ours, host_network=False)
            must_succeed(many(PLUGIN, ours, "ADD", AT_ONCE)[0])

        def end() -> None:
            must_succeed(many(PLUGIN, ours, "DEL", AT_ONCE)[0])
            remove(ours)
            eventually(lambda: site.allocations(POOL), lambda left: left == 0, what="all addresses are free")

        floor_add = spent(site, controller, lambda: make(plain, host_network=True))
        added = spent(site, controller, add)
        floor_del = spent(site, controller, lambda: remove(plain))
        removed = spent(site, controller, end)
        site.emptied(POOL)
    return [*figures("ADD", added, floor_add), *figures("DEL", removed, floor_del)]


def spent(site: Site, controller: Process, act: Callable[[], None]) -> Spent:
    """What `act` and what follows from it costs, per Pod."""

    def now() -> Spent:
        server = cpu_seconds(site.server.pids().values())
        return Spent(server, cpu_seconds([controller.pid]), cpu_seconds(site.agent_pids()), children_cpu_seconds())

    before = now()
    act()
    time.sleep(QUIET_SECONDS)
    after = now()
    each = 1000 / PODS
    return Spent(
        (after.server - before.server) * each,
        (after.controller - before.controller) * each,
        (after.agents - before.agents) * each,
        (after.plugins - before.plugins) * each,
    )


def figures(command: str, ours: Spent, floor: Spent) -> list[Figure]:
    """Four rows."""
    return [
        Figure(
            what=f"{command}: CPU per Pod, control plane",
            value=ours.control_plane,
            unit="ms",
            floor=floor.control_plane,
            at_most=12,
        ),
        Figure(what=f"{command}: of it the controller's", value=ours.controller, unit="ms", floor=floor.controller),
        Figure(what=f"{command}: CPU per Pod, node", value=ours.node, unit="ms", at_most=1),
        Figure(what=f"{command}: of it the agent's", value=ours.agents, unit="ms"),
    ]
