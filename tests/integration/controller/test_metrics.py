"""What a working controller says about itself, compared with docs/metrics.md both ways."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from netmgr.kube import paths
from tests.integration.apiserver import free_port
from tests.integration.controller.cluster import NODE, Cluster
from tests.waiting import eventually

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "2"}
NOWHERE = {"ipam.spidernet.io/subnet": '{"ipv4":["missing"]}'}


class Scraped:
    """One answer of /metrics: names with their types, and samples by name and labels as they are written."""

    def __init__(self, text: str) -> None:
        self.types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
        self.samples = {key: float(value) for key, value in re.findall(r"^([^#\s]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def working(cluster: Cluster, port: int) -> Iterator[Cluster]:
    """A controller that has given, taken back, and refused addresses."""
    with cluster.controller("one", f"--metrics-port={port}"):
        cluster.subnet("s", "10.71.0.0/16", "10.71.1.0-10.71.1.255")
        cluster.pool("by-hand", "10.71.0.0/16", "10.71.1.200-10.71.1.203")
        owner = cluster.deployment("app", 2, WANTS)
        cluster.pods("app", WANTS, owner, 1, 2, 3)
        name, one = next(iter(cluster.held(2).items()))
        nowhere = cluster.deployment("nowhere", 1, NOWHERE)
        cluster.pods("nowhere", NOWHERE, nowhere, 1)
        eventually(lambda: cluster.refusal("nowhere-rs-1"), bool, what="the second application's Pod is refused")
        cluster.delete(paths.PODS, one.spec.pod.name, gracePeriodSeconds=0)
        eventually(lambda: cluster.allocations()[name].status.phase, lambda phase: phase == "Releasing", what="the question")
        cluster.detach(name)
        cluster.held(2)
        yield cluster


def fetch(port: int, path: str) -> tuple[int, str]:
    """Status and body; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def scrape(port: int) -> Scraped:
    return Scraped(fetch(port, "/metrics")[1])


def documented() -> dict[str, str]:
    """Names and types in the page's table, without the agent's."""
    return dict(re.findall(r"^\| `(netmgr_(?!agent_)\w+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE))


def test_each_metric_of_a_working_controller_is_in_the_page_and_the_other_way_round(working: Cluster, port: int) -> None:
    assert scrape(port).types == documented()


def test_each_label_of_a_working_controller_is_in_the_page(working: Cluster, port: int) -> None:
    labels = {
        (re.sub(r"_(bucket|sum|count)$", "", name), label)
        for name, inner in (key.split("{", 1) for key in scrape(port).samples if "{" in key)
        for label in re.findall(r'(\w+)="', inner)
        if label != "le"
    }
    table = re.findall(r"^\| `(netmgr_\w+)` \| \w+ \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE)
    assert labels <= {(name, label) for name, listed in table for label in re.findall(r"`(\w+)`", listed)}


def test_no_label_is_an_address_or_a_pod(working: Cluster, port: int) -> None:
    text = fetch(port, "/metrics")[1]
    assert [word for word in ("10.71.1.", "app-rs-", NODE, working.namespace) if word in text] == []


def test_what_the_controller_did_is_counted(working: Cluster, port: int) -> None:
    def counts() -> dict[str, float]:
        seen = scrape(port).samples
        wanted = (
            'netmgr_addresses_freed_total{why="detached"}',
            'netmgr_pool_addresses{pool="by-hand",state="free"}',
            "netmgr_leader",
            "netmgr_events_dropped_total",
        )
        return {name: seen.get(name, -1) for name in wanted}

    eventually(counts, lambda seen: list(seen.values()) == [1, 4, 1, 0], within=10, what="the counts")


@pytest.mark.parametrize(
    ("sample", "least"),
    [
        ('netmgr_claims_total{outcome="created"}', 3),
        ("netmgr_claim_seconds_count", 3),
        ('netmgr_pods_waiting{reason="PoolPending"}', 1),
        ('netmgr_applications_with_problem{reason="UnknownSubnet"}', 1),
        ('netmgr_addresses{family="IPv4",state="used"}', 2),
        ('netmgr_pools{state="exhausted"}', 1),
        ('netmgr_api_requests_total{code="201",verb="create"}', 3),
    ],
)
def test_at_least_this_tests_own_things_are_counted(working: Cluster, port: int, sample: str, least: int) -> None:
    """Other tests' applications are in the same cluster, without their subnets."""
    eventually(lambda: scrape(port).samples.get(sample, -1), lambda seen: seen >= least, within=10, what=sample)


def test_a_replica_that_does_not_lead_is_ready_and_says_so(working: Cluster) -> None:
    port = free_port()
    with working.controller("two", f"--metrics-port={port}"):
        eventually(lambda: fetch(port, "/readyz"), lambda seen: seen[0] == 200, within=20, what="ready")
        assert (fetch(port, "/healthz")[0], scrape(port).samples["netmgr_leader"]) == (200, 0)


def test_a_second_replica_on_one_node_takes_the_port_when_the_first_ends(cluster: Cluster, port: int) -> None:
    option = f"--metrics-port={port}"
    with cluster.controller("one", option):
        eventually(lambda: fetch(port, "/readyz"), lambda seen: seen[0] == 200, within=20, what="the first one answers")
        with cluster.controller("two", option) as second:
            log = cluster.folder / "controller-two.log"
            eventually(log.read_text, lambda text: "port_in_use" in text, within=20, what="the second one says what it waits for")
            assert second.poll() is None
