"""Processes that outlive the command which started them: recorded, recognised, ended by their id.

I/O: starts and ends processes, reads /proc. A record holds the process's start time too, so that a number which the kernel gave
to somebody else meanwhile is never signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

END_SECONDS = 10.0


def start(command: Sequence[str], record: Path, log: Path, environment: Mapping[str, str]) -> None:
    """Start a program in a session of its own and record it."""
    with log.open("a") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=dict(environment), start_new_session=True
        )
    process.returncode = 0  # it is meant to go on: no warning when the handle is dropped
    record.write_text(f"{process.pid} {started_at(process.pid) or 0}")


def running(record: Path) -> int | None:
    """The recorded process's id while it runs."""
    try:
        number, began = record.read_text().split()
    except (OSError, ValueError):
        return None
    return int(number) if began != "0" and started_at(int(number)) == int(began) else None


def started_at(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None if it is gone or a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def first_child(pid: int) -> int | None:
    """The first child of a process."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def end(records: Sequence[Path]) -> None:
    """Kill the recorded processes and wait until they are gone."""
    for record in records:
        pid = running(record)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS
    while any(running(record) for record in records) and time.monotonic() < deadline:
        time.sleep(0.01)
