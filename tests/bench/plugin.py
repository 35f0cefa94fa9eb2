"""The whole plugin process, one by one, against a real agent: fork, exec, ADD from memory, exit. Beside it a static program that
does nothing, in the same run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.integration.agent.node import Node
from tests.integration.apiserver import ApiServer

CALLS = 300
WARM = 20


def milliseconds(command: str, environment: dict[str, str], stdin: bytes) -> float:
    """One process from its start to its end; it must succeed."""
    began = time.perf_counter()
    process = subprocess.Popen([command], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.communicate(stdin)
    took = (time.perf_counter() - began) * 1000
    assert process.returncode == 0, command
    return took


def environment(command: str, number: int) -> dict[str, str]:
    """What a runtime sets."""
    arguments = "IgnoreUnknown=1;K8S_POD_UID=pod-a;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-a"
    return {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": f"bench{number}",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": "/run/netns/none",
        "CNI_PATH": "/opt/cni/bin",
        "CNI_ARGS": arguments,
        "PATH": os.environ["PATH"],
    }


def measure() -> dict[str, float]:
    """Medians and 99th percentiles in milliseconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "floor.c").write_text("int main(void) { return 0; }\n")
        subprocess.run(["musl-gcc", "-static", "-Os", "-s", "-o", str(folder / "floor"), str(folder / "floor.c")], check=True)
        (folder / "server").mkdir()
        (folder / "node").mkdir()
        server = ApiServer(folder / "server")
        try:
            server.start()
            node = Node(server, folder / "node")
            try:
                node.up()
                node.start_agent()
                node.bind("10.60.0.15", "pod-a")
                return compared(node, str(folder / "floor"))
            finally:
                node.down()
        finally:
            server.stop()


def compared(node: Node, floor: str) -> dict[str, float]:
    """ADDs and do-nothing processes in turn, so that both see the same machine."""
    plugin = str(node.build / "netmgr-ipam")
    stdin = json.dumps({"cniVersion": "1.0.0", "name": "net", "type": "calico", "socket": str(node.socket)}).encode()
    adds: list[float] = []
    floors: list[float] = []
    for number in range(CALLS + WARM):
        adds.append(milliseconds(plugin, environment("ADD", number), stdin))
        floors.append(milliseconds(floor, environment("ADD", number), b""))
        milliseconds(plugin, environment("DEL", number - 1), stdin)
    adds, floors = adds[WARM:], floors[WARM:]
    return {
        "plugin process, ADD: median": statistics.median(adds),
        "plugin process, ADD: 99th percentile": statistics.quantiles(adds, n=100)[98],
        "static process that does nothing: median": statistics.median(floors),
        "static process that does nothing: 99th percentile": statistics.quantiles(floors, n=100)[98],
    }
