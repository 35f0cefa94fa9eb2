"""A lab by name: up, down, run something inside.

I/O: puts `topology.runtime`, `topology.cluster`, `topology.images` together. All that a lab writes is in `.lab/<name>` of the clone
and below /run; `down` removes both.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from topology import clab, images, kubernetes
from topology.cluster import Cluster
from topology.errors import TopologyError
from topology.runtime import Runtime, remove, retry

PROJECT = Path(__file__).resolve().parents[1]
LABS = Path(__file__).parent / "labs"
IMPORTED = "/run/lab-images-imported"  # the nodes' entry makes it
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab of this clone, running or not."""

    file: Path
    folder: Path
    topology: clab.Topology
    runtime: Runtime
    cluster: Cluster

    @classmethod
    def open(cls, name: str, project: Path = PROJECT) -> Lab:
        """The lab of a name in topology/labs, or of a topology file's path."""
        file = Path(name).resolve() if name.endswith((".yml", ".yaml")) else LABS / name / f"{name}.clab.yml"
        if not file.is_file():
            known = ", ".join(sorted(path.name for path in LABS.iterdir() if path.is_dir()))
            raise TopologyError(f"lab {name!r}: {file} does not exist; give a *.clab.yml file or one of: {known}")
        topology = clab.read(file, project / ".lab", environment())
        folder = project / ".lab" / topology.name
        runtime = Runtime(topology, folder, visible(project))
        return cls(file, folder, topology, runtime, Cluster(topology, folder, runtime.state))

    @property
    def name(self) -> str:
        """The topology's name."""
        return self.topology.name

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig, for use on the machine itself. It exists while the lab runs."""
        return self.cluster.kubeconfig

    def is_up(self) -> bool:
        """Whether the lab has come up as a whole and every node still runs."""
        return self._finished.exists() and all(self.runtime.alive(node.name) for node in self.topology.nodes)

    def up(self, progress: Progress | None = None) -> None:
        """Start the lab and wait for its Kubernetes. A lab that is up stays as it is; the rest of a broken one is removed first."""
        say = progress or quiet
        with self._locked():
            if self.is_up():
                say("is up already")
                return
            self._remove()
            try:
                self._start(say)
            except BaseException:
                self._remove()
                raise

    def down(self, progress: Progress | None = None) -> None:
        """End the lab and leave nothing of it."""
        with self._locked():
            self._remove()
        (progress or quiet)("down")

    def run(
        self, node: str, argv: Sequence[str], *, stdin: str | None = None, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a node and return its exit code and output; NotUpError if the node does not run."""
        command = [*self.runtime.inside(node), *argv]
        where = self.runtime.environment(node)
        return subprocess.run(command, input=stdin, env=where, capture_output=True, text=True, check=False, timeout=timeout)

    def inspect(self) -> dict[str, list[dict[str, str]]]:
        """The nodes, as `containerlab inspect --format json` words them."""
        return {self.name: [self._describe(node) for node in self.topology.nodes]}

    @property
    def _finished(self) -> Path:
        """A file that `up` writes last: without it, an `up` was cut off."""
        return self.runtime.state / "finished"

    def _describe(self, node: clab.Node) -> dict[str, str]:
        alive = self.runtime.alive(node.name)
        return {
            "lab_name": self.name,
            "labPath": str(self.file),
            "absLabPath": str(self.file),
            "name": node.name,
            "container_id": str(self.runtime.pid(node.name)) if alive else "",
            "image": node.image,
            "kind": node.kind,
            "group": node.group,
            "state": "running" if alive else "exited",
            "status": "Up" if alive else "Exited",
            "ipv4_address": node.env.get("ADDRESS", "N/A"),
            "ipv6_address": node.env.get("ADDRESS6", "N/A"),
        }

    def _start(self, say: Progress) -> None:
        self.folder.mkdir(parents=True)
        if self.cluster.control_plane is not None:
            kubernetes.binary()
            images.write_all(self.folder / "images", say)
            say("images ready")
            self.cluster.prepare()
        self.runtime.up()
        say(f"{len(self.topology.nodes)} nodes started")
        self.cluster.open_door()
        self.cluster.wait(lambda node: self.run(node, ["test", "-e", IMPORTED]).returncode == 0, say)
        self._finished.touch()

    def _remove(self) -> None:
        self.runtime.down()
        retry(lambda: remove(self.folder), str(self.folder))
        parent = self.folder.parent
        if parent.exists() and not any(parent.iterdir()):
            parent.rmdir()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One `up` or `down` at a time; the topology file itself is the lock, so that none is left behind."""
        descriptor = os.open(self.file, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def started(project: Path = PROJECT) -> list[Lab]:
    """The labs of a clone of which anything exists. Labs that are started from a file elsewhere are not known by name."""
    labs = [Lab.open(path.name, project) for path in sorted(LABS.iterdir()) if path.is_dir()]
    return [lab for lab in labs if lab.runtime.started() or lab.folder.exists()]


def environment() -> Mapping[str, str]:
    """Variables of topology files: the caller's, and where the cluster's program is."""
    if "NETMGR_KUBE" in os.environ:
        return os.environ
    return {**os.environ, "NETMGR_KUBE": str(kubernetes.place())}


def visible(project: Path) -> tuple[Path, ...]:
    """Folders that nodes see even where their private /tmp or /run would hide them: the project and the cache."""
    hidden = (Path("/tmp"), Path("/run"))  # noqa: S108 - a comparison, nothing is written there
    folders = (project, kubernetes.cache().resolve())
    return tuple(one for one in folders if one.is_dir() and any(one.is_relative_to(top) for top in hidden))


def timed(name: str, write: Callable[[str], object]) -> Progress:
    """A progress writer that puts the seconds since now before each line."""
    began = time.monotonic()

    def tell(line: str) -> None:
        write(f"{time.monotonic() - began:6.1f} s  {name}: {line}")

    return tell


def quiet(_line: str) -> None:
    """Say nothing."""
