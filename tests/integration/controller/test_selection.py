"""Which pool a Pod gets its address from, before the real API server: sources, precedence, wildcards, order, affinities."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netmgr.api.meta import Json, PartialObject
from netmgr.kube import paths
from tests.integration.controller.cluster import NODE, Cluster, pod_spec
from tests.waiting import eventually

P = "ipam.spidernet.io/"
PREFIX = "10.57.0.0/16"


def names(*pools: str) -> str:
    return json.dumps({"ipv4": list(pools)})


def listed(*pools: str) -> str:
    return json.dumps([{"ipv4": list(pools)}])


def pod(cluster: Cluster, name: str, annotations: dict[str, str], **meta: Any) -> None:
    """A bare Pod on the node with an agent."""
    body: Json = {"metadata": {"name": name, "annotations": annotations, **meta}, "spec": {**pod_spec(), "nodeName": NODE}}
    cluster.create(cluster.here(paths.PODS), body)


def pool_of(cluster: Cluster, name: str) -> str:
    """The pool that the Pod's address is of, once it has one."""

    def held() -> list[str]:
        return [one.spec.pool for one in cluster.allocations().values() if one.spec.pod.name == name]

    return eventually(held, lambda pools: len(pools) == 1, within=20, what=f"an address for {name}")[0]


def annotate_namespace(cluster: Cluster, **annotations: str) -> None:
    """Which pools the namespace names, and how it is labelled."""
    notes = {P + key.replace("_", "-"): value for key, value in annotations.items()}
    body = {"metadata": {"annotations": notes, "labels": {"team": "a"}}}
    cluster.call(lambda api: api.merge_patch(paths.named(paths.NAMESPACES, cluster.namespace), body, PartialObject))


@pytest.mark.parametrize(
    ("annotations", "chosen"),
    [
        ({}, "of-the-namespace"),
        ({"ippool": names("one")}, "one"),
        ({"ippools": listed("many"), "ippool": names("one")}, "many"),
    ],
)
def test_the_first_source_that_says_anything_chooses_the_pool(cluster: Cluster, annotations: dict[str, str], chosen: str) -> None:
    annotate_namespace(cluster, default_ipv4_ippool='["of-the-namespace"]')
    for number, name in enumerate(("of-the-namespace", "one", "many")):
        cluster.pool(name, PREFIX, f"10.57.{number}.1-10.57.{number}.9")
    cluster.pool("of-everybody", PREFIX, "10.57.9.1-10.57.9.9", default=True)
    with cluster.controller():
        pod(cluster, "asks", {P + key: value for key, value in annotations.items()})
        assert pool_of(cluster, "asks") == chosen


def test_an_ipv6_pool_of_the_namespace_serves_its_pods(cluster: Cluster) -> None:
    annotate_namespace(cluster, default_ipv6_ippool='["six"]')
    cluster.pool("six", "fd57::/64", "fd57::1-fd57::9")
    with cluster.controller():
        pod(cluster, "asks", {})
        assert pool_of(cluster, "asks") == "six"


def test_a_pod_that_names_nothing_gets_an_address_of_a_default_pool(cluster: Cluster) -> None:
    cluster.pool("plain", PREFIX, "10.57.0.1-10.57.0.9")
    cluster.pool("of-everybody", PREFIX, "10.57.9.1-10.57.9.9", default=True)
    with cluster.controller():
        pod(cluster, "asks", {})
        assert pool_of(cluster, "asks") == "of-everybody"


def test_the_users_order_decides_and_the_next_pool_serves_where_one_is_full(cluster: Cluster) -> None:
    cluster.pool("zz-first", PREFIX, "10.57.0.1")
    cluster.pool("aa-second", PREFIX, "10.57.1.1")
    with cluster.controller():
        pod(cluster, "early", {P + "ippool": names("zz-first", "aa-second")})
        first = pool_of(cluster, "early")
        pod(cluster, "late", {P + "ippool": names("zz-first", "aa-second")})
        assert (first, pool_of(cluster, "late")) == ("zz-first", "aa-second")


@pytest.mark.parametrize("wildcard", ["app-*", "app-?", "app-[ab]"])
def test_a_wildcard_names_the_pools_that_match(cluster: Cluster, wildcard: str) -> None:
    cluster.pool("other-a", PREFIX, "10.57.0.1-10.57.0.9")
    cluster.pool("app-b", PREFIX, "10.57.1.1-10.57.1.9")
    with cluster.controller():
        pod(cluster, "asks", {P + "ippool": names(wildcard)})
        assert pool_of(cluster, "asks") == "app-b"


@pytest.mark.parametrize(
    "barrier",
    [
        {"nodeName": ["elsewhere"]},
        {"nodeAffinity": {"matchLabels": {"zone": "b"}}},
        {"namespaceName": ["elsewhere"]},
        {"namespaceAffinity": {"matchLabels": {"team": "b"}}},
        {"podAffinity": {"matchLabels": {"app": "b"}}},
        {"disable": True},
    ],
)
def test_a_pool_that_does_not_admit_the_pod_is_passed_over(cluster: Cluster, barrier: Json) -> None:
    cluster.pool("closed", PREFIX, "10.57.0.1-10.57.0.9", **barrier)
    cluster.pool("open", PREFIX, "10.57.1.1-10.57.1.9")
    with cluster.controller():
        pod(cluster, "asks", {P + "ippool": names("closed", "open")}, labels={"app": "a"})
        assert pool_of(cluster, "asks") == "open"


@pytest.mark.parametrize(
    "admits",
    [
        {"nodeName": [NODE]},
        {"namespaceAffinity": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a"]}]}},
        {"podAffinity": {"matchLabels": {"app": "a"}}},
    ],
)
def test_a_pool_that_admits_the_pod_serves_it(cluster: Cluster, admits: Json) -> None:
    annotate_namespace(cluster)
    cluster.pool("meant", PREFIX, "10.57.0.1-10.57.0.9", **admits)
    with cluster.controller():
        pod(cluster, "asks", {P + "ippool": names("meant")}, labels={"app": "a"})
        assert pool_of(cluster, "asks") == "meant"


def test_neither_an_excluded_address_nor_the_gateway_is_given_out(cluster: Cluster) -> None:
    cluster.pool("holes", PREFIX, "10.57.0.1-10.57.0.4", excludeIPs=["10.57.0.2-10.57.0.3"], gateway="10.57.0.254")
    with cluster.controller():
        for name in ("a", "b", "c"):
            pod(cluster, name, {P + "ippool": names("holes")})
        held = cluster.held(2)
        eventually(
            lambda: [text for text in map(cluster.refusal, "abc") if "no free address" in text], bool, what="one Pod is told"
        )
        assert set(held) == {"10.57.0.1", "10.57.0.4"}


def test_a_static_pod_is_known_by_the_uid_that_its_runtime_gives_it(cluster: Cluster) -> None:
    mirror = {"kubernetes.io/config.mirror": "h4sh", "kubernetes.io/config.hash": "h4sh", "kubernetes.io/config.source": "file"}
    cluster.pool("p", PREFIX, "10.57.0.1-10.57.0.9")
    with cluster.controller():
        pod(cluster, "static", {P + "ippool": names("p"), **mirror})
        pool_of(cluster, "static")
        assert [one.spec.pod.runtime_uid for one in cluster.allocations().values()] == ["h4sh"]
