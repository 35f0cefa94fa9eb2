"""200 Pods of one pool on eight nodes, 50 calls at a time; the plugin that does nothing before and after, by the same threads."""

from __future__ import annotations

from tests.bench.calls import PLUGIN, Outcome, idle_plugin, many
from tests.bench.figures import Figure, quantile
from tests.bench.pods import create_all, delete_all
from tests.bench.site import Site
from tests.waiting import eventually

PODS, AGENTS, AT_ONCE = 200, 8, 50
SETTLE_SECONDS = 30
POOL = "burst"


def measure(site: Site) -> list[Figure]:
    """Failures, leaks and rates."""
    floor = idle_plugin(site.folder)
    site.pool(POOL, "10.71.0.0/16", "10.71.0.1-10.71.0.254")
    agents = site.with_agents(AGENTS)
    with site.controller():
        sandboxes = site.call(lambda api: create_all(api, agents, PODS, POOL))
        eventually(lambda: site.allocations(POOL), lambda held: held == PODS, what="allocations")
        _, before = many(floor, sandboxes, "ADD", AT_ONCE)
        adds, seconds = many(PLUGIN, sandboxes, "ADD", AT_ONCE)
        _, after = many(floor, sandboxes, "DEL", AT_ONCE)
        dels, del_seconds = many(PLUGIN, sandboxes, "DEL", AT_ONCE)
        site.call(lambda api: delete_all(api, sandboxes))
        left = left_over(site)
        site.emptied(POOL)
    rate = 2 * PODS / (before + after)
    return [
        Figure(what="failed ADDs", value=failed(adds), unit="", at_most=0),
        Figure(what="failed DELs", value=failed(dels), unit="", at_most=0),
        Figure(what="addresses left after DEL", value=left, unit="", at_most=0),
        Figure(what="ADDs a second", value=PODS / seconds, unit="1/s", floor=rate, at_least=0.75 * rate),
        Figure(what="DELs a second", value=PODS / del_seconds, unit="1/s", floor=rate),
        Figure(what="ADD: 99th percentile", value=quantile((one.milliseconds for one in adds), 0.99), unit="ms"),
    ]


def failed(outcomes: list[Outcome]) -> int:
    """Calls that ended with an error."""
    return sum(1 for one in outcomes if one.code)


def left_over(site: Site) -> int:
    """Addresses that nobody gave back within the time that they are given."""
    try:
        return eventually(lambda: site.allocations(POOL), lambda left: left == 0, within=SETTLE_SECONDS)
    except AssertionError:
        return site.allocations(POOL)
