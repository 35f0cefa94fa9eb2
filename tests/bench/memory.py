"""Memory of controller and agent, fresh and at work, and what they need while nothing happens."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tests.bench.calls import PLUGIN, Sandbox, many, must_succeed
from tests.bench.figures import Figure
from tests.bench.pods import create_all, delete_all
from tests.bench.processes import anonymous_mib, fine_cpu_seconds, resident_mib
from tests.bench.site import Process, Site
from tests.waiting import eventually

PODS, AGENTS, IDLE_SECONDS = 3000, 12, 25.0
POOL = "memory"


def measure(site: Site) -> list[Figure]:
    """MiB and per cent of a core."""
    site.pool(POOL, "10.77.0.0/16", "10.77.0.1-10.77.31.254")
    agents = site.with_agents(AGENTS)
    agent = agents[-1].process
    agent_fresh = memory_of("agent, fresh", agent, 36)
    with site.controller() as controller:
        fresh = memory_of("controller, fresh", controller, 60)
        idle = idle_figures({"controller": controller, "agent": agent})
        sandboxes = site.call(lambda api: create_all(api, agents, PODS, POOL))
        eventually(lambda: site.allocations(POOL), lambda held: held == PODS, within=120, what="allocations")
        watched = [one for one in sandboxes if one.agent is agents[-1]]
        must_succeed(many(PLUGIN, watched, "ADD", 4)[0])
        time.sleep(2.0)  # statuses follow within a second
        full = memory_of("controller, 3,000 Pods", controller, 90)
        agent_full = memory_of(f"agent, {len(watched)} Pods", agent, 42)
        leave(site, sandboxes, watched)
    return [*fresh, *full, *agent_fresh, *agent_full, *idle]


def memory_of(what: str, process: Process, at_most: float) -> list[Figure]:
    """Two rows: all resident pages, and those that are the process's own."""
    return [
        Figure(what=what, value=resident_mib(process.pid), unit="MiB", at_most=at_most),
        Figure(what=f"{what}, of it anonymous", value=anonymous_mib(process.pid), unit="MiB"),
    ]


def idle_figures(processes: Mapping[str, Process]) -> list[Figure]:
    """Per cent of one core over some seconds without any Pod."""
    before = {name: fine_cpu_seconds(one.pid) for name, one in processes.items()}
    time.sleep(IDLE_SECONDS)
    return [
        Figure(
            what=f"{name}, idle: CPU",
            value=100 * (fine_cpu_seconds(one.pid) - before[name]) / IDLE_SECONDS,
            unit="%",
            at_most=0.1,
        )
        for name, one in processes.items()
    ]


def leave(site: Site, sandboxes: list[Sandbox], attached: list[Sandbox]) -> None:
    """Everything goes; addresses that were never attached are given back on the agents' word."""
    must_succeed(many(PLUGIN, attached, "DEL", 4)[0])
    site.call(lambda api: delete_all(api, sandboxes))
    site.emptied(POOL)
