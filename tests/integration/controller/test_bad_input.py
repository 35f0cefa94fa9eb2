"""Bad input ends in a message on the Pod that names object, value and remedy, and gives nothing away."""

from __future__ import annotations

import pytest

from tests.integration.controller.cluster import Cluster
from tests.waiting import eventually

KEY = "ipam.spidernet.io/subnet"


@pytest.mark.parametrize(
    ("annotation", "word"),
    [
        ('{"ipv4": s}', "is not JSON"),
        ('{"ipv4":["no-such"]}', "SpiderSubnet no-such does not exist"),
        ('{"ipv4":["tiny"]}', "SpiderSubnet tiny has 2 free addresses"),
        ('{"ipv6":["tiny"]}', "is not IPv6"),
    ],
)
def test_the_pod_says_what_is_wrong(cluster: Cluster, annotation: str, word: str) -> None:
    wants = {KEY: annotation, "ipam.spidernet.io/ippool-ip-number": "+3"}
    with cluster.controller():
        cluster.subnet("tiny", "10.61.0.0/24", "10.61.0.1-10.61.0.2")
        owner = cluster.deployment("bad", 2, wants)
        cluster.pods("bad", wants, owner, 1)
        eventually(lambda: cluster.refusal("bad-rs-1"), lambda message: word in message, what=word)
        assert cluster.allocations() == {}
        assert cluster.auto_pool("bad") is None


def test_the_younger_of_two_overlapping_subnets_is_not_accepted(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.subnet("aaa", "10.62.0.0/16", "10.62.0.1-10.62.0.9")
        cluster.subnet("bbb", "10.62.0.0/24", "10.62.0.20-10.62.0.29")

        def verdict() -> tuple[str, str]:
            conditions = cluster.read_subnet("bbb").status.conditions or []
            return next(((c.status, c.message) for c in conditions if c.type == "Accepted"), ("", ""))

        status, message = eventually(verdict, lambda seen: seen[0] != "", what="condition Accepted")
        assert status == "False"
        assert "aaa" in message


def test_a_pool_outside_its_subnets_ranges_is_not_accepted(cluster: Cluster) -> None:
    wants = {"ipam.spidernet.io/ippool": '{"ipv4":["outside"]}'}
    with cluster.controller():
        cluster.subnet("s", "10.63.0.0/16", "10.63.1.0-10.63.1.9")
        cluster.pool("outside", "10.63.0.0/16", "10.63.2.0-10.63.2.9")
        owner = cluster.deployment("app", 1, wants)
        cluster.pods("app", wants, owner, 1)
        message = eventually(
            lambda: cluster.refusal("app-rs-1"), lambda text: "spec.ips of SpiderSubnet s" in text, what="a refusal"
        )
        assert "10.63.2.0-10.63.2.9" in message
        assert cluster.allocations() == {}


def test_a_forged_owner_reference_steals_nothing(cluster: Cluster) -> None:
    wants = {KEY: '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "+3"}
    with cluster.controller():
        cluster.subnet("s", "10.63.0.0/16", "10.63.1.0-10.63.1.9")
        owner = cluster.deployment("honest", 1, wants)
        eventually(lambda: cluster.pool_counts("honest"), lambda counts: counts == (0, 4), what="a pool of 4")
        cluster.pods("forged", wants, owner, 1)
        cluster.pods("honest", wants, owner, 1)
        held = cluster.held(1)
        assert [one.spec.pod.name for one in held.values()] == ["honest-rs-1"]


def test_a_pod_whose_owner_is_not_there_has_its_address_where_nothing_depends_on_the_owner(cluster: Cluster) -> None:
    manual = {"ipam.spidernet.io/ippool": '{"ipv4":["for-orphans"]}'}
    with cluster.controller():
        cluster.subnet("s", "10.63.0.0/16", "10.63.1.0-10.63.1.9")
        cluster.pool("for-orphans", "10.63.0.0/16", "10.63.1.0-10.63.1.9")
        cluster.pods("orphan", manual, "no-such-uid", 1)
        assert len(cluster.held(1)) == 1


def test_a_pod_that_claims_an_owner_that_is_not_there_gets_nothing_of_its_pool_and_is_told(cluster: Cluster) -> None:
    wants = {KEY: '{"ipv4":["s"]}'}
    with cluster.controller():
        cluster.subnet("s", "10.63.0.0/16", "10.63.1.0-10.63.1.9")
        cluster.deployment("app", 1, wants)
        eventually(lambda: cluster.auto_pool("app"), lambda found: found is not None, what="a pool")
        cluster.pods("app", wants, "no-such-uid", 1)
        message = cluster.told("app-rs-1")
        assert "no-such-uid does not exist or does not select it" in message
        assert cluster.allocations() == {}
