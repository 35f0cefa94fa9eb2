"""ADD and DEL one by one: fork, exec, answer from memory, exit; beside each a plugin process that does nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.bench.calls import PLUGIN, Outcome, call, idle_plugin, must_succeed
from tests.bench.figures import Figure, quantile
from tests.bench.pods import create_all, tear_down
from tests.bench.site import Site
from tests.waiting import eventually

WARM, CALLS = 20, 320
POOL = "sequential"


def measure(site: Site) -> list[Figure]:
    """Medians and 99th percentiles."""
    floor = idle_plugin(site.folder)
    site.pool(POOL, "10.70.0.0/16", "10.70.0.1-10.70.3.254")
    agents = site.with_agents(1)
    with site.controller():
        sandboxes = site.call(lambda api: create_all(api, agents, WARM + CALLS, POOL))
        eventually(lambda: site.allocations(POOL), lambda held: held == len(sandboxes), what="allocations")
        adds, add_floors = in_turn((call(PLUGIN, one, "ADD"), call(floor, one, "ADD")) for one in sandboxes)
        dels, del_floors = in_turn((call(PLUGIN, one, "DEL"), call(floor, one, "DEL")) for one in sandboxes)
        tear_down(site, sandboxes, POOL)
    at_most = quantile(add_floors, 0.5) + 1.0
    return [
        *figures("ADD, whole plugin process", adds, add_floors, at_most, 5.0),
        *figures("DEL, whole plugin process", dels, del_floors, 2.0, 20.0),
    ]


def in_turn(pairs: Iterable[tuple[Outcome, Outcome]]) -> tuple[list[float], list[float]]:
    """Milliseconds of both, without the first ones; both see the same machine."""
    listed = list(pairs)
    must_succeed(outcome for pair in listed for outcome in pair)
    measured = listed[WARM:]
    return [ours.milliseconds for ours, _ in measured], [floor.milliseconds for _, floor in measured]


def figures(what: str, values: Sequence[float], floors: Sequence[float], median: float, slowest: float) -> list[Figure]:
    """Two rows."""
    bounds = ((0.5, "median", median), (0.99, "99th percentile", slowest))
    return [
        Figure(what=f"{what}: {word}", value=quantile(values, part), unit="ms", floor=quantile(floors, part), at_most=bound)
        for part, word, bound in bounds
    ]
