"""Claims and releases: whatever happens to controllers, agents, nodes and Pods, no address is used twice and none is lost."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from netmgr.api import spider
from netmgr.api.meta import Json
from netmgr.kube import paths
from tests.cases import lives
from tests.unit.lives.cluster import SPACE
from tests.unit.lives.rules import INDEX, Misfortunes

NODES = ("n1", "n2")
NODE = st.sampled_from(NODES)
FROM_POOL = {"ipam.spidernet.io/ippool": '{"ipv4":["p","q"]}'}
PREFIX = "10.250.0.0/24"


class Releases(Misfortunes):
    """Pods of a Deployment and ordinals of a StatefulSet share two small pools; one of them cools what is released."""

    nodes = NODES

    @initialize()
    def pools_and_applications(self) -> None:
        cluster = self.cluster
        cluster.pool("p", PREFIX, "10.250.0.10-10.250.0.12", cooldownSeconds=20)
        cluster.pool("q", PREFIX, "10.250.0.30-10.250.0.32")
        cluster.workload("Deployment", paths.DEPLOYMENTS, "web", 4, FROM_POOL)
        self.replica_set = cluster.twin.of(paths.REPLICA_SETS)[0]
        self.stateful_set = cluster.workload("StatefulSet", paths.STATEFUL_SETS, "db", 2, FROM_POOL)
        self.made = 0

    def starts(self, node: str) -> None:
        """What is bound runs, if nothing is in the way."""
        self.cluster.pass_time(0.1)
        self.cluster.kubelet(node)
        self.cluster.pass_time(0.1)

    @rule(node=NODE, at_once=st.booleans())
    def a_replica_is_bound(self, node: str, at_once: bool) -> None:
        if len(self.cluster.pods()) < 8:
            self.made += 1
            self.cluster.bind_pod(self.replica_set, "ReplicaSet", f"web-rs-{self.made}", "web", node, FROM_POOL)
            if at_once:
                self.starts(node)

    @rule(node=NODE, ordinal=st.integers(0, 2), at_once=st.booleans())
    def an_ordinal_is_bound(self, node: str, ordinal: int, at_once: bool) -> None:
        there = (paths.PODS, SPACE, f"db-{ordinal}") in self.cluster.twin.objects
        if not there and ordinal < self.replicas():
            self.cluster.bind_pod(self.stateful_set, "StatefulSet", f"db-{ordinal}", "db", node, FROM_POOL)
            if at_once:
                self.starts(node)

    @rule(replicas=st.integers(0, 3))
    def the_stateful_set_is_scaled(self, replicas: int) -> None:
        path = paths.named(paths.STATEFUL_SETS, "db", namespace=SPACE)
        self.cluster.patch(path, {"spec": {"replicas": replicas}})

    @rule(index=INDEX, force=st.booleans())
    def a_pod_is_deleted(self, index: int, force: bool) -> None:
        if pods := self.cluster.pods():
            name = pods[index % len(pods)]["metadata"]["name"]
            self.cluster.delete(paths.named(paths.PODS, name, namespace=SPACE), **({"gracePeriodSeconds": 0} if force else {}))

    @rule(index=INDEX)
    def a_pod_completes(self, index: int) -> None:
        if pods := self.cluster.pods():
            name = pods[index % len(pods)]["metadata"]["name"]
            self.cluster.patch(paths.named(paths.PODS, name, "status", namespace=SPACE), {"status": {"phase": "Succeeded"}})

    @rule(node=NODE)
    def a_kubelet_works(self, node: str) -> None:
        self.cluster.kubelet(node)

    @rule(node=NODE, index=INDEX)
    def a_del_comes_late(self, node: str, index: int) -> None:
        self.cluster.late_del(node, index)

    @rule(node=NODE, index=INDEX)
    def a_pause_process_dies(self, node: str, index: int) -> None:
        self.cluster.end_sandbox(node, index)

    @rule(node=NODE, index=INDEX)
    def a_sandbox_is_made_again_before_the_old_ones_del(self, node: str, index: int) -> None:
        self.cluster.end_sandbox(node, index)
        self.starts(node)
        self.cluster.late_del(node, -1)

    @rule(node=NODE)
    def an_agent_is_killed(self, node: str) -> None:
        self.cluster.kill_agent(node)

    @rule(node=NODE)
    def an_agent_starts(self, node: str) -> None:
        self.cluster.start_agent(node)

    @rule(node=NODE)
    def a_node_is_started_anew(self, node: str) -> None:
        self.cluster.reboot(node)

    @rule(node=NODE)
    def a_node_is_taken_out_of_service(self, node: str) -> None:
        self.cluster.take_out_of_service(node)

    @rule(last=st.integers(30, 35))
    def a_pool_is_resized(self, last: int) -> None:
        self.cluster.patch(paths.named(spider.POOLS, "q"), {"spec": {"ips": [f"10.250.0.30-10.250.0.{last}"]}})

    def replicas(self) -> int:
        replicas: int = self.cluster.twin.objects[paths.STATEFUL_SETS, SPACE, "db"]["spec"]["replicas"]
        return replicas

    def at_rest(self) -> None:
        super().at_rest()
        world = self.cluster.leaders[0].controller.world
        free = sum(ledger.free for name in world.pools.store if (ledger := world.ledger(name)) is not None)
        living = [pod for pod in self.cluster.pods() if pod.get("status", {}).get("phase") != "Succeeded"]
        holders = [one["spec"]["pod"]["uid"] for one in self.cluster.allocations()]
        without = [pod["metadata"]["name"] for pod in living if holders.count(pod["metadata"]["uid"]) != 1]
        assert not without or not free, f"{without} have none or two, {free} are free"
        alive = {pod["metadata"]["uid"] for pod in living}
        leaked = [one for one in self.cluster.allocations() if one["spec"]["pod"]["uid"] not in alive and not self.retained(one)]
        assert leaked == []

    def retained(self, one: Json) -> bool:
        """Whether an ordinal of the StatefulSet keeps it."""
        ordinal: int | None = one["spec"]["claimant"].get("ordinal")
        return ordinal is not None and ordinal < self.replicas()


# The sockets of an agent that was killed end with its process; here the collector finds them.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
TestReleases = Releases.TestCase
TestReleases.settings = lives(few=40, many=3000, steps=40)
