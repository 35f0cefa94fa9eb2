"""SpiderEndpoint: one for each Pod, late, coalesced, gone with the claim; and what it costs in requests."""

from __future__ import annotations

from collections import Counter

import pytest

from netmgr.api.endpoint import ENDPOINTS, SpiderEndpoint
from netmgr.api.meta import Json, PartialObject
from netmgr.kube import paths
from tests.integration.controller.cluster import Cluster
from tests.waiting import eventually

ON = "--spider-endpoints"
WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["s"],"ipv6":["s6"]}', "ipam.spidernet.io/ippool-ip-number": "+2"}
FOUR = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "+2"}


def endpoints(cluster: Cluster) -> dict[str, SpiderEndpoint]:
    found: list[SpiderEndpoint] = cluster.call(lambda api: api.list(cluster.here(ENDPOINTS), SpiderEndpoint))
    return {one.metadata.name: one for one in found}


def subnets(cluster: Cluster) -> None:
    cluster.subnet("s", "10.66.0.0/16", "10.66.1.0-10.66.1.255")
    cluster.subnet("s6", "fd00:66::/64", "fd00:66::10-fd00:66::ff")


def writes(cluster: Cluster) -> Counter[tuple[str, str]]:
    """Of controllers, about allocations and SpiderEndpoints."""
    counts = cluster.server.request_counts("netmgr-controller")
    kinds = ("ipallocations", "ipallocations/status", "spiderendpoints")
    return Counter({key: n for key, n in counts.items() if key[1] in kinds and key[0] not in {"list", "watch"}})


def test_a_pod_of_a_deployment_has_one_with_both_addresses_that_belongs_to_it(cluster: Cluster) -> None:
    with cluster.controller("one", ON):
        subnets(cluster)
        owner = cluster.deployment("web", 1, WANTS)
        cluster.pods("web", WANTS, owner, 1)
        seen = eventually(lambda: endpoints(cluster), lambda found: "web-rs-1" in found, what="a SpiderEndpoint")["web-rs-1"]
        held = {one.spec.address: one.spec for one in cluster.allocations().values()}
    (only,) = seen.status.current.ips
    four, six = only.ipv4.partition("/")[0], only.ipv6.partition("/")[0]
    assert set(held) == {four, six}
    assert (only.interface, only.ipv4_pool, only.ipv6_pool) == ("eth0", held[four].pool, held[six].pool)
    assert (only.ipv4.partition("/")[2], only.ipv6.partition("/")[2]) == ("16", "64")
    assert (seen.status.owner_controller_type, seen.status.owner_controller_name) == ("Deployment", "web")
    assert [one.uid for one in seen.metadata.owner_references or ()] == [held[four].pod.uid]
    assert (seen.status.current.uid, seen.status.current.node) == (held[four].pod.uid, "node-a")
    columns = cluster.server.kubectl("get", "se", "-n", cluster.namespace).stdout.splitlines()
    assert columns[0].split() == ["NAME", "INTERFACE", "IPV4POOL", "IPV4", "IPV6POOL", "IPV6", "NODE"]
    assert columns[1].split() == ["web-rs-1", "eth0", only.ipv4_pool, only.ipv4, only.ipv6_pool, only.ipv6, "node-a"]


def test_that_of_an_ordinal_outlives_its_pod_and_follows_to_the_next(cluster: Cluster) -> None:
    cluster.agent("node-b")
    with cluster.controller("one", ON):
        cluster.subnet("s", "10.66.0.0/16", "10.66.1.0-10.66.1.255")
        owner = cluster.stateful_set("db", 1, FOUR)
        cluster.ordinal("db", FOUR, owner, 0)
        first = eventually(lambda: endpoints(cluster), lambda found: "db-0" in found, what="a SpiderEndpoint")["db-0"]
        cluster.delete(paths.PODS, "db-0", gracePeriodSeconds=0)
        cluster.detach(next(iter(cluster.held(1))))
        successor = cluster.ordinal("db", FOUR, owner, 0, node="node-b")
        now = eventually(
            lambda: endpoints(cluster)["db-0"], lambda one: one.status.current.uid == successor, what="the next Pod's UID"
        )
    assert first.metadata.owner_references is None
    assert now.metadata.uid == first.metadata.uid
    assert now.status.current.node == "node-b"
    assert now.status.current.ips == first.status.current.ips


def test_what_somebody_wrote_into_one_is_corrected_and_one_without_a_claim_goes(cluster: Cluster) -> None:
    with cluster.controller("one", ON):
        cluster.subnet("s", "10.66.0.0/16", "10.66.1.0-10.66.1.255")
        owner = cluster.deployment("web", 1, FOUR)
        cluster.pods("web", FOUR, owner, 1)
        before = eventually(lambda: endpoints(cluster), lambda found: "web-rs-1" in found, what="a SpiderEndpoint")["web-rs-1"]
        path = paths.named(ENDPOINTS, "web-rs-1", namespace=cluster.namespace)
        wrong: Json = {"status": {"current": {"node": "elsewhere"}}}
        cluster.call(lambda api: api.merge_patch(path, wrong, PartialObject))
        eventually(lambda: endpoints(cluster)["web-rs-1"], lambda one: one.status == before.status, what="corrected")
        address = next(iter(cluster.held(1)))
        cluster.delete(paths.PODS, "web-rs-1", gracePeriodSeconds=0)
        cluster.detach(address)
        cluster.held(0)
        eventually(lambda: endpoints(cluster), lambda found: found == {}, what="none left")


def test_a_leader_that_shows_none_removes_those_that_are_netmgrs(cluster: Cluster) -> None:
    with cluster.controller("one", ON):
        cluster.subnet("s", "10.66.0.0/16", "10.66.1.0-10.66.1.255")
        cluster.pods("web", FOUR, cluster.deployment("web", 1, FOUR), 1)
        eventually(lambda: endpoints(cluster), lambda found: "web-rs-1" in found, what="a SpiderEndpoint")
    body = {"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderEndpoint", "metadata": {"name": "foreign"}}
    cluster.create(cluster.here(ENDPOINTS), body)
    with cluster.controller("two"):
        left = eventually(lambda: endpoints(cluster), lambda found: "web-rs-1" not in found, what="ours removed")
    assert set(left) == {"foreign"}


@pytest.mark.parametrize(("options", "shown"), [((), 0), ((ON,), 1)], ids=["without", "with"])
def test_writes_for_the_life_of_six_pods(cluster: Cluster, options: tuple[str, ...], shown: int) -> None:
    """One create and one delete for each address; with SpiderEndpoints one create and one delete more for each Pod.

    No garbage collector runs here: in a cluster it does the last one. The node's report (second write at the end) is the test's.
    """
    pods = 6
    cluster.server.kubectl("delete", "pods", "--all", "--all-namespaces", "--force")  # of earlier tests
    with cluster.controller("one", *options):
        subnets(cluster)
        owner = cluster.deployment("web", pods, WANTS)
        eventually(lambda: cluster.pool_counts("web"), bool, what="a pool")
        before = writes(cluster)
        cluster.pods("web", WANTS, owner, *range(pods))
        held = cluster.held(2 * pods)
        eventually(lambda: len(endpoints(cluster)), lambda count: count == shown * pods, what="SpiderEndpoints")
        started = writes(cluster) - before
        for number in range(pods):  # gracefully: the sandbox is reported detached before the Pod is gone
            cluster.delete(paths.PODS, f"web-rs-{number}", gracePeriodSeconds=30)
        for name in held:
            cluster.detach(name)
        cluster.held(0)
        for number in range(pods):
            cluster.delete(paths.PODS, f"web-rs-{number}", gracePeriodSeconds=0)
        eventually(lambda: len(endpoints(cluster)), lambda count: count == 0, what="none left")
        ended = writes(cluster) - before - started
    shows = Counter({("create", "spiderendpoints"): pods * shown}), Counter({("delete", "spiderendpoints"): pods * shown})
    assert started == Counter({("create", "ipallocations"): 2 * pods}) + shows[0]
    assert ended == Counter({("delete", "ipallocations"): 2 * pods}) + shows[1]
