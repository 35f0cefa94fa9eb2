"""Annotations of Pods, Pod templates and namespaces: refused where they cannot be understood, before anything waits."""

from __future__ import annotations

from typing import Any

import pytest

from netmgr.api.meta import Json, PartialObject
from netmgr.kube import paths
from netmgr.kube.errors import Forbidden
from tests.integration.controller.cluster import pod_spec, reference
from tests.integration.webhook.installed import Installed

PREFIX = "ipam.spidernet.io/"
WRONG = {PREFIX + "subnet": '{"ipv4": nginx}'}
RIGHT = {PREFIX + "ippool": '{"ipv4":["one"]}'}


def template(annotations: Json, **spec: Any) -> Json:
    return {"metadata": {"labels": {"app": "a"}, "annotations": annotations}, "spec": {**pod_spec(), **spec}}


def workload(kind: str, annotations: Json, **spec: Any) -> tuple[str, Json]:
    """A collection and a body for it."""
    chosen = {"selector": {"matchLabels": {"app": "a"}}, "template": template(annotations, **spec)}
    job = {"template": template(annotations, restartPolicy="Never", **spec)}
    bodies: dict[str, tuple[str, Json]] = {
        "Deployment": (paths.DEPLOYMENTS, chosen),
        "ReplicaSet": (paths.REPLICA_SETS, chosen),
        "StatefulSet": (paths.STATEFUL_SETS, {**chosen, "serviceName": "a"}),
        "DaemonSet": (paths.DAEMON_SETS, chosen),
        "Job": (paths.JOBS, job),
        "CronJob": (paths.CRON_JOBS, {"schedule": "0 0 * * *", "jobTemplate": {"spec": job}}),
    }
    return bodies[kind]


def create(cluster: Installed, kind: str, annotations: Json, own: Json | None = None, **spec: Any) -> None:
    collection, body = workload(kind, annotations, **spec)
    cluster.create(cluster.here(collection), {"metadata": {"name": "a", "annotations": own or {}}, "spec": body})


def refusal(cluster: Installed, kind: str, annotations: Json) -> str:
    with pytest.raises(Forbidden) as caught:
        create(cluster, kind, annotations)
    return caught.value.message


KINDS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob")


def test_a_mistake_in_a_template_of_any_kind_is_refused_and_names_the_place(cluster: Installed) -> None:
    with cluster.asked():
        told = {kind: refusal(cluster, kind, WRONG) for kind in KINDS}
        for kind in KINDS:
            create(cluster, kind, RIGHT)
    wanted = f"{cluster.namespace}/a, Pod template: annotation ipam.spidernet.io/subnet: '{{\"ipv4\": nginx}}' is not JSON"
    assert [kind for kind, words in told.items() if f"{kind} {wanted}" not in words] == []
    assert 'webhook "cronjobs.netmgr.io" denied' in told["CronJob"]


BAD_PODS = [
    (WRONG, "is not JSON"),
    ({PREFIX + "ippool-ip-number": "3+2", **RIGHT}, "is not a number of addresses"),
    ({PREFIX + "routes": '[{"dst":"0.0.0.0/0","gw":"10.0.0.1"}]', **RIGHT}, "has the default route 0.0.0.0/0 via 10.0.0.1"),
    ({PREFIX + "default-route-nic": "no interface", **RIGHT}, "is no interface name"),
    ({"k8s.v1.cni.cncf.io/networks": "[{]", **RIGHT}, "annotation k8s.v1.cni.cncf.io/networks"),
    ({PREFIX + "subnet": '{"ipv4":["s"]}'}, "a Pod without a controller cannot have a pool of its own"),
    (
        {**RIGHT, "cni.projectcalico.org/ipAddrs": '["10.0.0.1"]'},
        "annotation cni.projectcalico.org/ipAddrs asks Calico's own IPAM for an address, ipam.spidernet.io/ippool asks netmgr",
    ),
]


@pytest.fixture(scope="module")
def bad_pods() -> list[tuple[Json, str]]:
    return BAD_PODS


def test_a_mistake_on_a_pod_is_refused(cluster: Installed, bad_pods: list[tuple[Json, str]]) -> None:
    def told(annotations: Json) -> str:
        body = {"metadata": {"name": "p", "annotations": annotations}, "spec": pod_spec()}
        with pytest.raises(Forbidden) as caught:
            cluster.create(cluster.here(paths.PODS), body)
        return caught.value.message

    with cluster.asked():
        words = [(told(annotations), rule) for annotations, rule in bad_pods]
    assert [(message, rule) for message, rule in words if rule not in message] == []


def test_a_namespace_that_names_pools_wrongly_is_refused(cluster: Installed) -> None:
    path = paths.named(paths.NAMESPACES, cluster.namespace)
    body = {"metadata": {"annotations": {PREFIX + "default-ipv4-ippool": "one"}}}
    with cluster.asked(), pytest.raises(Forbidden, match=r"annotation ipam\.spidernet\.io/default-ipv4-ippool: 'one' is not JSON"):
        cluster.call(lambda api: api.merge_patch(path, body, PartialObject))


def test_what_may_be_right_later_is_a_warning(cluster: Installed) -> None:
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a", "annotations": {PREFIX + "ippool-reclaim": "false"}},
        "spec": workload(
            "Deployment",
            {PREFIX + "subnet": '{"ipv4":["none","six"]}', PREFIX + "ippool": '{"ipv4":["x"]}', PREFIX + "ipool-ip-number": "3"},
        )[1],
    }
    with cluster.asked():
        cluster.subnet("six", "fd00:70::/64", "fd00:70::1-fd00:70::9")
        told = cluster.apply(manifest)
    assert "SpiderSubnet none does not exist; Pods wait until it is created" in told
    assert "SpiderSubnet six is IPv6, not IPv4" in told
    assert "annotation ipam.spidernet.io/ipool-ip-number is not known and has no effect; did you mean" in told
    assert "annotation ipam.spidernet.io/ippool has no effect beside ipam.spidernet.io/subnet" in told
    assert "ipam.spidernet.io/ippool-reclaim on the Deployment itself has no effect" in told


def test_pods_without_our_annotations_and_pods_of_a_judged_template_never_reach_the_webhook(cluster: Installed) -> None:
    """Counted by the API server itself, which would call for each of these if the conditions were not."""
    with cluster.asked():
        before = calls(cluster)
        create(cluster, "Deployment", {"example.org/note": "x"})
        cluster.create(cluster.here(paths.PODS), {"metadata": {"name": "plain"}, "spec": pod_spec()})
        owner = cluster.create(
            cluster.here(paths.REPLICA_SETS), {"metadata": {"name": "rs"}, "spec": workload("ReplicaSet", {})[1]}
        )
        meta = {"name": "owned", "ownerReferences": [reference("ReplicaSet", "rs", owner.metadata.uid)], "annotations": RIGHT}
        cluster.create(cluster.here(paths.PODS), {"metadata": meta, "spec": pod_spec()})
        silent = calls(cluster)
        cluster.create(cluster.here(paths.PODS), {"metadata": {"name": "ours", "annotations": RIGHT}, "spec": pod_spec()})
        after = calls(cluster)
    assert silent == before
    assert after == before + 1


def test_an_object_with_an_old_mistake_can_still_be_changed(cluster: Installed) -> None:
    create(cluster, "Deployment", WRONG)
    with cluster.asked():
        cluster.scale("a", 3)
        with pytest.raises(Forbidden, match="is neither true nor false"):
            cluster.annotate("a", {**RIGHT, PREFIX + "subnet": None, PREFIX + "ippool-reclaim": "maybe"})
        cluster.annotate("a", {**RIGHT, PREFIX + "subnet": None})


def test_a_pod_on_the_hosts_network_may_say_what_it_likes(cluster: Installed) -> None:
    with cluster.asked():
        create(cluster, "DaemonSet", WRONG, hostNetwork=True)


def test_workloads_pass_when_no_webhook_answers(cluster: Installed) -> None:
    with cluster.asked():
        pass
    create(cluster, "Deployment", WRONG)


def calls(cluster: Installed) -> int:
    """How often the API server has asked the workload webhooks."""
    text = cluster.server.kubectl("get", "--raw", "/metrics").stdout
    lines = [line for line in text.splitlines() if line.startswith("apiserver_admission_webhook_admission_duration_seconds_count")]
    names = ("pods.netmgr.io", "templates.netmgr.io", "namespaces.netmgr.io", "cronjobs.netmgr.io")
    return sum(int(line.rpartition(" ")[2]) for line in lines if any(f'name="{name}"' in line for name in names))
