"""From an annotation to an answer outside: real controller, agent, plugin, speaker and FRR; a router and a client in namespaces.

A kubelet is what is not there: the test binds the Pods and calls the plugin as containerd would.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from netmgr.api import bgp
from netmgr.api.bgp import NodeBGPState
from netmgr.kube import paths
from tests.integration.agent.node import Node, run
from tests.integration.apiserver import ApiServer
from tests.integration.controller.cluster import Cluster
from tests.waiting import eventually

DAEMONS = "/usr/lib/frr"
CLIENT, UPLINK, TOR = "192.0.2.10", "172.30.0.101", "172.30.0.1"
WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["main-path"]}', "ipam.spidernet.io/ippool-ip-number": "+3"}
TOR_BGPD = f"""frr defaults datacenter
router bgp 23000
 bgp router-id {TOR}
 no bgp ebgp-requires-policy
 bgp graceful-restart
 neighbor NODES peer-group
 neighbor NODES remote-as 64512
 neighbor NODES timers 3 9
 neighbor NODES advertisement-interval 0
 bgp listen range 172.30.0.0/24 peer-group NODES
"""


@dataclass(frozen=True)
class World:
    """The parts of one run."""

    cluster: Cluster
    node: Node
    tor: str
    client: str
    folder: Path

    def tor_routes(self) -> dict[str, str]:
        """Destination to next hop of BGP routes in the router's kernel."""
        found = json.loads(run("ip", "-n", self.tor, "-j", "route", "show", "proto", "bgp").stdout or "[]")
        return {one["dst"]: one["gateway"] for one in found}

    def state(self) -> NodeBGPState:
        path = paths.named(bgp.NODE_STATES, self.node.name)
        found: NodeBGPState = self.cluster.call(lambda api: api.get(path, NodeBGPState))
        return found


def daemons(node: Node, netns: str, folder: Path, bgpd: str) -> None:
    """The zebra and bgpd of one machine, in its namespace, with sockets of their own."""
    folder.mkdir()
    folder.chmod(0o777)
    for name, text in (("zebra", "no zebra nexthop kernel enable\n"), ("bgpd", bgpd)):
        file = folder / f"{name}.conf"
        file.write_text(text)
        file.chmod(0o644)
    for name, extra in (("zebra", []), ("bgpd", ["-p", "179", "-S"])):
        options = [
            "--vty_socket",
            str(folder),
            "-z",
            str(folder / "zserv.api"),
            "-i",
            str(folder / f"{name}.pid"),
        ]
        command = [f"{DAEMONS}/{name}", *options, *extra, "-A", "127.0.0.1", "-f", str(folder / f"{name}.conf")]
        node.start("ip", "netns", "exec", netns, *command)
        eventually((folder / f"{name}.vty").exists, bool, within=15, what=f"{name} listens")


def wire(node: Node, tor: str, client: str) -> None:
    """Node and client on the router, as single-tor."""
    for netns, address, length, gateway in ((node.netns, UPLINK, 24, TOR), (client, CLIENT, 24, "192.0.2.1")):
        side = "to-node" if netns == node.netns else "to-client"
        run("ip", "link", "add", "up0", "netns", netns, "type", "veth", "peer", "name", side, "netns", tor)
        run("ip", "-n", netns, "addr", "add", f"{address}/{length}", "dev", "up0")
        run("ip", "-n", netns, "link", "set", "up0", "up")
        run("ip", "-n", tor, "addr", "add", f"{gateway}/{length}", "dev", side)
        run("ip", "-n", tor, "link", "set", side, "up")
        run("ip", "-n", netns, "route", "add", "default", "via", gateway)
    for netns in (node.netns, tor):
        run("ip", "netns", "exec", netns, "sysctl", "-qw", "net.ipv4.ip_forward=1")


@pytest.fixture
def world(api_server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[World]:
    """Node, router and client are wired, FRR runs on both, agent, controller and speaker run."""
    node = Node(api_server, tmp_path)
    cluster = Cluster(api_server, namespace, tmp_path)
    sockets = Path(tempfile.mkdtemp(prefix="frr-"))  # the daemons drop to a user that cannot enter pytest's folders
    sockets.chmod(0o755)
    try:
        node.up()
        tor, client = f"{node.netns}-tor", f"{node.netns}-out"
        node.namespace(tor)
        node.namespace(client)
        wire(node, tor, client)
        daemons(node, tor, sockets / "tor", TOR_BGPD)
        daemons(node, node.netns, sockets / "node", "")
        node.start_agent("--namespace", namespace)
        program = str(Path(sys.executable).parent / "netmgr")
        options = ["--kubeconfig", str(api_server.kubeconfig), "--node-name", node.name]
        options += ["--frr-run-dir", str(sockets / "node"), "--state-dir", str(tmp_path / "speaker")]
        speaker = [program, "speaker", *options]
        log = f'exec "$@" 2> {tmp_path}/speaker.log'  # what it said helps when the test fails
        node.start("ip", "netns", "exec", node.netns, "sh", "-c", log, "sh", *speaker)
        with cluster.controller():
            yield World(cluster, node, tor, client, tmp_path)
    finally:
        node.down()
        cluster.clean(bgp.NEIGHBORS, bgp.ADVERTISEMENTS, bgp.NODE_STATES)
        shutil.rmtree(sockets)


def from_client(world: World, script: str) -> str:
    """What a script prints at the client."""
    return run("ip", "netns", "exec", world.client, "python3", "-c", script).stdout.strip()


def declare(cluster: Cluster) -> None:
    """What administrators write."""
    meta = {"apiVersion": bgp.GROUP_VERSION}
    spec = {"address": "defaultGateway", "asn": 23000, "localASN": 64512, "families": ["IPv4"]}
    cluster.create(bgp.NEIGHBORS, {**meta, "kind": "BGPNeighbor", "metadata": {"name": "main-path"}, "spec": spec})
    advertisement = {**meta, "kind": "PoolAdvertisement", "metadata": {"name": "main-path"}, "spec": {}}
    cluster.create(bgp.ADVERTISEMENTS, advertisement)
    cluster.subnet("main-path", "10.244.0.0/16", "10.244.100.0-10.244.200.1")


def test_a_client_outside_reaches_the_pod_and_keeps_its_address(world: World) -> None:
    cluster, node = world.cluster, world.node
    declare(cluster)
    owner = cluster.deployment("web", 1, WANTS)
    cluster.pods("web", WANTS, owner, 1, node=node.name)
    held = cluster.held(1)
    address, allocation = next(iter(held.items()))
    pod = node.pod()
    code, answer = node.cni("ADD", "c1", allocation.spec.pod.uid, netns=pod, plugin="netmgr", type="netmgr")
    assert code == 0, answer
    eventually(world.tor_routes, lambda routes: routes == {address: UPLINK}, within=20, what=f"the router's route to {address}")
    run("ip", "-n", node.netns, "route", "add", "blackhole", "10.9.9.9/32")
    page = "import socket;s=socket.create_server(('',80));c,a=s.accept();c.sendall(a[0].encode());c.close()"
    node.start("ip", "netns", "exec", Path(pod).name, "python3", "-c", page)
    ask = f"import socket;print(socket.create_connection(('{address}',80),3).recv(99).decode())"
    assert eventually(lambda: from_client(world, ask), bool, within=15, what="an answer") == CLIENT
    assert world.tor_routes() == {address: UPLINK}
    announced = eventually(lambda: world.state().status, lambda status: status.announced_count == 1, what="NodeBGPState")
    assert [one.state for one in announced.sessions or []] == ["Established"]
    assert node.cni("DEL", "c1", allocation.spec.pod.uid, netns=pod, plugin="netmgr", type="netmgr")[0] == 0
    eventually(world.tor_routes, lambda routes: routes == {}, within=20, what="withdrawal")
