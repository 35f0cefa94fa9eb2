"""Calls around ADD and DEL: static Pods, GC by network, CHECK of what is gone, STATUS of an agent that knows nothing yet."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent.node import Node, run
from tests.waiting import eventually

HASH = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def static(node: Node, address: str, uid: str) -> None:
    """A static Pod's allocation: the API server knows its mirror, the runtime the hash of its configuration."""
    node.bind(address, uid, pod={"namespace": "default", "name": uid, "uid": uid, "runtimeUID": HASH})


def test_a_static_pod_is_answered_by_its_configurations_hash(live: Node) -> None:
    static(live, "10.64.0.1", "mirror-1")

    code, out = live.cni("ADD", "c1", HASH)

    assert (code, json.loads(out)["ips"]) == (0, [{"address": "10.64.0.1/32"}])
    live.cni("DEL", "c1", HASH)
    eventually(lambda: live.phase("10.64.0.1"), lambda phase: phase == "Detached", within=10)
    assert live.allocation("10.64.0.1").status.pod_uid == "mirror-1"


def test_a_late_del_of_a_static_pods_earlier_sandbox_keeps_the_address(live: Node) -> None:
    static(live, "10.64.0.2", "mirror-2")
    live.cni("ADD", "old", HASH)
    live.cni("ADD", "new", HASH)

    assert live.cni("DEL", "old", HASH) == (0, "")

    assert live.cni("CHECK", "new", HASH) == (0, "")
    assert live.cni("DEL", "new", HASH) == (0, "")
    eventually(lambda: live.phase("10.64.0.2"), lambda phase: phase == "Detached", within=10)
    assert live.allocation("10.64.0.2").status.container_id == "new"


def test_a_static_pod_whose_mirror_was_made_again_keeps_its_answer(live: Node) -> None:
    static(live, "10.64.0.3", "mirror-3")
    live.cni("ADD", "c1", HASH)
    live.unbind("10.64.0.3")
    static(live, "10.64.0.3", "mirror-4")

    eventually(lambda: live.cni("ADD", "c2", HASH)[0], lambda code: code == 0, within=10)

    live.cni("DEL", "c1", HASH)
    live.cni("DEL", "c2", HASH)
    eventually(lambda: live.allocation("10.64.0.3").status.pod_uid, lambda uid: uid == "mirror-4", within=10)


def test_gc_of_one_network_leaves_the_others_alone(live: Node) -> None:
    live.bind("10.64.0.4", "pod-a")
    live.bind("10.64.0.5", "pod-b")
    live.cni("ADD", "c1", "pod-a", name="one")
    live.cni("ADD", "c2", "pod-b", name="two")

    listed: dict[str, Any] = {"cniVersion": "1.1.0", "name": "one", "cni.dev/valid-attachments": []}
    assert live.cni("GC", "", "", **listed) == (0, "")

    eventually(lambda: live.phase("10.64.0.4"), lambda phase: phase == "Detached", within=10)
    assert live.phase("10.64.0.5") == ""
    assert live.cni("CHECK", "c2", "pod-b", name="two") == (0, "")


def test_gc_keeps_the_interface_that_is_listed_and_ends_the_other_one(live: Node) -> None:
    live.bind("10.64.0.6", "pod-a")
    live.bind("10.64.0.7", "pod-a", interface="net1")
    live.cni("ADD", "c1", "pod-a")
    live.cni("ADD", "c1", "pod-a", ifname="net1")

    listed = [{"containerID": "c1", "ifname": "eth0"}]
    assert live.cni("GC", "", "", **{"cniVersion": "1.1.0", "cni.dev/valid-attachments": listed}) == (0, "")  # type: ignore[arg-type] # JSON

    eventually(lambda: live.phase("10.64.0.7"), lambda phase: phase == "Detached", within=10)
    assert live.phase("10.64.0.6") == ""


def test_gc_without_a_list_ends_nothing(live: Node) -> None:
    live.bind("10.64.0.8", "pod-a")
    live.cni("ADD", "c1", "pod-a")

    code, out = live.cni("GC", "", "", cniVersion="1.1.0")

    assert (code, "cni.dev/valid-attachments" in out) == (1, True)
    assert live.cni("CHECK", "c1", "pod-a") == (0, "")


def test_check_says_that_the_host_route_is_gone(live: Node) -> None:
    live.bind("10.64.0.9", "pod-a")
    call: dict[str, Any] = {"netns": live.pod(), "plugin": "netmgr", "type": "netmgr"}
    assert live.cni("ADD", "c1", "pod-a", **call)[0] == 0
    run("ip", "-n", live.netns, "route", "del", "10.64.0.9/32")

    code, out = live.cni("CHECK", "c1", "pod-a", **call)

    assert (code, json.loads(out)["code"], "10.64.0.9" in out) == (1, 101, True)


def test_check_of_an_attachment_that_nobody_knows_is_an_error(live: Node) -> None:
    code, out = live.cni("CHECK", "never", "pod-a")

    assert (code, json.loads(out)["code"]) == (1, 101)


def test_status_of_a_node_without_agent_says_that_add_cannot_be_answered(node: Node) -> None:
    code, out = node.cni("STATUS", "", "", cniVersion="1.1.0")

    assert (code, json.loads(out)["code"], "netmgr-agent" in out) == (1, 50, True)


def test_a_del_waits_for_the_kernel_work_of_an_add_that_nobody_hears(live: Node) -> None:
    live.bind("10.60.3.9", "pod-a")
    netns = live.folder / "netns"
    os.mkfifo(netns)  # whoever opens it waits for a writer
    adding = live.start_call("ADD", "c1", "pod-a", str(netns), plugin="netmgr", type="netmgr")
    eventually(lambda: list(live.state.glob("attached/net.c1.*")), bool, within=10)
    adding.kill()
    adding.communicate()

    ending = live.start_call("DEL", "c1", "pod-a", "", plugin="netmgr", type="netmgr")

    with pytest.raises(subprocess.TimeoutExpired):
        ending.wait(1)
    with netns.open("w"):
        assert (ending.communicate(timeout=20)[0], ending.returncode) == ("", 0)
    eventually(lambda: live.phase("10.60.3.9"), lambda phase: phase == "Detached", within=10)


def test_a_spooled_del_that_fails_is_tried_again_and_holds_up_no_other(live: Node) -> None:
    for address, container, pod in (("10.60.3.10", "c1", "pod-a"), ("10.60.3.11", "c2", "pod-b")):
        live.bind(address, pod)
        live.cni("ADD", container, pod)
    in_the_way = live.state / "released" / "net.c1.eth0.json"
    in_the_way.mkdir()  # the record cannot be moved there

    lines = [{"network": "net", "containerID": container, "ifname": "eth0"} for container in ("c1", "c2")]
    Path(f"{live.socket}.spool").write_text("".join(json.dumps(line) + "\n" for line in lines))

    eventually(lambda: live.phase("10.60.3.11"), lambda phase: phase == "Detached", within=20)
    assert live.phase("10.60.3.10") == ""
    in_the_way.rmdir()
    eventually(lambda: live.phase("10.60.3.10"), lambda phase: phase == "Detached", within=20)


def test_an_add_that_waits_for_its_turn_is_not_answered_from_an_allocation_that_went_meanwhile(live: Node) -> None:
    live.bind("10.60.3.12", "pod-a")
    netns = live.folder / "netns"
    os.mkfifo(netns)
    first = live.start_call("ADD", "c1", "pod-a", str(netns), plugin="netmgr", type="netmgr")
    eventually(lambda: list(live.state.glob("attached/net.c1.*")), bool, within=10)
    second = live.start_call("ADD", "c2", "pod-a", "")
    eventually(lambda: open_calls(live), lambda number: number == 2, within=10)

    live.unbind("10.60.3.12")
    eventually(live.log.read_text, lambda text: "stray" in text, within=10)
    with netns.open("w"):
        first.communicate(timeout=20)

    out = second.communicate(timeout=20)[0]
    assert (second.returncode, json.loads(out)["code"], "10.60.3.12" in out) == (1, 11, True)


def open_calls(node: Node) -> int:
    """How many plugins the agent talks to."""
    sockets = run("ip", "netns", "exec", node.netns, "cat", "/proc/net/unix").stdout
    return sum(line.split()[5] == "03" and line.endswith(str(node.socket)) for line in sockets.splitlines()[1:])
