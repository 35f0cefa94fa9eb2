"""What the kernel says about processes: CPU time and memory, from /proc."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes, all their threads included, in steps of 10 ms."""
    return sum(_ticks(pid) for pid in pids) / TICKS


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def fine_cpu_seconds(pid: int) -> float:
    """Time on a CPU to the nanosecond; only of threads that live, so not for processes whose threads come and go."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def children_cpu_seconds() -> float:
    """Time of all processes that this one has started and waited for: the plugin's, from exec to exit."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident_mib(pid: int) -> float:
    """Resident memory, pages that other processes share included."""
    return _status(pid, "VmRSS") / 1024


def anonymous_mib(pid: int) -> float:
    """The part of resident memory that is no file's."""
    return _status(pid, "RssAnon") / 1024


def _status(pid: int, field: str) -> int:
    """A field of /proc/PID/status in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0])
    raise AssertionError(f"/proc/{pid}/status has no {field}")
