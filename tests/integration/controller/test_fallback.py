"""Pods that no rule covers: refused, from everybody's pool, or on the list of their node for another IPAM plugin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netmgr.api.delegation import DELEGATIONS, NodeDelegation
from netmgr.install.objects import Settings
from netmgr.install.removing import InUseError, Remover
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import NotFound
from tests.integration.controller.cluster import Cluster, kill
from tests.waiting import eventually

DEFAULT_POOL = "ipam.spidernet.io/default-ipv4-ippool"


@pytest.fixture
def alone(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster with a node of this test's own: Pods of earlier tests are on another."""
    cluster.agent(node_of(cluster))
    yield cluster
    cluster.clean(DELEGATIONS)


def node_of(cluster: Cluster) -> str:
    return f"node-{cluster.namespace}"


def foreign_pod(cluster: Cluster, name: str, annotations: dict[str, str] | None = None) -> str:
    return cluster.bare_pod(name, annotations, node_of(cluster))


def listed(cluster: Cluster) -> list[str]:
    """The Pods of the node that another plugin answers for."""

    async def read(api: Api) -> list[str]:
        try:
            return sorted((await api.get(paths.named(DELEGATIONS, node_of(cluster)), NodeDelegation)).spec.pods)
        except NotFound:
            return []

    found: list[str] = cluster.call(read)
    return found


def writes(cluster: Cluster) -> int:
    counts = cluster.server.request_counts("netmgr-controller")
    return sum(number for (verb, resource), number in counts.items() if verb in {"create", "patch"} and resource != "leases")


def test_a_pod_that_no_rule_covers_is_listed_for_its_node_and_gets_no_address_of_ours(alone: Cluster) -> None:
    alone.pool("ours", "10.71.0.0/24", "10.71.0.1-10.71.0.9")
    with alone.controller("one", "--fallback", "delegate:calico-ipam"):
        covered = foreign_pod(alone, "covered", {"ipam.spidernet.io/ippool": '{"ipv4":["ours"]}'})
        foreign = foreign_pod(alone, "foreign")

        alone.held(1)
        assert eventually(lambda: listed(alone), bool, within=10) == [foreign]
        assert [one.spec.pod.uid for one in alone.allocations().values()] == [covered]
        assert alone.refusal("foreign") == ""


def test_many_pods_at_once_are_few_writes_and_no_request_remains_at_their_end(alone: Cluster) -> None:
    with alone.controller("one", "--fallback", "delegate:calico-ipam"):
        first = foreign_pod(alone, "first")
        eventually(lambda: listed(alone), lambda pods: pods == [first], within=20)
        before = writes(alone)
        alone.pods("many", {}, alone.deployment("many", 40, {}), *range(40), node=node_of(alone))

        eventually(lambda: len(listed(alone)), lambda count: count == 41, within=20)

        assert writes(alone) - before <= 40
        after = writes(alone)
        alone.delete(paths.PODS, "first")
        last = foreign_pod(alone, "last")
        pods = eventually(lambda: listed(alone), lambda pods: last in pods, within=20)
        assert (first in pods, len(pods), writes(alone) - after) == (False, 41, 1)


def test_what_was_decided_stays_decided_under_the_next_leader(alone: Cluster) -> None:
    alone.pool("later", "10.72.0.0/24", "10.72.0.1-10.72.0.9")
    options = ("--fallback", "delegate:calico-ipam")
    with alone.controller("one", *options) as first:
        foreign = foreign_pod(alone, "foreign")
        eventually(lambda: listed(alone), lambda pods: pods == [foreign], within=10)
        kill(first)
    alone.call(lambda api: api.merge_patch(f"/api/v1/namespaces/{alone.namespace}", annotated('["later"]'), NodeDelegation))

    with alone.controller("two", *options):
        covered = foreign_pod(alone, "covered")

        held = alone.held(1, within=40)
        assert [one.spec.pod.uid for one in held.values()] == [covered]
        assert listed(alone) == [foreign]


def annotated(pools: str) -> dict[str, object]:
    return {"metadata": {"annotations": {DEFAULT_POOL: pools}}}


def test_default_pools_that_are_not_meant_for_a_pod_do_not_cover_it(alone: Cluster) -> None:
    alone.pool("others", "10.73.0.0/24", "10.73.0.1-10.73.0.9", default=True, namespaceName=["another"])
    with alone.controller("one", "--fallback", "delegate:calico-ipam"):
        foreign = foreign_pod(alone, "foreign")

        assert eventually(lambda: listed(alone), bool, within=10) == [foreign]


def test_a_full_default_pool_is_no_reason_to_go_elsewhere(alone: Cluster) -> None:
    alone.pool("full", "10.74.0.0/24", "10.74.0.1", default=True, namespaceName=[alone.namespace])
    with alone.controller("one", "--fallback", "delegate:calico-ipam"):
        foreign_pod(alone, "first")
        alone.held(1)
        foreign_pod(alone, "second")

        assert "no free address" in eventually(lambda: alone.refusal("second"), bool, within=10)
        assert listed(alone) == []


def test_everybodys_pools_serve_both_families(alone: Cluster) -> None:
    alone.pool("everybody4", "10.75.0.0/24", "10.75.0.1-10.75.0.9")
    alone.pool("everybody6", "fd00:75::/64", "fd00:75::1-fd00:75::9")
    with alone.controller("one", "--fallback", "pool:everybody4,everybody6"):
        foreign_pod(alone, "foreign")

        held = alone.held(2)

        assert {(one.spec.pool, one.spec.siblings) for one in held.values()} == {("everybody4", 2), ("everybody6", 2)}


def test_a_pool_of_everybody_that_does_not_exist_is_named(alone: Cluster) -> None:
    with alone.controller("one", "--fallback", "pool:missing"):
        foreign_pod(alone, "foreign")

        assert "SpiderIPPool missing" in eventually(lambda: alone.refusal("foreign"), bool, within=10)


def test_a_wrong_annotation_is_refused_and_never_handed_over(alone: Cluster) -> None:
    with alone.controller("one", "--fallback", "delegate:calico-ipam"):
        foreign_pod(alone, "wrong", {"ipam.spidernet.io/ippool": "nonsense"})

        assert "is not JSON" in eventually(lambda: alone.refusal("wrong"), bool, within=10)
        assert listed(alone) == []


def test_a_static_pod_is_known_by_what_the_runtime_calls_it(alone: Cluster) -> None:
    alone.pool("statics", "10.76.0.0/24", "10.76.0.1-10.76.0.9")
    mirror = {"kubernetes.io/config.mirror": "abc", "kubernetes.io/config.source": "file"}
    asks = {"ipam.spidernet.io/ippool": '{"ipv4":["statics"]}'}
    with alone.controller("one", "--fallback", "delegate:calico-ipam"):
        foreign_pod(alone, "foreign", mirror | {"kubernetes.io/config.hash": "abc"})
        foreign_pod(alone, "covered", mirror | asks | {"kubernetes.io/config.hash": "def"})

        held = alone.held(1)

        assert [one.spec.pod.runtime_uid for one in held.values()] == ["def"]
        assert eventually(lambda: listed(alone), bool, within=10) == ["abc"]


def test_an_address_that_the_other_plugin_has_given_out_is_not_given_out_again(alone: Cluster) -> None:
    alone.pool("touched", "10.77.0.0/24", "10.77.0.1-10.77.0.2")
    asks = {"ipam.spidernet.io/ippool": '{"ipv4":["touched"]}'}
    with alone.controller("one", "--fallback", "delegate:calico-ipam"):
        foreign = foreign_pod(alone, "foreign")
        eventually(lambda: listed(alone), lambda pods: pods == [foreign], within=20)
        report(alone, "foreign", "10.77.0.1")
        foreign_pod(alone, "first", asks)
        assert set(alone.held(1)) == {"10.77.0.2"}
        foreign_pod(alone, "second", asks)
        assert "no free address" in eventually(lambda: alone.refusal("second"), bool, within=10)

        alone.delete(paths.PODS, "foreign")

        assert set(alone.held(2)) == {"10.77.0.1", "10.77.0.2"}


def test_uninstall_is_refused_while_pods_live_by_the_other_plugin(alone: Cluster) -> None:
    with alone.controller("one", "--fallback", "delegate:calico-ipam"):
        foreign = foreign_pod(alone, "foreign")
        eventually(lambda: listed(alone), lambda pods: pods == [foreign], within=20)

    with pytest.raises(InUseError, match=f"1 Pods have addresses of the fallback plugin.*{alone.namespace}/foreign"):
        alone.call(lambda api: Remover(api, Settings(), lambda _: None)._refuse_in_use())


def report(cluster: Cluster, pod: str, address: str) -> None:
    """What the kubelet says once the Pod's sandbox is there."""
    path = paths.named(paths.PODS, pod, "status", namespace=cluster.namespace)
    body = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
    cluster.call(lambda api: api.merge_patch(path, body, NodeDelegation))


def test_a_pod_that_runs_since_before_netmgr_is_left_alone_until_its_sandbox_is_made_anew(alone: Cluster) -> None:
    everybody = {"ipam.spidernet.io/ippool": '{"ipv4":["for-newcomers"]}'}
    alone.subnet("since-before", "10.69.0.0/16", "10.69.1.0-10.69.1.9")
    alone.pool("for-newcomers", "10.69.0.0/16", "10.69.1.0-10.69.1.9")
    foreign_pod(alone, "covered", everybody)
    foreign_pod(alone, "uncovered")
    for name, address in (("covered", "192.0.2.7"), ("uncovered", "192.0.2.8")):
        alone.runs_at(name, address)
    with alone.controller():
        foreign_pod(alone, "newcomer", everybody)
        assert {one.spec.pod.name for one in alone.held(1).values()} == {"newcomer"}
        assert (alone.refusal("covered"), alone.refusal("uncovered")) == ("", "")
        alone.runs_at("covered", "")
        assert {one.spec.pod.name for one in alone.held(2).values()} == {"newcomer", "covered"}
