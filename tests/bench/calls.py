"""CNI calls as a runtime makes them: one process each, timed from its start to its end; and a plugin that does nothing."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.bench.site import Agent

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "build" / "netmgr-ipam"
NOTHING = """#include <unistd.h>
int main(void) { char input[4096]; while (read(0, input, sizeof input) > 0) {} return write(1, "{}", 2) != 2; }
"""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One Pod's sandbox on one node."""

    agent: Agent
    pod: str
    uid: str

    def environment(self, command: str) -> dict[str, str]:
        """What a runtime sets."""
        arguments = f"IgnoreUnknown=1;K8S_POD_UID={self.uid};K8S_POD_NAMESPACE=default;K8S_POD_NAME={self.pod}"
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": self.uid.replace("-", ""),
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": "/run/netns/none",
            "CNI_PATH": "/opt/cni/bin",
            "CNI_ARGS": arguments,
            "PATH": os.environ["PATH"],
        }

    @property
    def stdin(self) -> bytes:
        """The network's configuration."""
        return json.dumps({"cniVersion": "1.0.0", "name": "net", "type": "calico", "socket": str(self.agent.socket)}).encode()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one process ended, and after how many milliseconds."""

    code: int
    milliseconds: float
    stdout: bytes


def call(program: Path, sandbox: Sandbox, command: str) -> Outcome:
    """One process."""
    began = time.perf_counter()
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([program], env=sandbox.environment(command), **options)  # type: ignore[call-overload] # the same for all
    stdout, _ = process.communicate(sandbox.stdin)
    return Outcome(process.returncode, (time.perf_counter() - began) * 1000, stdout)


def many(program: Path, sandboxes: Iterable[Sandbox], command: str, at_once: int) -> tuple[list[Outcome], float]:
    """One process per sandbox, so many at once; their outcomes, and the seconds that all took."""
    listed = list(sandboxes)
    with ThreadPoolExecutor(at_once) as pool:
        began = time.perf_counter()
        outcomes = list(pool.map(lambda one: call(program, one, command), listed))
        return outcomes, time.perf_counter() - began


def must_succeed(outcomes: Iterable[Outcome]) -> None:
    """Fail with what the first failed call printed."""
    failed = [one.stdout for one in outcomes if one.code]
    assert not failed, failed[0]


def idle_plugin(folder: Path) -> Path:
    """The floor: a static program that reads its configuration, prints an empty object and ends."""
    source, program = folder / "nothing.c", folder / "nothing"
    source.write_text(NOTHING)
    subprocess.run(["musl-gcc", "-static", "-Os", "-s", "-o", str(program), str(source)], check=True)
    return program


class Waiting:
    """Plugin processes that have been started together and are waited for by the event loop; use inside a running one."""

    def __init__(self, folder: Path) -> None:
        self.ended: dict[str, float] = {}
        self.answers: dict[str, bytes] = {}
        self.failed = 0
        self._folder = folder
        self._running: dict[str, int] = {}
        self._moved = asyncio.Event()

    def start(self, sandbox: Sandbox) -> None:
        """Start one ADD; its end is noted by Pod UID in `ended`, in seconds since 1970."""
        with tempfile.TemporaryFile(dir=self._folder) as stdin:
            stdin.write(sandbox.stdin)
            stdin.seek(0)
            out = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed when the process has ended
            process = subprocess.Popen([PLUGIN], env=sandbox.environment("ADD"), stdin=stdin, stdout=out)
        self._running[sandbox.uid] = process.pid
        handle = os.pidfd_open(process.pid)
        loop = asyncio.get_running_loop()

        def end() -> None:
            self.ended[sandbox.uid] = time.time()
            loop.remove_reader(handle)
            os.close(handle)
            del self._running[sandbox.uid]
            self.failed += process.wait() != 0
            out.seek(0)
            self.answers[sandbox.uid] = out.read()
            out.close()
            self._moved.set()

        loop.add_reader(handle, end)

    async def until(self, done: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until `done()`, looked at whenever a process ends."""
        async with asyncio.timeout(seconds):
            while not done():
                self._moved.clear()
                await self._moved.wait()

    def all_sleep(self) -> bool:
        """Whether every process that runs sleeps: its question is with the agent."""
        states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in self._running.values()]
        return set(states) <= {"S"}

    def addresses(self) -> set[str]:
        """Addresses in all answers."""
        return {json.loads(text)["ips"][0]["address"] for text in self.answers.values() if b'"ips"' in text}
