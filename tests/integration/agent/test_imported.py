"""Allocations that were imported: another plugin made the attachment, so the kernel alone says when it has ended."""

from __future__ import annotations

import json

from netmgr.api.allocation import IMPORTED
from tests.integration.agent.node import Node, run
from tests.waiting import eventually

SPIDERPOOL = {IMPORTED: "spiderpool"}


def attached_by_another_plugin(node: Node, address: str, link: str) -> str:
    """A Pod's namespace with the address, and the host route to it over a veth, as Calico makes it; the namespace's path."""
    path = node.pod()
    name = path.rpartition("/")[2]
    run("ip", "-n", node.netns, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "-n", node.netns, "link", "set", link, "up")
    run("ip", "-n", name, "address", "add", f"{address}/32", "dev", "eth0")
    assert run("ip", "-n", node.netns, "route", "add", f"{address}/32", "dev", link, "scope", "link").returncode == 0
    return path


def end(node: Node, path: str) -> None:
    """The runtime takes the namespace away, and with it the veth and its route."""
    run("ip", "netns", "del", path.rpartition("/")[2])
    node.namespaces.remove(path.rpartition("/")[2])


def waits(node: Node, address: str, why: str) -> None:
    """Until the agent has looked and found the address still there."""
    eventually(node.log.read_text, lambda text: f"release_waits allocation={address} {why}" in text, within=20, what="a look")


def test_del_of_an_attachment_without_a_record_reports_nothing_and_takes_nothing_away(live: Node) -> None:
    path = attached_by_another_plugin(live, "10.62.0.1", "cali0001")
    live.bind("10.62.0.1", "pod-a", labels=SPIDERPOOL)

    answer = live.cni("DEL", "from-before", "pod-a", netns=path)

    assert answer == (0, "")
    live.ask_release("10.62.0.1", "pod-a")
    waits(live, "10.62.0.1", "link=cali0001")
    assert live.phase("10.62.0.1") == "Releasing"
    assert "10.62.0.1 dev cali0001" in live.routes()


def test_the_release_is_confirmed_once_route_and_namespace_are_gone(live: Node) -> None:
    path = attached_by_another_plugin(live, "10.62.0.2", "cali0002")
    live.bind("10.62.0.2", "pod-a", labels=SPIDERPOOL)
    live.ask_release("10.62.0.2", "pod-a")
    waits(live, "10.62.0.2", "link=cali0002")

    end(live, path)

    eventually(lambda: live.phase("10.62.0.2"), lambda phase: phase == "Detached", within=20)


def test_an_address_without_a_host_route_is_looked_for_in_the_namespaces_also_after_a_restart_of_the_agent(live: Node) -> None:
    """Macvlan and its like leave no trace on the host; the agent's own records are there by then, and say nothing about it."""
    path = live.pod()
    run("ip", "-n", path.rpartition("/")[2], "address", "add", "10.62.0.3/24", "dev", "lo")
    live.bind("10.62.0.3", "pod-a", labels=SPIDERPOOL)
    live.end_agent()
    live.start_agent()
    live.ask_release("10.62.0.3", "pod-a")
    waits(live, "10.62.0.3", f"namespace={path}")

    end(live, path)

    eventually(lambda: live.phase("10.62.0.3"), lambda phase: phase == "Detached", within=20)


def test_a_living_pods_sandbox_that_is_made_again_has_its_address_and_a_record(live: Node) -> None:
    path = attached_by_another_plugin(live, "10.62.0.4", "cali0004")
    live.bind("10.62.0.4", "pod-a", labels=SPIDERPOOL)
    live.cni("DEL", "from-before", "pod-a", netns=path)

    code, out = live.cni("ADD", "new", "pod-a")

    assert (code, json.loads(out)["ips"]) == (0, [{"address": "10.62.0.4/32"}])
    assert live.cni("CHECK", "new", "pod-a") == (0, "")
    live.cni("DEL", "new", "pod-a")
    eventually(lambda: live.phase("10.62.0.4"), lambda phase: phase == "Detached", within=20)


def test_a_late_del_from_before_leaves_the_new_sandbox_alone(live: Node) -> None:
    live.bind("10.62.0.5", "pod-a", labels=SPIDERPOOL)
    netns = live.pod()
    live.cni("ADD", "new", "pod-a", netns=netns, plugin="netmgr", type="netmgr")

    late = live.cni("DEL", "from-before", "pod-a", plugin="netmgr", type="netmgr")

    assert late == (0, "")
    assert "10.62.0.5 dev nm" in live.routes()
    assert live.cni("CHECK", "new", "pod-a", netns=netns, plugin="netmgr", type="netmgr") == (0, "")
    assert live.phase("10.62.0.5") == ""


def test_a_network_that_names_spiderpool_as_its_ipam_plugin_is_answered_as_it_stands(node: Node) -> None:
    """The configurations and NetworkAttachmentDefinitions of a cluster that ran Spiderpool; only the socket is the test's own."""
    conf, binaries = node.folder / "net.d", node.build
    folders = ("--cni-conf-dir", str(conf), "--cni-bin-dir", str(binaries), "--plugin-dir", str(node.build))
    node.start_agent(*folders, "--ipam-only", "--ipam-as", "spiderpool")
    eventually((binaries / "spiderpool").exists, bool, within=10, what="the plugin under its old name")
    assert not conf.exists()
    node.bind("10.62.0.6", "pod-a", gateway="10.62.0.254")
    netns = node.pod()
    ipam = {"type": "spiderpool", "log_level": "INFO", "default_ipv4_ippool": ["p"], "socket": str(node.socket)}

    code, out = node.cni("ADD", "c1", "pod-a", netns=netns, plugin="/usr/lib/cni/ptp", type="ptp", ipam=ipam)

    assert code == 0, out
    assert "10.62.0.6/24" in run("ip", "-n", netns.rpartition("/")[2], "addr").stdout
