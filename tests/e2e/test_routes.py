"""While Pods come and go, the router receives host routes of pool addresses and nothing else."""

from __future__ import annotations

import threading
from ipaddress import IPv4Address

import pytest

from tests.e2e.cluster import Cluster, deployment, from_subnet
from tests.waiting import eventually

pytestmark = pytest.mark.lab
FIRST, LAST = IPv4Address("10.244.100.0"), IPv4Address("10.244.200.1")


def is_pool_address(prefix: str) -> bool:
    """Whether a prefix is one host of the subnet's ranges."""
    address, _, length = prefix.partition("/")
    return length == "32" and FIRST <= IPv4Address(address) <= LAST


class Sampler:
    """Reads all paths of the router's BGP table every 100 ms until it is stopped; keeps what does not belong there."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.samples = 0
        self.foreign: set[str] = set()
        self.doubled: set[str] = set()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while not self.stopped.wait(0.1):
            paths = self.cluster.tor_paths()
            self.samples += 1
            self.foreign |= {prefix for prefix in paths if not is_pool_address(prefix)}
            self.doubled |= {prefix for prefix, hops in paths.items() if len(hops) != 1}

    def __enter__(self) -> Sampler:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()


def test_churn_shows_the_router_nothing_but_pool_addresses(cluster: Cluster) -> None:
    with Sampler(cluster) as sampler:
        cluster.apply(deployment("churn", 6, from_subnet("nginx-subnet-v4", "+4")))
        cluster.running("app=churn", 6)
        cluster.kubectl("rollout", "restart", "deploy", "churn")
        cluster.kubectl("rollout", "status", "deploy", "churn", "--timeout=120s")
        cluster.kubectl("delete", "deploy", "churn", "--wait")
        eventually(cluster.tor_routes, lambda routes: routes == {}, within=60, what="no route at the router")
    assert sampler.foreign == set()
    assert sampler.doubled == set()
    assert sampler.samples > 20
