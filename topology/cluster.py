"""What the lab's Kubernetes needs around its nodes: certificates, a door to the API server, knowing when it is ready.

I/O: writes certificates, starts one forwarding process, asks the API server over HTTPS.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from topology import pki, processes
from topology.clab import Node, Topology
from topology.errors import LabError

ROLE = "netmgr.io/role"
CONTROL_PLANE, NODE = "control-plane", "node"
READY_SECONDS = 120.0
POLL_SECONDS = 0.1
TIMEOUT_SECONDS = 5.0
WORDS_OF_FAILURE = (OSError, http.client.HTTPException, ValueError, KeyError)


def with_role(topology: Topology, role: str) -> list[Node]:
    """Nodes that carry a role as their label."""
    return [node for node in topology.nodes if node.labels.get(ROLE) == role]


class Cluster:
    """The Kubernetes of one lab; `folder` is the lab's, `state` the runtime's."""

    def __init__(self, topology: Topology, folder: Path, state: Path) -> None:
        self.folder, self.state = folder, state
        self.control_plane = next(iter(with_role(topology, CONTROL_PLANE)), None)
        self.nodes = with_role(topology, NODE)
        self.kubeconfig = folder / "kubeconfig"

    def prepare(self) -> None:
        """Write certificates and the kubeconfig; make the folder in which the API server's socket will be."""
        if self.control_plane is None:
            return
        address = self.control_plane.env["ADDRESS"]
        addresses = [address, *([self.control_plane.env["ADDRESS6"]] if "ADDRESS6" in self.control_plane.env else [])]
        authority = pki.Authority(dt.datetime.now(dt.UTC))
        folder = self.folder / "pki"
        pki.write_control_plane(authority, folder / self.control_plane.name, addresses)
        for node in self.nodes:
            pki.write_node(authority, folder / node.name, node.name, f"https://{address}:6443")
        administrator = authority.client("kubernetes-admin", "system:masters")
        pki.put_pair(folder / "admin", administrator)
        pki.put(folder / "ca.crt", authority.certificate)
        pki.put(self.kubeconfig, authority.kubeconfig(f"https://127.0.0.1:{free_port()}", administrator).encode())
        # A unix socket's path may have 107 characters, a clone's folder more: the socket is under /run.
        shared = self.state / "share"
        shared.mkdir(parents=True, exist_ok=True)
        (self.folder / "run").symlink_to(shared)

    @property
    def port(self) -> int:
        """The API server's port on the machine's loopback."""
        server = json.loads(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        return int(server.rpartition(":")[2])

    def open_door(self) -> None:
        """Forward the port of the kubeconfig to the API server."""
        if self.control_plane is None:
            return
        listen = f"TCP-LISTEN:{self.port},bind=127.0.0.1,fork,reuseaddr,backlog=128"
        words = ["socat", listen, f"UNIX-CONNECT:{self.state / 'share' / 'api.sock'}"]
        processes.start(words, self.state / "door.process", self.state / "door.log", dict(os.environ))

    def wait(self, images_are_there: Callable[[str], bool], progress: Callable[[str], None]) -> None:
        """Until the API server serves, every node has registered and holds the images."""
        if self.control_plane is None:
            return
        until("the API server", self.serves, progress)
        progress("API server ready")
        until("the nodes' registration", self.registered, progress)
        progress(f"nodes registered: {', '.join(node.name for node in self.nodes)}")
        until("the images", lambda: all(images_are_there(node.name) for node in self.nodes), progress)
        progress("images imported")

    def serves(self) -> bool:
        """Whether the API server is ready and the first ServiceAccount is there, without which no Pod starts."""
        return self.ask("/readyz")[0] == 200 and self.ask("/api/v1/namespaces/default/serviceaccounts/default")[0] == 200

    def registered(self) -> bool:
        """Whether all nodes have registered."""
        items = self.ask("/api/v1/nodes")[1]["items"]
        return {node.name for node in self.nodes} <= {item["metadata"]["name"] for item in items}

    def ask(self, path: str) -> tuple[int, Mapping[str, Any]]:
        """Status and decoded body of a GET."""
        context = ssl.create_default_context(cafile=str(self.folder / "pki" / "ca.crt"))
        context.load_cert_chain(self.folder / "pki" / "admin.crt", self.folder / "pki" / "admin.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body.startswith(b"{") else {}
        finally:
            connection.close()


def until(what: str, holds: Callable[[], bool], progress: Callable[[str], None]) -> None:
    """Wait for a condition; a refused connection or an unexpected answer means not yet. A line each five seconds."""
    began = told = time.monotonic()
    last = "nothing"
    while True:
        try:
            if holds():
                return
        except WORDS_OF_FAILURE as error:
            last = f"{type(error).__name__}: {error}"
        now = time.monotonic()
        if now - began > READY_SECONDS:
            raise LabError(f"{what}: not there within {READY_SECONDS:g} s; last seen: {last}; logs are in the nodes' /var/log/lab")
        if now - told > 5:
            progress(f"waiting for {what}")
            told = now
        time.sleep(POLL_SECONDS)


def free_port() -> int:
    """A free port of the loopback."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
