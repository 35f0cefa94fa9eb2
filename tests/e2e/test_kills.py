"""Kill -9 of each process in the middle of the work: afterwards all Pods run and every invariant holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.cluster import Cluster, deployment, from_pool, from_subnet, pool
from tests.waiting import eventually

pytestmark = pytest.mark.lab
SPACE = "kills"


def kill(cluster: Cluster, node: str, pattern: str) -> None:
    """Kill -9 on that node whatever `pgrep -f` finds there (a node has process ids of its own)."""
    pids = cluster.on(node, "pgrep", "-f", pattern).split()
    cluster.on(node, "kill", "-9", *pids)


def kill_agent(cluster: Cluster) -> None:
    kill(cluster, "node1", "[n]etmgr agent")


def kill_controller(cluster: Cluster) -> None:
    lease = cluster.get("lease", "netmgr-controller", namespace="netmgr-system")
    holder = lease["spec"]["holderIdentity"]
    pods = cluster.items("pods", namespace="netmgr-system", selector="app=netmgr-controller")
    leader = next((p for p in pods if p["metadata"]["name"] in holder), pods[0])
    kill(cluster, leader["spec"]["nodeName"], "[n]etmgr controller")


def kill_api_server(cluster: Cluster) -> None:
    kill(cluster, "control-plane", "[k]ube-apiserver --")


def kill_bgpd(cluster: Cluster) -> None:
    kill(cluster, "node1", "[/]usr/lib/frr/bgpd")


def kill_zebra(cluster: Cluster) -> None:
    kill(cluster, "node1", "[/]usr/lib/frr/zebra")


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of this file's own."""
    cluster.kubectl("create", "namespace", SPACE)
    yield SPACE
    cluster.kubectl("delete", "namespace", SPACE, "--wait")


@pytest.mark.parametrize("end", [kill_agent, kill_controller, kill_api_server, kill_bgpd, kill_zebra])
def test_a_rollout_survives_the_kill(cluster: Cluster, namespace: str, end: Callable[[Cluster], None]) -> None:
    name = end.__name__.replace("_", "-")
    cluster.apply(deployment(name, 10, from_subnet("nginx-subnet-v4", "+3")), namespace)
    eventually(lambda: cluster.addresses_so_far(namespace), lambda seen: len(seen) >= 2, what="the rollout began")
    end(cluster)
    eventually(lambda: cluster.try_kubectl("get", "--raw", "/readyz").stdout, lambda text: text == "ok", what="API server")
    cluster.running(f"app={name}", 10, namespace, within=150)
    eventually(lambda: violations(cluster), lambda found: found == [], within=60, what="netmgr check is clean")
    cluster.kubectl("delete", "deploy", name, "-n", namespace, "--wait")


def test_a_pool_that_is_made_after_bgpd_was_killed_is_announced_by_every_node(cluster: Cluster, namespace: str) -> None:
    kill_bgpd(cluster)
    cluster.apply(pool("after-the-kill", "10.244.0.0/16", "10.244.160.1-10.244.160.9"))
    cluster.apply(deployment("after", 2, from_pool("after-the-kill"), nodeName="node1"), namespace)
    pods = cluster.running("app=after", 2, namespace)
    wanted = {pod["status"]["podIP"] for pod in pods}
    eventually(cluster.tor_routes, lambda routes: wanted <= routes.keys(), within=20, what=f"routes of {wanted}")
    cluster.kubectl("delete", "deploy", "after", "-n", namespace, "--wait")
    cluster.delete_pool("after-the-kill")


def test_forty_pods_get_an_address_each_though_the_leader_is_killed(cluster: Cluster, namespace: str) -> None:
    cluster.apply(deployment("forty", 40, from_subnet("nginx-subnet-v4", "+0")), namespace)
    eventually(lambda: cluster.addresses_so_far(namespace), lambda seen: len(seen) >= 10, what="a quarter is allocated")
    kill_controller(cluster)
    pods = cluster.running("app=forty", 40, namespace, within=200)
    assert len({pod["status"]["podIP"] for pod in pods}) == 40
    eventually(lambda: violations(cluster), lambda found: found == [], within=60, what="netmgr check is clean")
    cluster.kubectl("delete", "deploy", "forty", "-n", namespace, "--wait")


def test_an_established_flow_loses_no_packet_while_the_agent_restarts(cluster: Cluster, namespace: str) -> None:
    cluster.apply(deployment("flow", 1, from_subnet("nginx-subnet-v4", "+0"), nodeName="node1"), namespace)
    address = cluster.running("app=flow", 1, namespace)[0]["status"]["podIP"]
    eventually(cluster.tor_routes, lambda routes: address in routes, what=f"route of {address}")
    with ThreadPoolExecutor(1) as pool:
        flow = pool.submit(cluster.on, "client", sys.executable, "-m", "tests.e2e.flow", address, "8")
        kill_agent(cluster)
        seen = json.loads(flow.result())
    assert seen["retransmitted"] == 0
    assert seen["answered"] > 200
    cluster.kubectl("delete", "deploy", "flow", "-n", namespace, "--wait")


def violations(cluster: Cluster) -> list[object]:
    """What `netmgr check` finds."""
    done = cluster.netmgr("check", "--lab", "single-tor", "--output", "json")
    report = json.loads(done.stdout)
    found: list[object] = report["violations"]
    return found
