"""The published walk-through, step by step, with its manifests unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from tests.e2e.cluster import EXAMPLES, Cluster, Object
from tests.waiting import eventually

pytestmark = pytest.mark.lab
CLIENT = "192.0.2.10"


def row(cluster: Cluster, kind: str, name: str) -> list[str]:
    return cluster.kubectl("get", kind, name, "--no-headers").split()


def counts(cluster: Cluster, pool: str, allocated: int, total: int) -> Object:
    return eventually(
        lambda: cluster.pool(pool)["status"],
        lambda s: (s.get("allocatedIPCount"), s.get("totalIPCount")) == (allocated, total),
        what=f"pool {pool} holds {allocated} of {total}",
    )


def ranges_of(pool: Object) -> list[str]:
    ranges: list[str] = pool["spec"]["ips"]
    return ranges


def inside(address: str, ranges: list[str]) -> bool:
    number = int(ip_address(address))
    bounds = [(r.partition("-")[0], r.rpartition("-")[2]) for r in ranges]
    return any(int(ip_address(a)) <= number <= int(ip_address(b)) for a, b in bounds)


@pytest.fixture(scope="module")
def nginx(cluster: Cluster) -> Iterator[str]:
    """Name of the auto pool of the walk-through's application."""
    cluster.apply(EXAMPLES / "03-nginx.yaml")
    cluster.running("app=nginx", 2)
    yield str(cluster.auto_pool_of("nginx")["metadata"]["name"])
    cluster.kubectl("delete", "deploy", "nginx", "--ignore-not-found", "--wait")
    cluster.kubectl("delete", "deploy", "nginx-m", "--ignore-not-found", "--wait")
    cluster.delete_pool("nginx-v4-ippool")


def test_the_subnet_counts_its_addresses(cluster: Cluster) -> None:
    eventually(
        lambda: row(cluster, "ss", "nginx-subnet-v4"),
        lambda cells: cells == ["nginx-subnet-v4", "4", "10.244.0.0/16", "0", "25602"],
        what="columns of the subnet",
    )


def test_the_application_gets_a_pool_of_five(cluster: Cluster, nginx: str) -> None:
    assert re.fullmatch(r"auto-nginx-v4-eth0-[0-9a-f]{12}", nginx)
    counts(cluster, nginx, 2, 5)
    assert row(cluster, "sp", nginx) == [nginx, "4", "10.244.0.0/16", "2", "5", "false", "false"]


def test_pods_deleted_come_back_in_the_same_pool(cluster: Cluster, nginx: str) -> None:
    before = ranges_of(cluster.pool(nginx))
    cluster.kubectl("delete", "pods", "-l", "app=nginx", "--wait")
    cluster.running("app=nginx", 2)
    assert all(inside(address, before) for address in cluster.addresses("app=nginx"))


def test_the_client_reaches_every_pod_and_keeps_its_own_address(cluster: Cluster, nginx: str) -> None:
    pods = cluster.running("app=nginx", 2)
    addresses = {pod["status"]["podIP"] for pod in pods}
    eventually(cluster.tor_routes, lambda routes: addresses <= routes.keys(), within=20, what=f"routes of {addresses}")
    answers = {p["status"]["podIP"]: cluster.fetch(p["status"]["podIP"], "/whoami").split() for p in pods}
    assert answers == {address: [CLIENT, address] for address in answers}
    logs = [cluster.kubectl("logs", p["metadata"]["name"]) for p in pods]
    assert all(CLIENT in log for log in logs)


def test_scaled_to_three_the_pool_has_six_and_the_first_two_keep_theirs(cluster: Cluster, nginx: str) -> None:
    before = cluster.addresses("app=nginx")
    cluster.kubectl("scale", "deploy", "nginx", "--replicas", "3")
    cluster.running("app=nginx", 3)
    counts(cluster, nginx, 3, 6)
    assert before < cluster.addresses("app=nginx")


def test_a_pool_chosen_by_hand_holds_two_of_eleven(cluster: Cluster, nginx: str) -> None:
    cluster.apply(EXAMPLES / "04-pool.yaml")
    cluster.apply(EXAMPLES / "05-nginx-m.yaml")
    cluster.running("app=nginx-m", 2)
    counts(cluster, "nginx-v4-ippool", 2, 11)
    counts(cluster, nginx, 3, 6)


def test_pods_of_different_pools_reach_each_other(cluster: Cluster, nginx: str) -> None:
    source = cluster.running("app=nginx", 3)[0]
    ours = source["status"]["podIP"]
    targets = cluster.addresses("app=nginx-m")
    eventually(cluster.tor_routes, lambda routes: {ours, *targets} <= routes.keys(), within=20, what=f"routes of {targets}")
    for target in targets:
        answer = cluster.kubectl(
            "exec",
            source["metadata"]["name"],
            "--",
            "/bin/bash",
            "-c",
            f"exec 3<>/dev/tcp/{target}/80; printf 'GET /whoami HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3",
        )
        assert answer.split() == [ours, target]


def test_the_router_has_exactly_one_route_per_pod_via_its_node(cluster: Cluster, nginx: str) -> None:
    node_address = {
        n["metadata"]["name"]: next(a["address"] for a in n["status"]["addresses"] if a["type"] == "InternalIP")
        for n in cluster.items("nodes")
    }
    pods = cluster.running("app in (nginx,nginx-m)", 5)
    wanted = {p["status"]["podIP"]: [node_address[p["spec"]["nodeName"]]] for p in pods}
    eventually(cluster.tor_routes, lambda routes: routes == wanted, within=20, what=f"routes {wanted}")


def test_scaled_back_the_pool_has_five(cluster: Cluster, nginx: str) -> None:
    cluster.kubectl("scale", "deploy", "nginx", "--replicas", "2")
    cluster.running("app=nginx", 2)
    counts(cluster, nginx, 2, 5)


def test_the_application_deleted_its_pool_is_gone_and_the_subnet_is_whole(cluster: Cluster, nginx: str) -> None:
    cluster.kubectl("delete", "deploy", "nginx", "nginx-m", "--wait")
    cluster.delete_pool("nginx-v4-ippool")
    eventually(lambda: cluster.try_kubectl("get", "sp", nginx).returncode, lambda code: code == 1, what=f"pool {nginx} is gone")
    eventually(lambda: row(cluster, "ss", "nginx-subnet-v4")[3], lambda count: count == "0", what="ALLOCATED 0")
    eventually(cluster.tor_routes, lambda routes: routes == {}, within=20, what="no route at the router")
