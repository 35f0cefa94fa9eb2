"""What a working agent says about itself, compared with docs/metrics.md both ways; and what it costs."""

from __future__ import annotations

import json
import re
from itertools import count
from pathlib import Path

import pytest

from tests.integration.agent.node import Node, run
from tests.waiting import eventually

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
PORT = 9474
_addresses = count(1)


class Scraped:
    """One answer of /metrics: names with their types, and samples by name and labels as they are written."""

    def __init__(self, text: str) -> None:
        self.types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
        self.samples = {key: float(value) for key, value in re.findall(r"^([^#\s]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}


def fetch(node: Node, path: str) -> tuple[int, str]:
    """Status and body, asked from inside the node; 0 where nobody answers."""
    url = f"http://127.0.0.1:{PORT}{path}"
    done = run("ip", "netns", "exec", node.netns, "curl", "--silent", "--max-time", "5", "--write-out", "\n%{http_code}", url)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def scrape(node: Node) -> Scraped:
    return Scraped(fetch(node, "/metrics")[1])


@pytest.fixture
def told(node: Node) -> Node:
    """An agent that has answered, refused, and taken back."""
    node.start_agent("--metrics-port", str(PORT), "--add-deadline", "0.1")
    node.bind(f"10.69.1.{next(_addresses)}", "pod-a")
    eventually(lambda: node.cni("ADD", "c1", "pod-a")[0], lambda code: code == 0, within=10)
    node.cni("ADD", "c2", "pod-none")
    node.cni("CHECK", "none", "pod-none")
    return node


def test_each_metric_of_a_working_agent_is_in_the_page_and_the_other_way_round(told: Node) -> None:
    documented = dict(re.findall(r"^\| `(netmgr_agent_\w+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE))

    assert scrape(told).types == documented


def test_each_label_and_outcome_of_a_working_agent_is_in_the_page(told: Node) -> None:
    inside = [key.split("{", 1) for key in scrape(told).samples if "{" in key]
    labels = {
        (re.sub(r"_(bucket|sum|count)$", "", name), label)
        for name, inner in inside
        for label in re.findall(r'(\w+)="', inner)
        if label != "le"
    }
    table = re.findall(r"^\| `(netmgr_agent_\w+)` \| \w+ \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE)
    outcomes = {outcome for _, inner in inside for outcome in re.findall(r'outcome="(\w+)"', inner)}

    assert labels <= {(name, label) for name, listed in table for label in re.findall(r"`(\w+)`", listed)}
    assert {outcome for outcome in outcomes if f"`{outcome}`" not in PAGE.read_text()} == set()


def test_no_label_is_an_address_a_pod_or_a_container(told: Node) -> None:
    text = fetch(told, "/metrics")[1]

    assert [word for word in ("10.69.", "pod-a", "c1", told.name) if word in text] == []


def test_what_the_agent_did_is_counted(told: Node) -> None:
    expected = {
        'netmgr_agent_calls_total{command="ADD",outcome="ok"}': 1,
        'netmgr_agent_calls_total{command="CHECK",outcome="StateLost"}': 1,
        'netmgr_agent_call_seconds_bucket{command="CHECK",le="+Inf"}': 1,
        "netmgr_agent_attachments": 1,
        "netmgr_agent_allocations": 1,
        "netmgr_agent_adds_waiting": 0,
        "netmgr_agent_strays": 0,
        "netmgr_agent_ready": 1,
        'netmgr_agent_watch_lists_total{resource="ipallocations"}': 1,
    }
    seen = scrape(told).samples

    assert {name: seen.get(name) for name in expected} == expected


def test_an_add_that_waits_is_seen_waiting_and_counted_when_the_runtime_hangs_up(node: Node) -> None:
    node.start_agent("--metrics-port", str(PORT))
    waiting = node.start_call("ADD", "c1", "pod-none", "")
    eventually(lambda: scrape(node).samples["netmgr_agent_adds_waiting"], lambda number: number == 1, within=10)

    waiting.kill()
    waiting.communicate(timeout=10)

    hung_up = 'netmgr_agent_calls_total{command="ADD",outcome="hung_up"}'
    eventually(lambda: scrape(node).samples.get(hung_up), lambda number: number == 1, within=10)
    assert scrape(node).samples["netmgr_agent_adds_waiting"] == 0


def test_dels_that_were_spooled_are_counted(told: Node) -> None:
    told.end_agent()
    told.cni("DEL", "c1", "pod-a")

    told.start_agent("--metrics-port", str(PORT))

    assert scrape(told).samples["netmgr_agent_spooled_dels_total"] == 1
    eventually(lambda: scrape(told).samples["netmgr_agent_unreported"], lambda number: number == 0, within=10)


def test_the_agent_is_healthy_before_it_is_ready(node: Node) -> None:
    way = node.processes[0]
    way.terminate()
    way.wait(10)
    agent = node.launch_agent("--metrics-port", str(PORT))

    eventually(lambda: fetch(node, "/healthz")[0], lambda status: status == 200, within=20)

    assert (fetch(node, "/readyz")[0], agent.poll()) == (503, None)


def test_without_a_port_nobody_is_answered(live: Node) -> None:
    assert run("ip", "netns", "exec", live.netns, "ss", "-Hltn", "sport", "=", str(PORT)).stdout == ""


def test_the_port_is_open_on_loopback_only(told: Node) -> None:
    listening = run("ip", "netns", "exec", told.netns, "ss", "-Hltn", "sport", "=", str(PORT)).stdout.split()

    assert listening[3] == f"127.0.0.1:{PORT}"


def test_two_agents_of_one_machine_do_not_meet(live: Node, tmp_path: Path) -> None:
    """Own socket and state directory, no port: nothing else is shared."""
    other = Node(live.server, tmp_path / "other")
    other.folder.mkdir()
    try:
        other.netns, other.build = live.netns, live.build
        other.start_agent()
        other.bind("10.69.0.2", "pod-b")
        live.bind("10.69.0.3", "pod-c")

        answers = [other.cni("ADD", "c1", "pod-b"), live.cni("ADD", "c1", "pod-c")]

        assert [json.loads(out)["ips"][0]["address"] for _, out in answers] == ["10.69.0.2/32", "10.69.0.3/32"]
    finally:
        other.down()
