"""Auto pools: whatever happens to applications, subnets and leaders, ranges are booked once and every pool ends at its size."""

from __future__ import annotations

import json

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from ipam.prefix import RangeSet
from netmgr.api import spider
from netmgr.api.meta import Json
from netmgr.kube import paths
from tests.cases import lives
from tests.unit.lives.cluster import SPACE
from tests.unit.lives.invariants import FAMILY
from tests.unit.lives.rules import INDEX, Misfortunes

SUBNETS = {"s": "10.250.0", "t": "10.250.1"}
APPLICATION = st.sampled_from("abc")
SIZES = st.sampled_from(["+0", "+1", "+3", "2", "6"])


class AutoPools(Misfortunes):
    """Three applications, two small subnets, one node."""

    nodes = ("n1",)

    @initialize()
    def two_subnets(self) -> None:
        for name, prefix in SUBNETS.items():
            self.cluster.subnet(name, f"{prefix}.0/24", f"{prefix}.8-{prefix}.27")
        self.made = 0

    @rule(name=APPLICATION, home=st.sampled_from("st"), replicas=st.integers(0, 6), number=SIZES)
    def an_application_is_made(self, name: str, home: str, replicas: int, number: str) -> None:
        if self.deployment(name) is None:
            notes = {"ipam.spidernet.io/subnet": json.dumps({"ipv4": [home]}), "ipam.spidernet.io/ippool-ip-number": number}
            self.cluster.workload("Deployment", paths.DEPLOYMENTS, name, replicas, notes)

    @rule(name=APPLICATION, replicas=st.integers(0, 9))
    def it_is_scaled(self, name: str, replicas: int) -> None:
        if self.deployment(name) is not None:
            self.cluster.patch(paths.named(paths.DEPLOYMENTS, name, namespace=SPACE), {"spec": {"replicas": replicas}})

    @rule(name=APPLICATION, number=SIZES)
    def it_asks_for_another_number(self, name: str, number: str) -> None:
        if self.deployment(name) is not None:
            notes = {"ipam.spidernet.io/ippool-ip-number": number}
            body = {"spec": {"template": {"metadata": {"annotations": notes}}}}
            self.cluster.patch(paths.named(paths.DEPLOYMENTS, name, namespace=SPACE), body)

    @rule(name=APPLICATION)
    def it_is_deleted_with_its_pods(self, name: str) -> None:
        self.cluster.delete(paths.named(paths.DEPLOYMENTS, name, namespace=SPACE))
        self.cluster.delete(paths.named(paths.REPLICA_SETS, f"{name}-rs", namespace=SPACE))
        for pod in self.cluster.pods():
            if pod["metadata"]["labels"]["app"] == name:
                self.cluster.delete(paths.named(paths.PODS, pod["metadata"]["name"], namespace=SPACE))

    @rule(name=APPLICATION)
    def one_of_its_pods_is_bound(self, name: str) -> None:
        owner = self.cluster.twin.objects.get((paths.REPLICA_SETS, SPACE, f"{name}-rs"))
        if owner is not None and len(self.cluster.pods()) < 10:
            self.made += 1
            notes = owner["spec"]["template"]["metadata"]["annotations"]
            self.cluster.bind_pod(owner, "ReplicaSet", f"{name}-rs-{self.made}", name, "n1", notes)

    @rule(index=INDEX)
    def a_pod_is_deleted(self, index: int) -> None:
        if pods := self.cluster.pods():
            self.cluster.delete(paths.named(paths.PODS, pods[index % len(pods)]["metadata"]["name"], namespace=SPACE))

    @rule()
    def the_kubelet_works(self) -> None:
        self.cluster.kubelet("n1")

    @rule(home=st.sampled_from("st"), last=st.integers(20, 40))
    def a_subnet_is_resized(self, home: str, last: int) -> None:
        ranges = [f"{SUBNETS[home]}.8-{SUBNETS[home]}.{last}"]
        booked = self.booked(home)
        if not any(outside.spans for outside in (one.subtract(RangeSet.parse(FAMILY, ranges)) for one in booked.values())):
            self.cluster.patch(paths.named(spider.SUBNETS, home), {"spec": {"ips": ranges}})

    def deployment(self, name: str) -> Json | None:
        return self.cluster.twin.objects.get((paths.DEPLOYMENTS, SPACE, name))

    def booked(self, home: str) -> dict[str, RangeSet]:
        """Ranges by pool, as the subnet's status has them."""
        text = self.cluster.twin.objects[spider.SUBNETS, "", home].get("status", {}).get("controlledIPPools")
        entries: dict[str, Json] = json.loads(text) if text else {}
        return {name: RangeSet.parse(FAMILY, entry["ips"]) for name, entry in entries.items()}

    def at_rest(self) -> None:
        super().at_rest()
        world = self.cluster.leaders[0].controller.world
        pools = {pool["metadata"]["name"]: pool for pool in self.cluster.twin.of(spider.POOLS)}
        booked = {**self.booked("s"), **self.booked("t")}
        assert booked == {name: RangeSet.parse(FAMILY, pool["spec"]["ips"]) for name, pool in pools.items()}
        alive = {one["metadata"]["uid"]: one for one in self.cluster.twin.of(paths.DEPLOYMENTS)}
        held = {one["spec"]["pool"] for one in self.cluster.allocations()}
        for name, pool in pools.items():
            owner = alive.pop(pool["metadata"]["annotations"]["netmgr.io/application-uid"], None)
            assert owner is not None or name in held, f"{name} is nobody's"
            if owner is not None and not self.is_in_trouble(owner):
                ledger = world.ledger(name)
                assert ledger is not None
                tail_is_held = max(ledger.addresses, default=-1) in ledger.held
                size_is_right = ledger.addresses.size == wanted(owner)
                assert size_is_right or (ledger.addresses.size > wanted(owner) and tail_is_held), f"{name}: {pool['spec']['ips']}"
        assert all(self.is_in_trouble(owner) or not wanted(owner) for owner in alive.values()), "an application without its pool"

    def is_in_trouble(self, owner: Json) -> bool:
        """Whether the application was told why it has no pool of its size."""
        return f"apps_v1_Deployment_{SPACE}_{owner['metadata']['name']}" in self.cluster.leaders[0].controller.world.problems


def wanted(owner: Json) -> int:
    """Addresses that the application's annotation and replicas ask for."""
    number: str = owner["spec"]["template"]["metadata"]["annotations"]["ipam.spidernet.io/ippool-ip-number"]
    replicas: int = owner["spec"]["replicas"]
    return replicas + int(number) if number.startswith("+") else int(number)


# The sockets of an agent that was killed end with its process; here the collector finds them.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
TestAutoPools = AutoPools.TestCase
TestAutoPools.settings = lives(few=40, many=3000, steps=40)
