"""What a Pod's life costs the API server, counted in its audit log; controller, agent and plugin are the real ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from netmgr.api import allocation
from netmgr.kube import paths
from tests.integration.agent.node import Node
from tests.integration.apiserver import ApiServer
from tests.integration.controller.cluster import Cluster
from tests.waiting import eventually

PODS = 12
LEASES, WATCHES = "leases", {"watch", "list"}
WANTS = {"ipam.spidernet.io/ippool": '{"ipv4":["counted"]}'}
ADDRESS, REPORT = "ipallocations", "ipallocations/status"
Requests = Counter[tuple[str, str]]


class Counting:
    """Requests of controller and agents since the last look, without heartbeats and watches."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.before: Requests = Counter()
        self.since()

    def since(self) -> Requests:
        """And from now on anew."""
        now = self._now()
        new, self.before = now - self.before, now
        return new

    def so_far(self) -> Requests:
        """Without beginning anew."""
        return self._now() - self.before

    def _now(self) -> Requests:
        seen = self.server.request_counts("netmgr-controller") + self.server.request_counts("netmgr-agent")
        return Counter({key: n for key, n in seen.items() if key[0] not in WATCHES and key[1] != LEASES})


@pytest.fixture
def node(own_api_server: ApiServer, tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "node").mkdir()
    one = Node(own_api_server, tmp_path / "node")
    try:
        one.up()
        yield one
    finally:
        one.down()


def about_addresses(requests: Requests) -> Requests:
    return Counter({key: n for key, n in requests.items() if key[1] in {ADDRESS, REPORT}})


def attached(cluster: Cluster) -> dict[str, str]:
    """Pod name to UID."""
    return {one.spec.pod.name: one.spec.pod.uid for one in cluster.allocations().values()}


@pytest.mark.parametrize("option", ["--no-spider-endpoints", "--spider-endpoints"])
def test_an_address_costs_one_write_at_its_start_none_in_add_and_two_at_its_end(
    own_api_server: ApiServer, node: Node, tmp_path: Path, option: str
) -> None:
    cluster = Cluster(own_api_server, "default", tmp_path)
    node.start_agent("--namespace", "default")
    cluster.pool("counted", "10.79.0.0/16", "10.79.0.1-10.79.0.99")
    owner = cluster.deployment("app", PODS, WANTS)
    with cluster.controller("counted", option):
        eventually(lambda: is_accepted(cluster), bool, what="the pool is accepted")
        counting = Counting(own_api_server)

        cluster.pods("app", WANTS, owner, *range(PODS), node=node.name)
        cluster.held(PODS)
        assert about_addresses(counting.since()) == {("create", ADDRESS): PODS}

        pods = attached(cluster)
        answers = [node.cni("ADD", f"c-{pod}", uid) for pod, uid in pods.items()]
        assert [code for code, _ in answers] == [0] * PODS
        assert about_addresses(counting.since()) == Counter()

        for pod, uid in pods.items():
            node.cni("DEL", f"c-{pod}", uid)
        eventually(lambda: phases(cluster), lambda seen: seen == {allocation.DETACHED}, what="all are reported")
        for pod in pods:
            cluster.delete(paths.PODS, pod, gracePeriodSeconds=0)
        cluster.held(0)
        assert about_addresses(counting.since()) == {("patch", REPORT): PODS, ("delete", ADDRESS): PODS}


def is_accepted(cluster: Cluster) -> bool:
    pool = cluster.read_pool("counted")
    return pool is not None and any((one.type, one.status) == ("Accepted", "True") for one in pool.status.conditions or ())


def counted(cluster: Cluster) -> int | None:
    pool = cluster.read_pool("counted")
    return pool.status.allocated_ip_count if pool is not None else None


def phases(cluster: Cluster) -> set[str]:
    return {one.status.phase for one in cluster.allocations().values()}


def test_an_add_whose_address_is_there_asks_the_api_server_nothing_at_all(
    own_api_server: ApiServer, node: Node, tmp_path: Path
) -> None:
    node.start_agent("--namespace", "default")
    for number in range(PODS):
        node.bind(f"10.79.1.{number}", f"pod-{number}")
    eventually(lambda: node.cni("ADD", "first", "pod-0")[0], lambda code: code == 0)
    counting = Counting(own_api_server)
    assert [node.cni("ADD", f"c{number}", f"pod-{number}")[0] for number in range(1, PODS)] == [0] * (PODS - 1)
    assert counting.so_far() == Counter()


def test_projections_are_coalesced_to_one_write_a_second(own_api_server: ApiServer, node: Node, tmp_path: Path) -> None:
    cluster = Cluster(own_api_server, "default", tmp_path)
    node.start_agent("--namespace", "default")
    cluster.pool("counted", "10.79.0.0/16", "10.79.0.1-10.79.0.99")
    owner = cluster.deployment("app", PODS, WANTS)
    with cluster.controller("counted", "--spider-endpoints"):
        eventually(lambda: is_accepted(cluster), bool, what="the pool is accepted")
        counting = Counting(own_api_server)
        cluster.pods("app", WANTS, owner, *range(PODS), node=node.name)
        cluster.held(PODS)
        eventually(lambda: counting.so_far()["create", "spiderendpoints"], lambda made: made == PODS, what="all are shown")
        eventually(lambda: counted(cluster), lambda count: count == PODS, what="the pool counts them")
        requests = counting.since()
    assert requests["patch", "spiderendpoints"] == 0
    assert requests["patch", "spiderippools/status"] < PODS
