"""Whose application a Pod is, and how big its pool: from live objects, never from an ownerReference alone."""

from __future__ import annotations

import msgspec
import pytest

from ipam.application import Application
from netmgr.api.meta import LabelSelector, Meta, OwnerReference
from netmgr.api.workload import Pod, Workload, WorkloadSpec
from netmgr.controller.kinds import KINDS, parts_of, pods_at_once, surge
from netmgr.controller.owners import Unfollowed, Unproved, top_owner

APPS, BATCH = "apps/v1", "batch/v1"
ROLLOUTS, KRUISE, VIRT = "argoproj.io/v1alpha1", "apps.kruise.io/v1alpha1", "kubevirt.io/v1"


def workload(name: str, *, owner: OwnerReference | None = None, app: str = "web") -> Workload:
    meta = Meta(name=name, namespace="default", uid=f"uid-{name}", owner_references=[owner] if owner else None)
    selector = LabelSelector(match_labels={"app": app}) if app else LabelSelector()
    return Workload(metadata=meta, spec=WorkloadSpec(selector=selector))


def owned_by(kind: str, name: str, *, group: str = APPS, uid: str = "") -> OwnerReference:
    return OwnerReference(kind=kind, name=name, uid=uid or f"uid-{name}", api_version=group, controller=True)


def pod(owner: OwnerReference | None) -> Pod:
    references = [owner] if owner else None
    return Pod(metadata=Meta(name="web-1", namespace="default", uid="p", labels={"app": "web"}, owner_references=references))


LIVE = {
    (APPS, "Deployment"): {"default/web": workload("web"), "default/other": workload("other", app="other")},
    (APPS, "ReplicaSet"): {
        "default/web-rs": workload("web-rs", owner=owned_by("Deployment", "web")),
        "default/alone": workload("alone"),
        "default/shop-1": workload("shop-1", owner=owned_by("Rollout", "shop", group=ROLLOUTS)),
        "default/shop-2": workload("shop-2", owner=owned_by("Rollout", "shop", group=ROLLOUTS)),
        "default/stray": workload("stray", owner=owned_by("Rollout", "shy", group=ROLLOUTS)),
        "default/lost": workload("lost", owner=owned_by("Deployment", "gone")),
        "default/foreign": workload("foreign", owner=owned_by("Deployment", "other")),
    },
    (APPS, "StatefulSet"): {"default/db": workload("db")},
    (APPS, "DaemonSet"): {"default/each": workload("each")},
    (BATCH, "Job"): {
        "default/once": workload("once"),
        "default/nightly-1": workload("nightly-1", owner=owned_by("CronJob", "nightly", group=BATCH)),
    },
    (ROLLOUTS, "Rollout"): {"default/shop": workload("shop"), "default/shy": workload("shy", app="other")},
    (KRUISE, "CloneSet"): {"default/c": workload("c", app="")},
    (VIRT, "VirtualMachineInstance"): {
        "default/vm": workload("vm", app="", owner=owned_by("VirtualMachine", "vm", group=VIRT, uid="uid-vm")),
        "default/loose": workload("loose", app=""),
    },
    (VIRT, "VirtualMachine"): {"default/vm": workload("vm", app="")},
    (BATCH, "CronJob"): {"default/nightly": workload("nightly", app="")},
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
        (owned_by("CloneSet", "c", group=KRUISE), "CloneSet default/c"),
        (owned_by("ReplicaSet", "shop-1"), "Rollout default/shop"),
        (owned_by("ReplicaSet", "shop-2"), "Rollout default/shop"),
        (owned_by("VirtualMachineInstance", "vm", group=VIRT), "VirtualMachine default/vm"),
        (owned_by("VirtualMachineInstance", "loose", group=VIRT), "VirtualMachineInstance default/loose"),
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
        owned_by("ReplicaSet", "stray"),
        owned_by("Rollout", "shop", group=ROLLOUTS, uid="another"),
        owned_by("Deployment", "web"),
        owned_by("CronJob", "nightly", group=BATCH),
        owned_by("StatefulSet", "db", uid="another"),
        owned_by("Deployment", "web", group="apps_v1"),
        owned_by("v1_Deployment", "web", group="apps"),
    ],
)
def test_a_reference_that_the_live_objects_do_not_bear_out_proves_nothing(owner: OwnerReference) -> None:
    assert isinstance(top_owner(pod(owner), LIVE), Unproved)


def test_a_kind_that_nobody_watches_yet_is_named() -> None:
    found = top_owner(pod(owned_by("Deployment", "web", group="apps.example.com/v1")), LIVE)
    assert found == Unfollowed(("apps.example.com/v1", "Deployment"))


def test_the_same_kind_of_another_group_is_another_application() -> None:
    theirs = ("apps.example.com/v1", "Deployment")
    found = top_owner(pod(owned_by("Deployment", "web", group=theirs[0])), {**LIVE, theirs: {"default/web": workload("web")}})
    assert isinstance(found, Application)
    assert found.book_key == "apps.example.com_v1_Deployment_default_web"


def test_a_circle_of_owners_ends() -> None:
    circle = {"default/a": workload("a", owner=owned_by("Loop", "a", group=KRUISE))}
    assert isinstance(top_owner(pod(owned_by("Loop", "a", group=KRUISE)), {(KRUISE, "Loop"): circle}), Unproved)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("apps_v1_Deployment_default_web", (("apps/v1", "Deployment"), "default/web")),
        ("v1_Pod_default_web", (("v1", "Pod"), "default/web")),
        ("argoproj.io_v1alpha1_Rollout_shop_front", (("argoproj.io/v1alpha1", "Rollout"), "shop/front")),
        ("apps_v1_Deployment_default_", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_a_book_key_names_one_object_or_none(text: str, parts: object) -> None:
    assert parts_of(text) == parts


def test_a_pod_without_a_controller_is_its_own() -> None:
    assert top_owner(pod(None), LIVE) is None


def decoded(kind: str, body: str) -> tuple[int, int]:
    one = msgspec.json.decode(f'{{"metadata": {{"name": "x"}}, {body}}}', type=Workload)
    known = next(found for key, found in KINDS.items() if key[1] == kind)
    return pods_at_once(known, one), surge(known, one)


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
