"""What an agent costs a node: memory, threads, and the time of its start and end. Bounds are generous; figures are reported."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.integration.agent.node import Node
from tests.waiting import eventually

MIB = 1024
RSS_FRESH, RSS_WITH_PODS = 38 * MIB, 42 * MIB
CPU_TO_READY = 0.5
UNWANTED = ("aiohttp", "yarl", "multidict", "cryptography", "pydantic", "grpc")
"""Libraries with compiled parts, which show in the process's map of memory."""
PODS = 40


def memory(pid: int) -> dict[str, int]:
    """`Rss`, `Pss`, `Anonymous` and others in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name.rstrip(":"): int(kib) for name, kib, _ in (line.split() for line in lines)}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pid_of(node: Node) -> int:
    assert node.agent is not None
    return node.agent.pid


def test_a_fresh_agent_is_small_and_ready_with_little_cpu(live: Node, record_property: Callable[[str, object], None]) -> None:
    spent, used = cpu_seconds(pid_of(live)), memory(pid_of(live))
    told = f"RSS {used['Rss']} KiB, PSS {used['Pss']} KiB, anonymous {used['Anonymous']} KiB, CPU to ready {spent:.2f} s"
    print(told)
    record_property("footprint", told)

    assert used["Rss"] <= RSS_FRESH, told
    assert spent <= CPU_TO_READY, told


def test_pods_cost_an_agent_little(live: Node) -> None:
    before = memory(pid_of(live))["Rss"]
    for number in range(PODS):
        live.bind(f"10.68.0.{number + 1}", f"pod-{number}")
    answers = [live.cni("ADD", f"c{number}", f"pod-{number}")[0] for number in range(PODS)]

    after = memory(pid_of(live))["Rss"]

    assert answers == [0] * PODS
    assert before + (after - before) * 250 / PODS <= RSS_WITH_PODS, f"{before} KiB fresh, {after} KiB with {PODS} Pods"


def test_libraries_that_an_agent_does_not_need_are_not_in_its_memory(live: Node) -> None:
    mapped = Path(f"/proc/{pid_of(live)}/maps").read_text()

    assert [name for name in UNWANTED if f"/site-packages/{name}" in mapped] == []


def test_an_agent_has_few_threads(live: Node) -> None:
    assert len(list(Path(f"/proc/{pid_of(live)}/task").iterdir())) <= 4


def test_an_idle_agent_ends_at_once(live: Node) -> None:
    began = time.monotonic()
    live.end_agent(signal.SIGTERM)

    assert live.agent is not None
    assert (live.agent.returncode, time.monotonic() - began < 2) == (0, True)


def test_an_agent_that_cannot_reach_the_api_server_ends_at_once_too(node: Node) -> None:
    way = node.processes[0]
    way.terminate()
    way.wait(10)
    agent = node.launch_agent()
    eventually(node.log.read_text, lambda text: "watch_interrupted" in text, within=20)

    began = time.monotonic()
    node.end_agent(signal.SIGTERM)

    assert (agent.returncode, time.monotonic() - began < 2) == (0, True)
