"""Whose application a Pod is, and how big its pool: from live objects, never from an ownerReference alone."""

from __future__ import annotations

import msgspec
import pytest

from ipam.application import Application
from netmgr.api.meta import LabelSelector, Meta, OwnerReference
from netmgr.api.workload import Pod, Workload, WorkloadSpec
from netmgr.controller.kinds import pods_at_once, surge
from netmgr.controller.owners import Unproved, top_owner

APPS, BATCH = "apps/v1", "batch/v1"


def workload(name: str, *, owner: OwnerReference | None = None, app: str = "web") -> Workload:
    meta = Meta(name=name, namespace="default", uid=f"uid-{name}", owner_references=[owner] if owner else None)
    return Workload(metadata=meta, spec=WorkloadSpec(selector=LabelSelector(match_labels={"app": app})))


def owned_by(kind: str, name: str, *, group: str = APPS, uid: str = "") -> OwnerReference:
    return OwnerReference(kind=kind, name=name, uid=uid or f"uid-{name}", api_version=group, controller=True)


def pod(owner: OwnerReference | None) -> Pod:
    references = [owner] if owner else None
    return Pod(metadata=Meta(name="web-1", namespace="default", uid="p", labels={"app": "web"}, owner_references=references))


LIVE = {
    "Deployment": {"default/web": workload("web"), "default/other": workload("other", app="other")},
    "ReplicaSet": {
        "default/web-rs": workload("web-rs", owner=owned_by("Deployment", "web")),
        "default/alone": workload("alone"),
        "default/lost": workload("lost", owner=owned_by("Deployment", "gone")),
        "default/foreign": workload("foreign", owner=owned_by("Deployment", "other")),
    },
    "StatefulSet": {"default/db": workload("db")},
    "DaemonSet": {"default/each": workload("each")},
    "Job": {
        "default/once": workload("once"),
        "default/nightly-1": workload("nightly-1", owner=owned_by("CronJob", "nightly", group=BATCH)),
    },
    "CronJob": {"default/nightly": workload("nightly", app="nothing")},
}


@pytest.mark.parametrize(
    ("owner", "top"),
    [
        (owned_by("ReplicaSet", "web-rs"), "Deployment default/web"),
        (owned_by("ReplicaSet", "alone"), "ReplicaSet default/alone"),
        (owned_by("StatefulSet", "db"), "StatefulSet default/db"),
        (owned_by("DaemonSet", "each"), "DaemonSet default/each"),
        (owned_by("Job", "once", group=BATCH), "Job default/once"),
        (owned_by("Job", "nightly-1", group=BATCH), "CronJob default/nightly"),
        (owned_by("CloneSet", "c", group="apps.kruise.io/v1alpha1"), "CloneSet default/c"),
    ],
)
def test_the_chain_is_followed_to_its_top(owner: OwnerReference, top: str) -> None:
    found = top_owner(pod(owner), LIVE)
    assert isinstance(found, Application)
    assert str(found) == top


@pytest.mark.parametrize(
    "owner",
    [
        owned_by("ReplicaSet", "web-rs", uid="another"),
        owned_by("ReplicaSet", "not-there"),
        owned_by("ReplicaSet", "lost"),
        owned_by("ReplicaSet", "foreign"),
        owned_by("Deployment", "web"),
        owned_by("CronJob", "nightly", group=BATCH),
        owned_by("StatefulSet", "db", uid="another"),
        owned_by("Deployment", "web", group="apps_v1"),
        owned_by("v1_Deployment", "web", group="apps"),
    ],
)
def test_a_reference_that_the_live_objects_do_not_bear_out_proves_nothing(owner: OwnerReference) -> None:
    assert isinstance(top_owner(pod(owner), LIVE), Unproved)


def test_the_same_kind_of_another_group_is_another_application() -> None:
    found = top_owner(pod(owned_by("Deployment", "web", group="apps.example.com/v1")), LIVE)
    assert isinstance(found, Application)
    assert found.book_key != "apps_v1_Deployment_default_web"


def test_a_pod_without_a_controller_is_its_own() -> None:
    assert top_owner(pod(None), LIVE) is None


def decoded(kind: str, body: str) -> tuple[int, int]:
    one = msgspec.json.decode(f'{{"metadata": {{"name": "x"}}, {body}}}', type=Workload)
    return pods_at_once(kind, one), surge(kind, one)


@pytest.mark.parametrize(
    ("kind", "body", "pods", "more"),
    [
        ("Deployment", '"spec": {"replicas": 10}', 10, 3),
        ("Deployment", '"spec": {}', 1, 1),
        ("Deployment", '"spec": {"replicas": 0}', 0, 0),
        ("Deployment", '"spec": {"replicas": 10, "strategy": {"rollingUpdate": {"maxSurge": 4}}}', 10, 4),
        ("Deployment", '"spec": {"replicas": 10, "strategy": {"rollingUpdate": {"maxSurge": "50%"}}}', 10, 5),
        ("Deployment", '"spec": {"replicas": 10, "strategy": {"type": "Recreate"}}', 10, 0),
        ("ReplicaSet", '"spec": {"replicas": 3}', 3, 0),
        ("StatefulSet", '"spec": {"replicas": 3}', 3, 0),
        ("DaemonSet", '"spec": {}, "status": {"desiredNumberScheduled": 7}', 7, 0),
        (
            "DaemonSet",
            '"spec": {"updateStrategy": {"rollingUpdate": {"maxSurge": 2}}},"status": {"desiredNumberScheduled": 7}',
            7,
            2,
        ),
        ("Job", '"spec": {}', 1, 0),
        ("Job", '"spec": {"completions": 1000, "parallelism": 5}', 5, 0),
        ("Job", '"spec": {"completions": 2, "parallelism": 5}', 2, 0),
        ("CronJob", '"spec": {"jobTemplate": {"spec": {"parallelism": 4}}}', 4, 0),
    ],
)
def test_pods_at_one_time_and_what_an_update_adds(kind: str, body: str, pods: int, more: int) -> None:
    assert decoded(kind, body) == (pods, more)
