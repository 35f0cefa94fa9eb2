"""Measure netmgr; one table on the screen, the same as JSON in build/bench.json.

Figures are of one run on one machine: compare them with the floors beside them, not with another run's.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from tests.bench import binding, burst, cost, curves, deployments, memory, rollout, sequential, waiting_adds
from tests.bench.figures import Figure, table_of
from tests.bench.site import Site, site

WIDTH = 150
BUILD = Path(__file__).parents[2] / "build"
ON_SITE: dict[str, Callable[[Site], Sequence[Figure]]] = {
    "sequential": sequential.measure,
    "burst": burst.measure,
    "waiting": waiting_adds.measure,
    "binding": binding.measure,
    "cost": cost.measure,
    "deployments": deployments.measure,
    "memory": memory.measure,
}
"""Drivers that share one API server, etcd and agents."""

ALONE: dict[str, Callable[[], Sequence[Figure]]] = {"rollout": rollout.measure}
CURVES: dict[str, Callable[[], Sequence[Figure]]] = {"growth": curves.growth, "watches": curves.watches}
"""Long ones: `make bench-curves`."""


@click.command()
@click.option("--only", multiple=True, help="Run this driver alone; may be given several times.")
@click.option("--curves", "with_curves", is_flag=True, help="The long ones: growth and watches.")
def main(only: tuple[str, ...], with_curves: bool) -> None:
    """Measure and report."""
    known = [*CURVES] if with_curves else [*ON_SITE, *ALONE]
    wanted = only or tuple(known)
    if unknown := set(wanted) - {*ON_SITE, *ALONE, *CURVES}:
        raise click.UsageError(f"no driver {', '.join(sorted(unknown))}; there are {', '.join([*ON_SITE, *ALONE, *CURVES])}")
    load, began = os.getloadavg()[0], time.monotonic()
    results: dict[str, Sequence[Figure]] = {}
    if any(name in ON_SITE for name in wanted):
        with site() as here:
            results |= {name: told(name, partial(ON_SITE[name], here)) for name in wanted if name in ON_SITE}
    results |= {name: told(name, run) for name, run in (ALONE | CURVES).items() if name in wanted}
    report(results, load, time.monotonic() - began, "bench-curves" if with_curves else "bench")


def told(name: str, run: Callable[[], Sequence[Figure]]) -> Sequence[Figure]:
    """Run a driver and say how long it took."""
    began = time.monotonic()
    figures = run()
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return figures


def report(results: dict[str, Sequence[Figure]], load: float, seconds: float, name: str) -> None:
    """Table and JSON."""
    facts = {"loadBefore": load, "loadAfter": os.getloadavg()[0], "cpus": os.cpu_count(), "seconds": round(seconds)}
    drivers = {driver: [one.document() for one in figures] for driver, figures in results.items()}
    BUILD.mkdir(exist_ok=True)
    (BUILD / f"{name}.json").write_text(json.dumps({**facts, "etcd": "in memory, no fsync", "drivers": drivers}, indent=2) + "\n")
    console = Console(width=max(WIDTH, Console().width))
    console.print(table_of(results))
    console.print(
        f"load {load:.1f} before, {facts['loadAfter']:.1f} after; {facts['cpus']} CPUs shared by API server, etcd, controller, "
        f"agents and driver; etcd in memory without fsync; {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
