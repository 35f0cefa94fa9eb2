"""Runs a topology in plain Linux namespaces: no container engine, no images.

I/O: makes namespaces, links, mounts and processes; needs root. A node is one process tree in network, mount, PID, IPC and UTS
namespaces of its own; ending the one recorded process ends the node. Names carry a hash of the lab's folder, so two clones run side
by side. Knows nothing of Kubernetes or BGP: what a node does is its command's business.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from topology import processes
from topology.clab import Node, Topology
from topology.errors import LabError, NodeError, NotUpError
from topology.root import READY, init_script

STATE = Path("/run/netmgr-lab")
CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = Path("/run/netns")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
START_SECONDS = 20.0
CLEAN_SECONDS = 15.0
POLL_SECONDS = 0.02


class Runtime:
    """One lab's namespaces. `folder` is the lab's folder; what must not outlive a reboot is under /run."""

    def __init__(self, topology: Topology, folder: Path, visible: Sequence[Path] = ()) -> None:
        self.topology, self.folder, self.visible = topology, folder, visible
        self.id = "nm-" + hashlib.sha256(str(folder).encode()).hexdigest()[:8]
        self.state = STATE / self.id

    def up(self) -> None:
        """Start all nodes and run their `exec`; a lab that fails half way is taken down again."""
        refused = [node.name for node in self.topology.nodes if node.kind != "linux"]
        if refused:
            raise NodeError(f"lab {self.topology.name}: {', '.join(refused)}: this runtime runs kind linux only; use containerlab")
        self.state.mkdir(parents=True, exist_ok=True)
        try:
            self._wire()
            for node in self.topology.nodes:
                self._start(node)
            for node in self.topology.nodes:
                self._await(node)
            for node in self.topology.nodes:
                self._configure(node)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Leave nothing: processes, namespaces, cgroups, state. A lab that is not up is no error."""
        processes.end(sorted(self.state.glob("*.process")))
        for path in NAMESPACES.glob(f"{self.id}-*"):
            command("ip", "netns", "delete", path.name)
        retry(self._remove_cgroups, "cgroups")
        retry(lambda: remove(self.state), str(self.state))
        with contextlib.suppress(OSError):
            STATE.rmdir()  # only the last lab's end succeeds

    def alive(self, node: str) -> bool:
        """Whether the node's first process runs."""
        return processes.running(self._record(node)) is not None

    def started(self) -> bool:
        """Whether anything of this lab exists."""
        return self.state.exists()

    def inside(self, node: str) -> list[str]:
        """The words before a command that make it run inside a node, in all its namespaces."""
        pid = self.pid(node)
        return ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]

    def pid(self, node: str) -> int:
        """The machine's id of a node's process 1."""
        if node not in {one.name for one in self.topology.nodes}:
            known = ", ".join(one.name for one in self.topology.nodes)
            raise NotUpError(f"lab {self.topology.name}: no node {node!r}; nodes: {known}")
        outer = processes.running(self._record(node))
        first = processes.first_child(outer) if outer else None
        if first is None:
            raise NotUpError(
                f"lab {self.topology.name}: node {node} is not running; start it with `netmgr lab up {self.topology.name}`"
            )
        return first

    def environment(self, node: str) -> dict[str, str]:
        """What programs in a node find in their environment; nothing of the caller's."""
        own = next(one.env for one in self.topology.nodes if one.name == node)
        return {"PATH": SYSTEM_PATH, "HOME": "/root", "LANG": "C.UTF-8", "NETMGR_LAB_ID": self.id, **own}

    def _record(self, node: str) -> Path:
        return self.state / f"{node}.process"

    def _namespace(self, node: Node) -> str:
        return f"{self.id}-{node.network_of}"

    def _wire(self) -> None:
        spaces = {node.name: self._namespace(node) for node in self.topology.nodes}
        for space in dict.fromkeys(spaces.values()):
            command("ip", "netns", "add", space)
            command("ip", "-n", space, "link", "set", "lo", "up")
        for number, link in enumerate(self.topology.links):
            first, second = (spaces[end.node] for end in link.ends)
            names = [f"{self.id[3:]}.{number}{side}" for side in "ab"]
            one = ["link", "add", names[0], "mtu", str(link.mtu), "netns", first, "type", "veth"]
            command("ip", *one, "peer", "name", names[1], "mtu", str(link.mtu), "netns", second)
            for name, end in zip(names, link.ends, strict=True):
                if end.mac:
                    command("ip", "-n", spaces[end.node], "link", "set", name, "address", end.mac)
                command("ip", "-n", spaces[end.node], "link", "set", name, "name", end.interface, "up")

    def _start(self, node: Node) -> None:
        missing = [str(bind.source) for bind in node.binds if not bind.source.exists()]
        if missing:
            raise NodeError(f"node {node.name}: bind source {missing[0]} does not exist; correct `binds` or make the file")
        work = self.state / node.name
        work.mkdir()
        script = init_script(node, work, self.visible, self.folder / "volumes")
        enter = ["nsenter", f"--net={NAMESPACES / self._namespace(node)}"]
        unshare = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL"]
        whole = [*enter, *unshare, "bash", "-c", script]
        processes.start(whole, self._record(node.name), self.state / f"{node.name}.log", self.environment(node.name))

    def _await(self, node: Node) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.alive(node.name):
            first = processes.first_child(processes.running(self._record(node.name)) or 0)
            if first and Path(f"/proc/{first}/root{READY}").exists():
                return
            time.sleep(POLL_SECONDS)
        words = (self.state / f"{node.name}.log").read_text()[-1000:].strip()
        raise NodeError(f"node {node.name} did not start: {words or 'no word from it'}")

    def _configure(self, node: Node) -> None:
        time.sleep(node.startup_delay)
        for words in node.exec:
            done = subprocess.run(
                [*self.inside(node.name), *words], env=self.environment(node.name), capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise NodeError(f"node {node.name}: exec {' '.join(words)!r} ended with {done.returncode}: {done.stderr.strip()}")

    def _remove_cgroups(self) -> None:
        for top in (*CGROUPS.glob(f"{self.id}-*"), *CGROUPS.glob(f"*/{self.id}-*")):
            for folder, _, _ in os.walk(top, topdown=False):
                Path(folder).rmdir()


def remove(folder: Path) -> None:
    """Remove a tree; one that is not there is no error."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def retry(action: Callable[[], None], what: str) -> None:
    """Repeat while the kernel still lets go of what ended; it does so a little later than the processes are gone."""
    deadline = time.monotonic() + CLEAN_SECONDS
    while True:
        try:
            return action()
        except OSError as error:
            if time.monotonic() > deadline:
                raise LabError(f"{what} cannot be removed: {error}; see what still uses it and repeat `lab down`") from error
            time.sleep(0.1)


def command(*words: str) -> None:
    """Run a program of the machine; its words make the error."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
