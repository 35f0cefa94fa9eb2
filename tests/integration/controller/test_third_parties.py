"""Applications of third parties: one pool for each, whatever makes its Pods; sized by its scale; read only with leave."""

from __future__ import annotations

from netmgr.api.meta import PartialObject
from netmgr.kube import paths
from tests.integration.controller import third_parties
from tests.integration.controller.cluster import Cluster
from tests.waiting import eventually

RBAC = "/apis/rbac.authorization.k8s.io/v1"
WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}'}


def ready(cluster: Cluster) -> Cluster:
    third_parties.install(cluster)
    third_parties.forget(cluster)
    cluster.subnet("s", "10.66.0.0/16", "10.66.1.0-10.66.1.255")
    return cluster


def size(cluster: Cluster, application: str) -> list[int | None]:
    return [one.status.total_ip_count for one in cluster.pools_of(application)]


def test_a_rollout_is_one_application_through_all_its_revisions(cluster: Cluster) -> None:
    ready(cluster)
    with cluster.controller():
        spec = {"replicas": 4, "strategy": {"canary": {"maxSurge": 2}}, **third_parties.template("shop", WANTS)}
        rollout = third_parties.make(cluster, third_parties.ROLLOUTS, "shop", spec)
        first = third_parties.replica_set(cluster, "shop-1", "shop", rollout, WANTS)
        third_parties.pod(cluster, "shop-1-a", "shop", first, WANTS)
        old = set(cluster.held(1))
        eventually(lambda: size(cluster, "shop"), lambda seen: seen == [6], what="replicas and what the strategy can surge")
        second = third_parties.replica_set(cluster, "shop-2", "shop", rollout, WANTS)
        third_parties.pod(cluster, "shop-2-a", "shop", second, WANTS)
        held = cluster.held(2)
        assert old < set(held)
        assert len({one.spec.pool for one in held.values()}) == 1
        path = paths.named(third_parties.ROLLOUTS, "shop", namespace=cluster.namespace)
        cluster.call(lambda api: api.merge_patch(path, {"spec": {"replicas": 8}}, PartialObject))
        eventually(lambda: size(cluster, "shop"), lambda seen: seen == [10], what="the pool follows the scale")
        for name in ("shop-1-a", "shop-2-a"):
            cluster.delete(paths.PODS, name, gracePeriodSeconds=0)
        cluster.call(lambda api: api.delete(path))
        for name in held:
            eventually(lambda n=name: cluster.allocations()[n].status.phase, lambda p: p == "Releasing", what="asked")  # type: ignore[misc]
            cluster.detach(name)
        eventually(lambda: cluster.pools_of("shop"), lambda pools: pools == [], what="the pool goes with the application")


def test_a_kind_without_a_scale_needs_a_number_and_is_told_so(cluster: Cluster) -> None:
    ready(cluster)
    with cluster.controller():
        runner = third_parties.make(cluster, third_parties.RUNNERS, "ci", {"image": "x"})
        third_parties.pod(cluster, "ci-1", "ci", runner, WANTS)
        message = eventually(lambda: cluster.refusal("ci-1"), bool, what="a reason")
        assert "ippool-ip-number" in message
        numbered = WANTS | {"ipam.spidernet.io/ippool-ip-number": "3"}
        other = third_parties.make(cluster, third_parties.RUNNERS, "counted", {"image": "x"})
        third_parties.pod(cluster, "counted-1", "counted", other, numbered)
        cluster.held(1)
        eventually(lambda: size(cluster, "counted"), lambda seen: seen == [3], what="three addresses")


def test_pods_that_ask_for_different_things_for_one_application_take_turns(cluster: Cluster) -> None:
    ready(cluster)
    number = {"ipam.spidernet.io/ippool-ip-number": "1"}
    with cluster.controller():
        runner = third_parties.make(cluster, third_parties.RUNNERS, "ci", {})
        for name in ("x", "y"):
            wants = {"ipam.spidernet.io/subnet": f'{{"ipv4":["of-{name}"]}}', **number}
            third_parties.pod(cluster, f"ci-{name}", "ci", runner, wants)
        assert "of-x" in cluster.told("ci-x") + cluster.told("ci-y")
        cluster.subnet("of-x", "10.67.0.0/16", "10.67.1.0-10.67.1.9")
        cluster.subnet("of-y", "10.68.0.0/16", "10.68.1.0-10.68.1.9")
        assert set(cluster.held(2)) == {"10.67.1.0", "10.68.1.0"}


def test_pools_of_third_parties_stay_when_the_controller_starts_anew(cluster: Cluster) -> None:
    ready(cluster)
    spec = {"replicas": 1, **third_parties.template("shop", WANTS)}
    with cluster.controller():
        rollout = third_parties.make(cluster, third_parties.ROLLOUTS, "shop", spec)
        first = third_parties.replica_set(cluster, "shop-1", "shop", rollout, WANTS)
        third_parties.pod(cluster, "shop-1-a", "shop", first, WANTS)
        cluster.held(1)
        before = [one.metadata.uid for one in cluster.pools_of("shop")]
    path = paths.named(third_parties.ROLLOUTS, "shop", namespace=cluster.namespace)
    cluster.call(lambda api: api.merge_patch(path, {"spec": {"replicas": 5}}, PartialObject))
    with cluster.controller("two"):
        eventually(lambda: size(cluster, "shop"), lambda seen: seen == [7], what="grown by the next controller")
        assert [one.metadata.uid for one in cluster.pools_of("shop")] == before


def test_a_kind_that_may_not_be_read_is_named_with_what_grants_it(cluster: Cluster) -> None:
    ready(cluster)
    kubeconfig = cluster.limited_controller()
    with cluster.controller(kubeconfig=kubeconfig):
        rollout = third_parties.make(
            cluster, third_parties.ROLLOUTS, "shop", {"replicas": 1, **third_parties.template("shop", WANTS)}
        )
        third_parties.pod(cluster, "shop-a", "shop", rollout, WANTS)
        message = eventually(lambda: cluster.refusal("shop-a"), bool, what="a reason")
        assert "may not read Rollout of argoproj.io/v1alpha1" in message
        assert "aggregate-to-controller" in message
        cluster.pool("not-by-rollout", "10.66.0.0/16", "10.66.1.9")
        manual = {"ipam.spidernet.io/ippool": '{"ipv4":["not-by-rollout"]}'}
        third_parties.pod(cluster, "shop-b", "shop", rollout, manual)
        assert set(cluster.held(1)) == {"10.66.1.9"}


def test_a_scale_that_may_not_be_read_is_named_with_what_grants_it(cluster: Cluster) -> None:
    ready(cluster)
    kubeconfig = cluster.limited_controller()
    rules = [{"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["get", "list", "watch"]}]
    body = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding"}
    account = {"kind": "ServiceAccount", "name": "netmgr-controller", "namespace": cluster.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"rollouts-{cluster.namespace}"}
    cluster.create(f"{RBAC}/clusterroles", {"metadata": {"name": role["name"]}, "rules": rules})
    cluster.create(
        f"{RBAC}/clusterrolebindings", {**body, "metadata": {"name": role["name"]}, "roleRef": role, "subjects": [account]}
    )
    with cluster.controller(kubeconfig=kubeconfig):
        spec = {"replicas": 1, **third_parties.template("shop", WANTS)}
        rollout = third_parties.make(cluster, third_parties.ROLLOUTS, "shop", spec)
        third_parties.pod(cluster, "shop-a", "shop", rollout, WANTS)
        message = eventually(lambda: cluster.refusal("shop-a"), lambda words: "scale" in words, what="a reason")
        assert "grant get on rollouts/scale" in message


def test_a_machine_keeps_its_address_as_long_as_it_exists(cluster: Cluster) -> None:
    ready(cluster)
    with cluster.controller():
        machine = third_parties.make(cluster, third_parties.MACHINES, "vm", third_parties.template("vm", WANTS))
        instance = third_parties.make(cluster, third_parties.INSTANCES, "vm", {}, owner=machine)
        third_parties.pod(cluster, "virt-launcher-vm-abcde", "vm", instance, WANTS)
        address = next(iter(cluster.held(1)))
        cluster.delete(paths.PODS, "virt-launcher-vm-abcde", gracePeriodSeconds=0)
        eventually(lambda: cluster.allocations()[address].status.phase, lambda phase: phase == "Releasing", what="the question")
        cluster.detach(address)
        successor = third_parties.pod(cluster, "virt-launcher-vm-fghij", "vm", instance, WANTS)
        eventually(lambda: cluster.allocations()[address].spec.pod.uid, lambda uid: uid == successor, what="the same address")
        cluster.delete(paths.PODS, "virt-launcher-vm-fghij", gracePeriodSeconds=0)
        eventually(lambda: cluster.allocations()[address].status.phase, lambda phase: phase == "Releasing", what="asked again")
        cluster.detach(address)
        cluster.call(lambda api: api.delete(paths.named(third_parties.INSTANCES, "vm", namespace=cluster.namespace)))
        assert set(cluster.held(1)) == {address}
        cluster.call(lambda api: api.delete(paths.named(third_parties.MACHINES, "vm", namespace=cluster.namespace)))
        assert cluster.held(0) == {}
