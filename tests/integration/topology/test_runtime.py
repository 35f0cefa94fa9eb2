"""The runtime runs a topology file in namespaces and leaves nothing of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leftovers import left_of
from tests.waiting import eventually
from topology import processes
from topology.errors import NotUpError
from topology.lab import Lab

NETMGR = str(Path(sys.executable).parent / "netmgr")
FILE = """
name: pair
topology:
  nodes:
    left:
      kind: linux
      image: machine
      sysctls: {net.ipv4.ip_forward: 1}
      env: {SIDE: left}
      exec: ["ip address add 198.51.100.1/24 dev eth1"]
    right:
      kind: linux
      image: machine
      exec: ["ip address add 198.51.100.2/24 dev eth1"]
  links:
    - endpoints: ["left:eth1", "right:eth1"]
      mtu: 1400
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab of two nodes; it is not up yet."""
    file = tmp_path / "pair.clab.yml"
    file.write_text(FILE)
    one = Lab.open(str(file), tmp_path)
    yield one
    one.down()


def test_nodes_have_links_addresses_sysctls_and_names_of_their_own(lab: Lab) -> None:
    lab.up()
    link = json.loads(lab.run("left", ["ip", "-j", "address", "show", "eth1"]).stdout)[0]
    assert (link["mtu"], link["addr_info"][0]["local"]) == (1400, "198.51.100.1")
    assert lab.run("left", ["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "1\n"
    assert lab.run("right", ["hostname"]).stdout == "right\n"
    assert lab.run("left", ["printenv", "SIDE"]).stdout == "left\n"
    assert "198.51.100.2" in lab.run("left", ["ip", "route", "get", "198.51.100.2"]).stdout


def test_what_a_node_writes_stays_in_the_node(lab: Lab) -> None:
    lab.up()
    mark = "/etc/netmgr-test-mark"
    assert lab.run("left", ["touch", mark]).returncode == 0
    assert not Path(mark).exists()
    assert lab.run("right", ["test", "-e", mark]).returncode == 1


def test_exec_ends_with_the_commands_exit_code(lab: Lab) -> None:
    lab.up()
    assert lab.run("left", ["sh", "-c", "exit 7"]).returncode == 7


def test_up_twice_keeps_the_lab_and_down_twice_is_no_error(lab: Lab) -> None:
    lab.up()
    first = lab.runtime.pid("left")
    lab.up()
    assert lab.runtime.pid("left") == first
    lab.down()
    lab.down()
    assert not lab.is_up()


def test_a_node_that_ended_is_not_up_and_up_makes_the_lab_whole(lab: Lab) -> None:
    lab.up()
    lab.run("left", ["kill", "-9", "1"])  # a namespace's first process is not killed from inside
    assert lab.is_up()
    subprocess.run(["kill", "-9", str(lab.runtime.pid("left"))], check=True)
    eventually(lab.is_up, lambda up: not up, within=10, what="the lab is no longer up")
    with pytest.raises(NotUpError, match="left is not running"):
        lab.run("left", ["true"])
    lab.up()
    assert lab.is_up()


def test_down_leaves_no_namespace_mount_process_or_file(lab: Lab) -> None:
    lab.up()
    pids = [lab.runtime.pid(node.name) for node in lab.topology.nodes]
    lab.down()
    assert left_of(lab) == []
    eventually(lambda: [pid for pid in pids if processes.started_at(pid)], lambda running: running == [], within=10)
