"""Pods that no rule covers: the real host-local answers for them, through the real plugin, agent, API server and kernel."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent.node import Node, run
from tests.waiting import eventually

NETNS = "/run/netns/unused"
"""An IPAM plugin wants the variable and never looks there."""


@pytest.fixture
def falling(node: Node) -> Node:
    """A node whose agent hands Pods that no rule covers over to host-local."""
    node.start_agent("--fallback", "delegate:host-local")
    return node


def ipam(node: Node, kind: str) -> dict[str, Any]:
    """An `ipam` section that host-local understands, and that calls us where `kind` is netmgr-ipam."""
    leases, socket = str(node.folder / "leases"), str(node.socket)
    return {"type": kind, "socket": socket, "dataDir": leases, "ranges": [[{"subnet": "10.98.0.0/24"}]]}


def leased(node: Node) -> list[str]:
    """Addresses that host-local has given out."""
    folder = node.folder / "leases" / "net"
    return sorted(file.name for file in folder.glob("10.*")) if folder.exists() else []


def records(node: Node) -> list[str]:
    return sorted(file.name for file in Path(f"{node.socket}.delegated").iterdir())


def test_a_pod_that_no_rule_covers_is_answered_by_the_delegate_and_given_back_to_it(falling: Node) -> None:
    falling.delegate("pod-x")
    config: dict[str, Any] = {"type": "calico", "netns": NETNS, "ipam": ipam(falling, "netmgr-ipam")}

    code, out = falling.cni("ADD", "c1", "pod-x", **config)

    assert code == 0, out
    assert [one["address"] for one in json.loads(out)["ips"]] == ["10.98.0.2/24"]
    assert (leased(falling), records(falling)) == (["10.98.0.2"], ["net.c1.eth0"])
    assert falling.cni("CHECK", "c1", "pod-x", **config) == (0, "")
    assert falling.cni("DEL", "c1", "pod-x", **config)[0] == 0
    assert (leased(falling), records(falling)) == ([], [])


def test_a_waiting_add_is_handed_over_when_the_controller_has_decided(falling: Node) -> None:
    config: dict[str, Any] = {"netns": NETNS, "ipam": ipam(falling, "netmgr-ipam")}
    falling.delegate()
    asked = falling.start_call("ADD", "c1", "pod-x", **config)

    falling.delegate("pod-x")

    out, _ = asked.communicate(timeout=20)
    assert (asked.returncode, "10.98.0.2/24" in out) == (0, True)


def test_our_main_plugin_makes_the_interface_for_the_delegates_address(falling: Node) -> None:
    falling.delegate("pod-x")
    netns = falling.pod()
    call: dict[str, Any] = {"netns": netns, "plugin": "netmgr", "type": "netmgr", "ipam": ipam(falling, "host-local")}

    code, out = falling.cni("ADD", "c1", "pod-x", **call)

    assert code == 0, out
    assert "10.98.0.2 dev nm" in falling.routes()
    assert "10.98.0.2/32" in run("ip", "-n", netns.rpartition("/")[2], "addr").stdout
    assert falling.cni("CHECK", "c1", "pod-x", **call) == (0, "")
    assert falling.cni("DEL", "c1", "pod-x", **call) == (0, "")
    assert (falling.routes(), leased(falling), records(falling)) == ("", [], [])


def test_del_while_the_agent_is_away_gives_the_address_back_to_the_delegate(falling: Node) -> None:
    falling.delegate("pod-x")
    call: dict[str, Any] = {"plugin": "netmgr", "type": "netmgr", "ipam": ipam(falling, "host-local")}
    falling.cni("ADD", "c1", "pod-x", netns=falling.pod(), **call)
    falling.end_agent()

    ended = falling.cni("DEL", "c1", "pod-x", **call)

    assert (ended, leased(falling)) == ((0, ""), [])
    falling.start_agent()  # without the setting: what is on record is still honoured
    eventually(lambda: records(falling) + falling.routes().split(), lambda left: left == [], within=10)


def test_del_of_our_own_pod_while_the_agent_is_away_does_not_trouble_the_delegate(falling: Node) -> None:
    falling.bind("10.60.1.1", "pod-a")
    broken = {"type": "netmgr-ipam", "socket": str(falling.socket)}  # host-local would refuse it: no ranges
    falling.cni("ADD", "c1", "pod-a", ipam=broken)
    falling.end_agent()

    assert falling.cni("DEL", "c1", "pod-a", ipam=broken) == (0, "")

    falling.start_agent("--fallback", "delegate:host-local")
    eventually(lambda: falling.phase("10.60.1.1"), lambda phase: phase == "Detached", within=10)


@pytest.mark.parametrize("away", [False, True], ids=["agent there", "agent away"])
def test_a_pod_from_before_netmgr_is_given_back_to_its_own_plugin(falling: Node, away: bool) -> None:
    before = falling.cni("ADD", "c1", "pod-x", netns=NETNS, plugin="/usr/lib/cni/host-local", ipam=ipam(falling, "host-local"))
    assert (before[0], leased(falling)) == (0, ["10.98.0.2"])
    if away:
        falling.end_agent()

    ended = falling.cni("DEL", "c1", "pod-x", ipam=ipam(falling, "netmgr-ipam"))

    assert (ended[0], leased(falling)) == (0, [])


def test_the_delegate_that_answered_is_remembered_when_the_setting_has_gone(falling: Node) -> None:
    falling.delegate("pod-x")
    config: dict[str, Any] = {"netns": NETNS, "ipam": ipam(falling, "netmgr-ipam")}
    falling.cni("ADD", "c1", "pod-x", **config)
    falling.end_agent()
    falling.start_agent()

    checked, ended = falling.cni("CHECK", "c1", "pod-x", **config), falling.cni("DEL", "c1", "pod-x", **config)

    assert (checked[0], ended[0], leased(falling)) == (0, 0, [])


def test_a_delegate_that_fails_at_del_keeps_its_record_for_the_next_try(falling: Node) -> None:
    falling.delegate("pod-x")
    config: dict[str, Any] = {"netns": NETNS, "ipam": ipam(falling, "netmgr-ipam")}
    falling.cni("ADD", "c1", "pod-x", **config)

    failed = falling.cni("DEL", "c1", "pod-x", ipam={"type": "netmgr-ipam", "socket": str(falling.socket)})

    assert (failed[0] != 0, records(falling), leased(falling)) == (True, ["net.c1.eth0"], ["10.98.0.2"])
    assert falling.cni("DEL", "c1", "pod-x", **config)[0] == 0
    assert (records(falling), leased(falling)) == ([], [])


def test_a_delegate_that_is_not_installed_is_an_error_that_names_it(node: Node) -> None:
    node.start_agent("--fallback", "delegate:calico-ipam")
    node.delegate("pod-x")

    code, out = node.cni("ADD", "c1", "pod-x", netns=NETNS, ipam=ipam(node, "netmgr-ipam"))

    assert (code, "calico-ipam" in out, "CNI_PATH" in out) == (1, True, True)


def test_gc_gives_what_the_runtime_has_forgotten_back_to_the_delegate(falling: Node) -> None:
    falling.delegate("pod-x", "pod-y")
    config: dict[str, Any] = {"netns": NETNS, "ipam": ipam(falling, "netmgr-ipam")}
    falling.cni("ADD", "c1", "pod-x", **config)
    falling.cni("ADD", "c2", "pod-y", **config)

    listed: dict[str, Any] = {"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]}
    collected = falling.cni("GC", "", "", **config, **listed)

    assert collected[0] == 0, collected
    assert (leased(falling), records(falling)) == (["10.98.0.3"], ["net.c2.eth0"])


def test_gc_during_which_the_agent_dies_ends_and_spools_what_it_could_not_tell(node: Node) -> None:
    node.start_agent("--fallback", "delegate:deadly")
    assert node.agent is not None
    deadly = node.build / "deadly"
    printed = '{"cniVersion":"1.0.0","ips":[{"address":"10.98.1.2/24"}]}'
    deadly.write_text(f"#!/bin/sh\n[ $CNI_COMMAND = ADD ] && echo '{printed}' || kill -9 {node.agent.pid} || true\n")
    deadly.chmod(0o755)
    node.delegate("pod-x", "pod-y")
    config: dict[str, Any] = {"netns": NETNS, "ipam": ipam(node, "netmgr-ipam"), "cni.dev/valid-attachments": []}
    node.cni("ADD", "c1", "pod-x", **config)
    node.cni("ADD", "c2", "pod-y", **config)

    collecting = node.start_call("GC", "", "", **config)

    assert (collecting.communicate(timeout=20)[0], collecting.returncode) == ("", 0)
    node.agent.wait(20)
    node.start_agent()
    eventually(lambda: records(node), lambda left: left == [], within=10)


def test_a_rule_that_comes_while_the_delegate_answers_is_too_late_for_this_sandbox(node: Node) -> None:
    node.start_agent("--fallback", "delegate:slow")
    slow, go_on = node.build / "slow", node.folder / "go-on"
    os.mkfifo(go_on)
    slow.write_text(f"""#!/bin/sh
case $CNI_COMMAND in ADD) read line < {go_on}; echo '{{"cniVersion":"1.0.0","ips":[{{"address":"10.98.1.9/24"}}]}}' ;; esac
echo $CNI_COMMAND >> {node.folder}/calls
""")
    slow.chmod(0o755)
    node.delegate("pod-x")
    call: dict[str, Any] = {"plugin": "netmgr", "type": "netmgr", "ipam": ipam(node, "slow")}
    adding = node.start_call("ADD", "c1", "pod-x", node.pod(), **call)
    eventually(lambda: records(node), bool, within=10)
    node.bind("10.60.1.3", "pod-x")
    eventually(lambda: node.cni("ADD", "other", "pod-x", netns=NETNS)[1], lambda out: "10.60.1.3" in out, within=10)

    go_on.write_text("now\n")

    out, _ = adding.communicate(timeout=20)
    assert (adding.returncode, [one["address"] for one in json.loads(out)["ips"]]) == (0, ["10.98.1.9/32"])
    assert node.cni("DEL", "c1", "pod-x", **call) == (0, "")
    assert ((node.folder / "calls").read_text().split(), records(node)) == (["ADD", "DEL"], [])


def test_our_own_pod_is_never_handed_over(falling: Node) -> None:
    falling.bind("10.60.1.2", "pod-a")
    falling.delegate("pod-x")

    answers = [falling.cni("ADD", "c1", uid, netns=NETNS, ipam=ipam(falling, "netmgr-ipam"))[1] for uid in ("pod-a", "pod-x")]

    assert [json.loads(one)["ips"][0]["address"] for one in answers] == ["10.60.1.2/32", "10.98.0.2/24"]
