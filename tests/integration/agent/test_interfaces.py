"""Several interfaces of one Pod, each with an ADD of its own, made by the real macvlan, bridge, ptp and by netmgr itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.agent.node import Node, run
from tests.waiting import eventually

KINDS: list[tuple[str, int, dict[str, Any]]] = [
    ("ptp", 11, {}),
    ("bridge", 12, {"bridge": "br1"}),
    ("macvlan", 13, {"master": "lan", "mode": "bridge"}),
]


def call_of(node: Node, kind: str, netns: str, **config: Any) -> dict[str, Any]:
    ipam = {"type": "netmgr-ipam", "socket": str(node.socket)}
    return {"netns": netns, "plugin": f"/usr/lib/cni/{kind}", "type": kind, "ipam": ipam, **config}


def inside(netns: str, *words: str) -> str:
    return run("ip", "-n", netns.rpartition("/")[2], *words).stdout


def eth0(node: Node, address: str, netns: str, **more: Any) -> None:
    """A Pod's first interface: a routed veth."""
    node.bind(address, "pod-a", **more)
    code, out = node.cni("ADD", "c1", "pod-a", netns=netns, plugin="netmgr", type="netmgr")
    assert code == 0, out


def lan(node: Node) -> None:
    run("ip", "-n", node.netns, "link", "add", "lan", "type", "bridge")
    run("ip", "-n", node.netns, "link", "set", "lan", "up")


@pytest.mark.parametrize(("kind", "host", "config"), KINDS, ids=[row[0] for row in KINDS])
def test_a_second_interface_is_answered_while_the_first_is_attached(
    live: Node, kind: str, host: int, config: dict[str, Any]
) -> None:
    lan(live)
    first, second = f"10.67.0.{host}", f"10.63.0.{host}"
    netns = live.pod()
    eth0(live, first, netns)
    route = {"dst": "192.168.7.0/24", "gw": "10.63.0.254"}
    live.bind(second, "pod-a", interface="net1", gateway="10.63.0.254", cleanGateway=True, routes=[route])
    call = call_of(live, kind, netns, **config)

    code, out = live.cni("ADD", "c1", "pod-a", ifname="net1", name="second", **call)

    assert code == 0, out
    routes = inside(netns, "route")
    assert "default via 169.254.1.1 dev eth0" in routes
    assert routes.count("default") == 1
    assert "192.168.7.0/24 via 10.63.0.254 dev net1" in routes
    assert f"{second}/24" in inside(netns, "addr", "show", "net1")
    assert live.cni("DEL", "c1", "pod-a", ifname="net1", name="second", **call)[0] == 0
    eventually(lambda: live.phase(second), lambda phase: phase == "Detached", within=10)
    assert live.phase(first) == ""
    assert f"{first} dev nm" in live.routes()


def test_two_interfaces_of_one_pool_never_get_the_same_address(live: Node) -> None:
    live.bind("10.67.0.2", "pod-a")
    live.bind("10.67.0.3", "pod-a", interface="net1")

    answers = [live.cni("ADD", "c1", "pod-a", ifname=ifname)[1] for ifname in ("net1", "eth0", "net1", "eth0")]

    found = [json.loads(one)["ips"][0]["address"] for one in answers]
    assert found == ["10.67.0.3/32", "10.67.0.2/32", "10.67.0.3/32", "10.67.0.2/32"]


def test_two_routed_interfaces_share_no_default_route(live: Node) -> None:
    netns = live.pod()
    eth0(live, "10.67.0.4", netns, cleanGateway=True, routes=[{"dst": "192.168.8.0/24", "gw": "10.67.0.254"}])
    live.bind("10.63.0.4", "pod-a", interface="net1")

    code, out = live.cni("ADD", "c1", "pod-a", ifname="net1", netns=netns, name="second", plugin="netmgr", type="netmgr")

    assert code == 0, out
    routes = inside(netns, "route")
    assert "default via 169.254.1.1 dev net1" in routes
    assert "192.168.8.0/24 via 169.254.1.1 dev eth0" in routes
    assert routes.count("default") == 1
    assert {one["dst"] for one in json.loads(out)["routes"]} == {"0.0.0.0/0"}


@pytest.mark.parametrize(
    ("pod", "ifname", "annotations", "words"),
    [
        ("told-1", "eth0", {"ippools": '[{"interface":"net1","ipv4":["p"]}]'}, "ippools has no entry for eth0"),
        ("told-2", "net9", {"ippool": '{"ipv4":["p"]}'}, "no annotation of the Pod speaks of an interface net9"),
        ("told-3", "net1", {"ippool": "nonsense"}, "is not JSON"),
    ],
)
def test_an_interface_that_nobody_speaks_for_says_so(
    node: Node, pod: str, ifname: str, annotations: dict[str, str], words: str
) -> None:
    node.start_agent("--add-deadline", "0.5")
    node.create_pod(pod, {f"ipam.spidernet.io/{key}": value for key, value in annotations.items()})

    code, out = node.cni("ADD", "c1", pod, ifname=ifname)

    assert (code, words in out) == (1, True), out


def test_an_interface_of_another_pods_name_waits_and_says_so(node: Node) -> None:
    node.start_agent("--add-deadline", "0.5")
    node.bind("10.67.0.5", "pod-a")

    code, out = node.cni("ADD", "c1", "pod-a", ifname="net9")

    assert (code, json.loads(out)["code"]) == (1, 11)
