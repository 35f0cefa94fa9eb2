"""I/O: how the agent stands at the moment of a scrape: gauges from what it holds, and from /proc/self."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import netmgr
from netmgr.agent.metrics import Family, Labels, one
from netmgr.kube.paths import resource_of
from netmgr.kube.reflector import Reflector

STAT, HANDLES = Path("/proc/self/stat"), Path("/proc/self/fd")


def watches(reflectors: Iterable[Reflector[Any]]) -> list[Family]:
    """How each watch fares. The age is that of the last event or bookmark: the API server sends one about once a minute."""
    by_resource: dict[Labels, Reflector[Any]] = {(("resource", resource_of(one.path)),): one for one in reflectors}
    starts = {labels: reflector.watches for labels, reflector in by_resource.items()}
    lists = {labels: reflector.lists for labels, reflector in by_resource.items()}
    ages = {labels: time.monotonic() - reflector.heard for labels, reflector in by_resource.items()}
    return [
        Family("netmgr_agent_watch_starts_total", "counter", "Times that a watch began.", starts),
        Family("netmgr_agent_watch_lists_total", "counter", "Whole lists read.", lists),
        Family("netmgr_agent_last_event_seconds", "gauge", "Age of the last event or bookmark.", ages),
    ]


def held(numbers: Mapping[str, tuple[int, str]]) -> list[Family]:
    """Gauges `netmgr_agent_<name>`, each with its number and what it counts."""
    return [one(f"netmgr_agent_{name}", "gauge", text, number) for name, (number, text) in numbers.items()]


def process() -> list[Family]:
    """The process itself, and which program it is."""
    fields = STAT.read_text().rpartition(")")[2].split()
    tick, cpu = os.sysconf("SC_CLK_TCK"), os.times()
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / tick
    resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    info = Family("netmgr_agent_build_info", "gauge", "Always 1.", {(("version", netmgr.__version__),): 1})
    return [
        one("netmgr_agent_process_cpu_seconds_total", "counter", "CPU time of the process.", cpu.user + cpu.system),
        one("netmgr_agent_process_resident_memory_bytes", "gauge", "Memory in RAM.", resident),
        one("netmgr_agent_process_open_fds", "gauge", "Open file descriptors.", sum(1 for _ in HANDLES.iterdir())),
        one("netmgr_agent_process_start_time_seconds", "gauge", "When the process began (Unix time).", time.time() - since_boot),
        info,
    ]
