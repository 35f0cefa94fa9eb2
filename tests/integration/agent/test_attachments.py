"""ADD and DEL through the real plugin, the real agent, the real API server and the real kernel."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import Any

import pytest

from cni.attachments import boot_id
from tests.integration.agent.node import Node, run
from tests.waiting import eventually


def requests(node: Node) -> int:
    """What agents have asked for, heartbeats and watches aside."""
    counts = node.server.request_counts("netmgr-agent")
    return sum(number for (verb, resource), number in counts.items() if resource != "leases" and verb not in {"watch", "list"})


def test_calico_gets_the_address_alone_and_no_interfaces(live: Node) -> None:
    live.bind("10.60.0.1", "pod-a", gateway="10.60.0.254")

    code, out = live.cni("ADD", "c1", "pod-a")

    assert (code, json.loads(out)) == (0, {"cniVersion": "1.0.0", "ips": [{"address": "10.60.0.1/32"}], "routes": [], "dns": {}})


def test_the_calls_of_calico_in_their_order_free_the_address_once(live: Node) -> None:
    live.bind("10.60.0.2", "pod-a")
    live.cni("ADD", "old", "pod-a")
    live.cni("ADD", "new", "pod-a")
    late = live.cni("DEL", "old", "pod-a")
    after_late = live.phase("10.60.0.2")

    ends = [live.cni("DEL", "new", "pod-a"), live.cni("DEL", "new", "pod-a")]

    assert (late, after_late, ends) == ((0, ""), "", [(0, ""), (0, "")])
    eventually(lambda: live.phase("10.60.0.2"), lambda phase: phase == "Detached", within=10)
    assert live.allocation("10.60.0.2").status.container_id == "new"


def test_a_sandbox_made_again_after_del_takes_its_report_back(live: Node) -> None:
    live.bind("10.60.0.3", "pod-a")
    live.cni("ADD", "c1", "pod-a")
    live.cni("DEL", "c1", "pod-a")

    code, _ = live.cni("ADD", "c2", "pod-a")

    assert (code, live.phase("10.60.0.3")) == (0, "")
    time.sleep(1)  # nothing may be reported late
    assert live.phase("10.60.0.3") == ""


def test_a_report_that_cannot_be_taken_back_is_a_reason_to_try_later(live: Node) -> None:
    live.bind("10.60.0.22", "pod-a")
    live.cni("ADD", "c1", "pod-a")
    live.cni("DEL", "c1", "pod-a")
    eventually(lambda: live.phase("10.60.0.22"), lambda phase: phase == "Detached", within=10)
    run("ip", "-n", live.netns, "link", "set", "lo", "down")  # the way to the API server

    code, out = live.cni("ADD", "c2", "pod-a")

    assert (code, json.loads(out)["code"], "10.60.0.22" in out) == (1, 11, True)


def test_add_sends_no_request(live: Node) -> None:
    live.bind("10.60.0.15", "pod-a")
    live.cni("ADD", "c0", "pod-a")  # the allocation has arrived once this is answered
    before = requests(live)

    answers = [live.cni("ADD", f"c{number}", "pod-a")[0] for number in range(1, 20)]

    assert answers == [0] * 19
    assert requests(live) == before


def test_add_waits_for_both_families(live: Node) -> None:
    live.bind("10.60.0.4", "pod-a", siblings=2)
    threading.Timer(0.5, lambda: live.bind("fd00:60::4", "pod-a", siblings=2, length=64)).start()

    code, out = live.cni("ADD", "c1", "pod-a")

    assert (code, [ip["address"] for ip in json.loads(out)["ips"]]) == (0, ["10.60.0.4/32", "fd00:60::4/128"])


def test_add_ends_at_its_deadline_with_code_11(node: Node) -> None:
    node.start_agent("--add-deadline", "0.5")

    code, out = node.cni("ADD", "c1", "pod-none")

    assert (code, json.loads(out)["code"]) == (1, 11)


def test_of_two_addresses_of_one_family_the_older_is_answered_and_the_other_given_up(live: Node) -> None:
    live.bind("10.60.0.30", "pod-a")
    live.bind("10.60.0.31", "pod-a")
    answer = live.cni("ADD", "c1", "pod-a")

    live.ask_release("10.60.0.31", "pod-a")

    assert [one["address"] for one in json.loads(answer[1])["ips"]] == ["10.60.0.30/32"]
    eventually(lambda: live.phase("10.60.0.31"), lambda phase: phase == "Detached", within=20)
    assert live.phase("10.60.0.30") == ""


def test_the_routed_veth_is_announced_last_and_gone_after_del(live: Node) -> None:
    live.bind("10.60.0.5", "pod-a", siblings=2)
    live.bind("fd00:60::5", "pod-a", siblings=2, length=64)
    netns = live.pod()

    code, out = live.cni("ADD", "c1", "pod-a", netns=netns, plugin="netmgr", type="netmgr")

    assert code == 0, out
    assert "10.60.0.5 dev nm" in live.routes()
    assert "proto 80" in live.routes()
    assert "fd00:60::5 dev nm" in live.routes("-6")
    assert live.cni("CHECK", "c1", "pod-a", netns=netns, plugin="netmgr", type="netmgr") == (0, "")
    assert live.cni("DEL", "c1", "pod-a", netns=netns, plugin="netmgr", type="netmgr") == (0, "")
    assert live.routes() == ""
    assert "fd00:60::5" not in live.routes("-6")
    eventually(lambda: live.phase("10.60.0.5") + live.phase("fd00:60::5"), lambda both: both == "DetachedDetached", within=10)


def test_del_without_its_namespace_succeeds(live: Node) -> None:
    live.bind("10.60.0.6", "pod-a")
    live.cni("ADD", "c1", "pod-a", netns=live.pod(), plugin="netmgr", type="netmgr")

    assert live.cni("DEL", "c1", "pod-a", netns="/run/netns/none", plugin="netmgr", type="netmgr") == (0, "")
    assert live.routes() == ""


MAIN_PLUGINS: list[tuple[str, str, dict[str, Any]]] = [
    ("ptp", "10.61.0.5", {"ipMasq": False}),
    ("bridge", "10.61.0.6", {"bridge": "br0", "isDefaultGateway": True}),
    ("macvlan", "10.61.0.7", {"master": "lan", "mode": "bridge"}),
]


@pytest.mark.parametrize(("plugin", "address", "config"), MAIN_PLUGINS, ids=[row[0] for row in MAIN_PLUGINS])
def test_debians_main_plugins_put_our_address_on_the_pod(live: Node, plugin: str, address: str, config: dict[str, Any]) -> None:
    run("ip", "-n", live.netns, "link", "add", "lan", "type", "bridge")
    run("ip", "-n", live.netns, "link", "set", "lan", "up")
    live.bind(address, f"pod-{plugin}", gateway="10.61.0.254")
    netns, ipam = live.pod(), {"type": "netmgr-ipam", "socket": str(live.socket)}
    call = {"netns": netns, "plugin": f"/usr/lib/cni/{plugin}", "type": plugin, "ipam": ipam, **config}

    code, out = live.cni("ADD", "c1", f"pod-{plugin}", **call)

    assert code == 0, out
    pod = netns.rpartition("/")[2]
    assert f"{address}/24" in run("ip", "-n", pod, "addr").stdout
    assert "default via 10.61.0.254" in run("ip", "-n", pod, "route").stdout
    assert live.cni("DEL", "c1", f"pod-{plugin}", **call)[0] == 0
    eventually(lambda: live.phase(address), lambda phase: phase == "Detached", within=10)


def test_a_route_of_somebody_else_is_an_error_that_names_the_link(live: Node) -> None:
    run("ip", "-n", live.netns, "link", "add", "foreign0", "type", "bridge")
    run("ip", "-n", live.netns, "link", "set", "foreign0", "up")
    run("ip", "-n", live.netns, "route", "add", "10.60.0.7/32", "dev", "foreign0")
    live.bind("10.60.0.7", "pod-a")

    code, out = live.cni("ADD", "c1", "pod-a")

    assert (code, "foreign0" in json.loads(out)["msg"]) == (1, True)


def test_a_stale_route_of_the_pods_earlier_sandbox_gives_way(live: Node) -> None:
    live.bind("10.61.0.8", "pod-a", gateway="10.61.0.254")
    ipam = {"type": "netmgr-ipam", "socket": str(live.socket)}
    call: dict[str, Any] = {"plugin": "/usr/lib/cni/ptp", "type": "ptp", "ipam": ipam}
    live.cni("ADD", "old", "pod-a", netns=live.pod(), **call)
    before = live.routes()

    code, out = live.cni("ADD", "new", "pod-a", netns=live.pod(), **call)

    assert code == 0, out
    assert live.routes().count("10.61.0.8") == 1
    assert live.routes() != before


def test_records_survive_a_killed_agent_and_dels_meanwhile_are_replayed(live: Node) -> None:
    live.bind("10.60.0.8", "pod-a")
    live.bind("10.60.0.9", "pod-b")
    live.cni("ADD", "c1", "pod-a", netns=live.pod(), plugin="netmgr", type="netmgr")
    live.cni("ADD", "c2", "pod-b", netns=live.pod(), plugin="netmgr", type="netmgr")
    live.end_agent()
    route = live.routes()
    spooled = live.cni("DEL", "c1", "pod-a", plugin="netmgr", type="netmgr")

    live.start_agent()

    assert ("10.60.0.8" in route, spooled) == (True, (0, ""))
    eventually(lambda: live.phase("10.60.0.8"), lambda phase: phase == "Detached", within=10)
    assert "10.60.0.8" not in live.routes()
    assert live.cni("CHECK", "c2", "pod-b", plugin="netmgr", type="netmgr") == (0, "")


def test_sigterm_ends_the_agent_well(live: Node) -> None:
    live.end_agent(signal.SIGTERM)

    assert live.agent is not None
    assert live.agent.returncode == 0, live.log.read_text()


def test_a_release_is_confirmed_only_where_nothing_is_attached(live: Node) -> None:
    live.bind("10.60.0.10", "pod-a")
    live.bind("10.60.0.11", "pod-b")
    live.cni("ADD", "c2", "pod-b")
    live.ask_release("10.60.0.11", "pod-b")
    live.ask_release("10.60.0.10", "pod-a")

    eventually(lambda: live.phase("10.60.0.10"), lambda phase: phase == "Detached", within=10)

    assert live.phase("10.60.0.11") == "Releasing"


@pytest.mark.parametrize("plugin", ["netmgr", "netmgr-ipam"])
def test_a_release_is_confirmed_when_the_sandbox_has_vanished_without_a_del(live: Node, plugin: str) -> None:
    address = {"netmgr": "10.60.0.20", "netmgr-ipam": "10.60.0.21"}[plugin]
    live.bind(address, "pod-a")
    netns = live.pod()
    assert live.cni("ADD", "c1", "pod-a", netns=netns, plugin=plugin, type=plugin)[0] == 0
    live.ask_release(address, "pod-a")
    assert live.phase(address) == "Releasing"

    run("ip", "netns", "del", netns.rpartition("/")[2])

    eventually(lambda: live.phase(address), lambda phase: phase == "Detached", within=20)
    assert not list((live.state / "attached").iterdir())


def test_after_a_reboot_what_is_not_attached_is_reported(live: Node) -> None:
    live.bind("10.60.0.12", "pod-a", boot="another-boot")

    eventually(lambda: live.phase("10.60.0.12"), lambda phase: phase == "Detached", within=10)

    assert live.cni("ADD", "c1", "pod-a")[0] == 0
    assert (live.phase("10.60.0.12"), live.allocation("10.60.0.12").status.boot_id) == ("", boot_id())


def test_an_add_that_waited_since_before_the_agent_looked_says_in_which_boot_the_pod_is_attached(live: Node) -> None:
    threading.Timer(0.5, lambda: live.bind("10.60.0.115", "pod-a", boot="another-boot")).start()

    assert live.cni("ADD", "c1", "pod-a")[0] == 0
    assert (live.phase("10.60.0.115"), live.allocation("10.60.0.115").status.boot_id) == ("", boot_id())


def test_an_allocation_that_vanishes_takes_the_route_and_brings_it_back(live: Node) -> None:
    live.bind("10.60.0.13", "pod-a")
    live.cni("ADD", "c1", "pod-a", netns=live.pod(), plugin="netmgr", type="netmgr")
    live.unbind("10.60.0.13")
    eventually(live.routes, lambda routes: "10.60.0.13" not in routes, within=10)

    live.bind("10.60.0.13", "pod-a")

    eventually(live.routes, lambda routes: "10.60.0.13 dev nm" in routes, within=10)


def test_gc_ends_what_the_runtime_does_not_list(live: Node) -> None:
    live.bind("10.60.0.14", "pod-a")
    live.cni("ADD", "c1", "pod-a", cniVersion="1.1.0")

    listed: dict[str, Any] = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}

    assert live.cni("GC", "", "", **listed) == (0, "")
    eventually(lambda: live.phase("10.60.0.14"), lambda phase: phase == "Detached", within=10)


def test_the_socket_and_the_records_are_roots_alone(live: Node) -> None:
    assert (live.socket.stat().st_mode & 0o777, live.state.stat().st_mode & 0o777) == (0o600, 0o700)
