"""Measure netmgr in the lab; one table on the screen, the same as JSON in build/bench.json.

I/O: uses (and if need be starts) the lab single-tor. Figures are medians of one run on one machine: compare ratios, not absolutes.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.e2e.cluster import EXAMPLES, Cluster, deployment, from_subnet
from tests.waiting import eventually
from topology.lab import Lab

ROUNDS = 7
RESULT = Path("build/bench.json")


def answered_at(cluster: Cluster, node: str, container_of: str) -> float:
    """When the agent wrote the record of that Pod's attachment, just before it answered ADD (seconds since 1970)."""
    found = cluster.on(node, "grep", "-rl", container_of, "/run/netmgr/state/attached").split()
    return float(cluster.on(node, "stat", "-c", "%.9Y", found[0]))


def seconds_to_answers(cluster: Cluster, name: str, count: int, act: Callable[[], object]) -> float:
    """From an action of the user to the last of the ADDs that it caused."""
    began = time.time()
    act()
    pods = cluster.running(f"app={name}", count)
    times = [answered_at(cluster, p["spec"]["nodeName"], p["metadata"]["uid"]) for p in pods]
    return max(times) - began


def measure(cluster: Cluster) -> dict[str, float]:
    """All figures, in milliseconds."""
    created: list[float] = []
    scaled: list[float] = []
    for i in range(ROUNDS):
        name = f"bench{i}"
        manifest = deployment(name, 2, from_subnet("nginx-subnet-v4", "+3"))
        created.append(seconds_to_answers(cluster, name, 2, partial(cluster.apply, manifest)))
        scale = ("scale", "deploy", name, "--replicas", "3")
        scaled.append(seconds_to_answers(cluster, name, 3, partial(cluster.kubectl, *scale)))
        cluster.kubectl("delete", "deploy", name, "--wait")
    return {
        "create to both ADDs answered, median": statistics.median(created) * 1e3,
        "create to both ADDs answered, worst": max(created) * 1e3,
        "scale-up to ADD answered, median": statistics.median(scaled) * 1e3,
        "scale-up to ADD answered, worst": max(scaled) * 1e3,
        "load average": os.getloadavg()[0],
    }


def main() -> int:
    """Bring the lab up if it is not, measure, report."""
    lab = Lab.open("single-tor")
    was_up = lab.is_up()
    lab.up()
    try:
        cluster = Cluster(lab)
        done = cluster.netmgr("install", "--kubeconfig", str(lab.kubeconfig))
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        cluster.apply(EXAMPLES / "02-subnet.yaml")
        eventually(lambda: cluster.kubectl("get", "nodes", "--no-headers"), lambda text: text.count(" Ready ") == 2)
        figures = measure(cluster)
    finally:
        if not was_up:
            lab.down()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"rounds": ROUNDS, "milliseconds": figures}, indent=2) + "\n")
    table = Table("what", "ms")
    for what, value in figures.items():
        table.add_row(what, f"{value:.1f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
