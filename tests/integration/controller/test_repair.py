"""Each kind of damage, made by hand where no controller sees it, is found, said in a dry run, and put right."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from netmgr.api import allocation, spider
from netmgr.api.meta import Json, PartialObject
from netmgr.api.spider import FINALIZER
from netmgr.audit.damage import Damage
from netmgr.controller.process import Controller
from netmgr.controller.world import Key
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.config import load
from tests.integration.apiserver import free_port
from tests.integration.controller.cluster import NODE, Cluster
from tests.waiting import eventually

OLD_WORDS = {"type": "netmgr.io/AddressesAllocated", "status": "False", "reason": "NoUsablePool", "message": "old"}
PREFIX, FIRST = "10.73.0.0/16", "10.73.1.1"
GONE = "apps_v1_Deployment_default_gone"


def pool(cluster: Cluster, suffix: str = "p") -> str:
    """This test's name for a pool: Pods of other tests are in the same cluster."""
    return f"{suffix}-{cluster.namespace}"


def wants(cluster: Cluster) -> dict[str, str]:
    return {"ipam.spidernet.io/ippool": json.dumps({"ipv4": [pool(cluster)]})}


def bound_pod(cluster: Cluster, **status: Any) -> str:
    """A Pod on a node with a live agent; its UID."""
    meta = {"name": "holder", "annotations": wants(cluster)}
    spec = {"containers": [{"name": "c", "image": "nginx"}], "terminationGracePeriodSeconds": 0, "nodeName": NODE}
    uid = cluster.create(cluster.here(paths.PODS), {"metadata": meta, "spec": spec}).metadata.uid
    if status:
        path = paths.named(paths.PODS, "holder", "status", namespace=cluster.namespace)
        cluster.call(lambda api: api.merge_patch(path, {"status": status}, PartialObject))
    return uid


def hold(cluster: Cluster, uid: str, address: str = FIRST, status: Json | None = None) -> None:
    """An allocation of the Pod `holder`, as a controller wrote it that is no more."""
    holder = {"namespace": cluster.namespace, "name": "holder", "uid": uid}
    claimant = {"apiVersion": "v1", "kind": "Pod", **holder}
    spec = {"address": address, "prefixLength": 16, "pool": pool(cluster), "nodeName": NODE, "interface": "eth0", "siblings": 1}
    body = {"apiVersion": allocation.GROUP_VERSION, "kind": "IPAllocation", "metadata": {"name": address}}
    cluster.create(allocation.ALLOCATIONS, {**body, "spec": {**spec, "claimant": claimant, "pod": holder, "bootID": "boot-1"}})
    if status:
        path = paths.named(allocation.ALLOCATIONS, address, "status")
        cluster.call(lambda api: api.merge_patch(path, {"status": {"podUID": uid, **status}}, PartialObject))


def finalizers(cluster: Cluster) -> list[str]:
    found = cluster.read_pool(pool(cluster))
    return list(found.metadata.finalizers or ()) if found else []


def set_finalizers(cluster: Cluster, *names: str) -> None:
    path = paths.named(spider.POOLS, pool(cluster))
    cluster.call(lambda api: api.merge_patch(path, {"metadata": {"finalizers": list(names)}}, PartialObject))


def phase(cluster: Cluster) -> str:
    return cluster.allocations()[FIRST].status.phase


def book_entry(owner: str) -> Callable[[Cluster], None]:
    def make(cluster: Cluster) -> None:
        cluster.subnet("s", PREFIX, "10.73.1.0-10.73.1.255")
        cluster.write_book("s", {pool(cluster, "left"): {"ips": ["10.73.1.8-10.73.1.9"], "application": owner}})

    return make


def holder_replaced(cluster: Cluster) -> None:
    bound_pod(cluster)
    hold(cluster, "uid-of-an-earlier-one")


def pool_of_nobody(cluster: Cluster) -> None:
    notes = {"netmgr.io/application": GONE, "netmgr.io/application-uid": "gone", "netmgr.io/reclaim": "true"}
    body: Json = {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderIPPool"}
    body |= {
        "metadata": {"name": pool(cluster, "auto"), "annotations": notes},
        "spec": {"subnet": "10.74.0.0/16", "ips": ["10.74.1.1"]},
    }
    cluster.create(spider.POOLS, body)


def half_deleted(cluster: Cluster) -> None:
    set_finalizers(cluster, FINALIZER)
    cluster.delete(spider.POOLS, pool(cluster))


def outside(cluster: Cluster) -> None:
    hold(cluster, bound_pod(cluster), "10.73.9.9")


def reserved(cluster: Cluster) -> None:
    hold(cluster, bound_pod(cluster))
    cluster.reserve(f"r-{cluster.namespace}", FIRST)


def refused_and_served(cluster: Cluster) -> None:
    hold(cluster, bound_pod(cluster, conditions=[OLD_WORDS]))


@dataclass(frozen=True)
class Case:
    """How the damage is made, and what is true after the repair."""

    make: Callable[[Cluster], object]
    right: Callable[[Cluster], bool]


MENDED = {
    "holder-gone": Case(lambda c: hold(c, "gone"), lambda c: phase(c) == "Releasing"),
    "holder-replaced": Case(holder_replaced, lambda c: phase(c) == "Releasing"),
    "holder-finished": Case(lambda c: hold(c, bound_pod(c, phase="Succeeded")), lambda c: phase(c) == "Releasing"),
    "not-freed": Case(lambda c: hold(c, "gone", status={"phase": "Detached"}), lambda c: not c.allocations()),
    "entry-without-pool": Case(book_entry(GONE), lambda c: "left" not in c.book("s")),
    "entry-without-pool of nobody": Case(book_entry("nonsense"), lambda c: "left" not in c.book("s")),
    "pool-without-application": Case(pool_of_nobody, lambda c: c.read_pool(pool(c, "auto")) is None),
    "orphaned-finalizer": Case(half_deleted, lambda c: c.read_pool(pool(c)) is None),
    "unprotected-pool": Case(lambda c: hold(c, bound_pod(c)), lambda c: FINALIZER in finalizers(c)),
    "stale-condition": Case(refused_and_served, lambda c: not c.refusal("holder")),
}
REPORTED = {
    "unanswered": Case(lambda c: hold(c, "gone", status={"phase": "Releasing", "releasingSince": "2026-01-01T00:00:00Z"}), bool),
    "outside-pool": Case(outside, bool),
    "reserved": Case(reserved, bool),
}


def repair(cluster: Cluster, *options: str) -> tuple[int, list[Json]]:
    """Exit code and the damage of this test's objects."""
    argv = [str(Path(sys.executable).parent / "netmgr"), "repair", "--kubeconfig", str(cluster.server.kubeconfig)]
    argv += ["--namespace", cluster.namespace, "--wait", "0.2", "--output", "json", *options]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in {0, 1}, done.stderr
    ours = (f"-{cluster.namespace}", f"-n {cluster.namespace}", "spidersubnet/s")
    return done.returncode, [one for one in json.loads(done.stdout)["damage"] if one["object"].endswith(ours)]


def found(cluster: Cluster, *options: str) -> dict[str, tuple[str, bool]]:
    return {one["kind"]: (one["object"], one["repaired"]) for one in repair(cluster, *options)[1]}


def reconcile(cluster: Cluster, *, mend: bool) -> dict[str, bool]:
    """What a controller finds, by kind, and whether it put it right: in this process, which leads nobody."""

    async def once() -> dict[str, bool]:
        async with Api(load(cluster.server.kubeconfig), user_agent="test") as api:
            controller = Controller(api, cluster.namespace)

            async def work(key: Key) -> None:
                await controller.handle(key)

            async with controller.world.running():
                damage = [one for one in await controller.repairs.find(0.1) if is_ours(cluster, one)]
                done = {str(one.kind): mend and await controller.repairs.mend(one, work) for one in damage}
                await controller.events.flush()
                return done

    return asyncio.run(once())


def is_ours(cluster: Cluster, one: Damage) -> bool:
    """Other tests' Pods and applications are in the same cluster."""
    return one.about.namespace == cluster.namespace or one.about.name == "s" or one.about.name.endswith(f"-{cluster.namespace}")


def events(cluster: Cluster, reason: str) -> list[str]:
    """Messages of all Events with this reason."""

    async def read(api: Api) -> list[str]:
        listed: list[Json] = await api.list(paths.EVENTS, dict[str, Any], field_selector=f"reason={reason}")
        return [str(one["message"]) for one in listed]

    messages: list[str] = cluster.call(read)
    return messages


@pytest.mark.parametrize("name", MENDED)
def test_a_damage_is_said_in_a_dry_run_and_then_put_right(cluster: Cluster, name: str) -> None:
    kind, case = name.split(maxsplit=1)[0], MENDED[name]
    cluster.pool(pool(cluster), PREFIX, "10.73.1.1-10.73.1.4")
    case.make(cluster)
    assert (reconcile(cluster, mend=False)[kind], case.right(cluster)) == (False, False)
    assert (reconcile(cluster, mend=True)[kind], case.right(cluster)) == (True, True)
    assert kind not in reconcile(cluster, mend=False)
    assert any(message.startswith(f"{kind}: ") for message in events(cluster, "Repaired"))


def test_the_command_says_in_a_dry_run_what_it_then_does(cluster: Cluster) -> None:
    case = MENDED["not-freed"]
    cluster.pool(pool(cluster), PREFIX, "10.73.1.1-10.73.1.4")
    case.make(cluster)
    code, damage = repair(cluster, "--dry-run")
    said = {one["kind"]: (one["object"], one["repaired"]) for one in damage}
    assert (code, said["not-freed"]) == (1, (f"spiderippool/{pool(cluster)}", False))
    assert not case.right(cluster)
    assert (found(cluster)["not-freed"][1], case.right(cluster)) == (True, True)


@pytest.mark.parametrize("kind", REPORTED)
def test_an_address_in_the_wrong_place_is_reported_and_stays_its_pods(cluster: Cluster, kind: str) -> None:
    cluster.pool(pool(cluster), PREFIX, "10.73.1.1-10.73.1.4")
    REPORTED[kind].make(cluster)
    before = set(cluster.allocations())
    assert reconcile(cluster, mend=True)[kind] is False
    assert set(cluster.allocations()) == before
    assert any(message.startswith(f"{kind}: ") for message in events(cluster, "NotRepaired"))


def test_a_pod_that_waits_without_need_is_left_to_the_leader_which_is_told(cluster: Cluster) -> None:
    """Only the leader chooses addresses."""
    cluster.pool(pool(cluster), PREFIX, "10.73.1.1-10.73.1.4")
    bound_pod(cluster)
    assert found(cluster, "--dry-run")["pod-waits"][0].startswith("pod/holder")
    assert found(cluster)["pod-waits"][1]
    assert ("netmgr repair" in cluster.refusal("holder"), cluster.allocations()) == (True, {})
    with cluster.controller():
        cluster.held(1)
        eventually(lambda: cluster.refusal("holder"), lambda text: not text, what="the condition is over")


def test_the_leader_looks_again_at_a_pod_that_waits_without_need(cluster: Cluster) -> None:
    cluster.pool(pool(cluster), PREFIX, "10.73.1.1-10.73.1.4")
    bound_pod(cluster)

    async def reconcile() -> list[Key]:
        asked: list[Key] = []

        async def work(key: Key) -> None:
            asked.append(key)

        async with Api(load(cluster.server.kubeconfig), user_agent="test") as api:
            controller = Controller(api, cluster.namespace)
            async with controller.world.running():
                for one in await controller.repairs.find(0.1):
                    await controller.repairs.mend(one, work)
        return asked

    assert ("pod", f"{cluster.namespace}/holder") in asyncio.run(reconcile())


def test_the_leader_puts_right_what_no_event_tells_it(cluster: Cluster) -> None:
    cluster.pool(pool(cluster), PREFIX, "10.73.1.1-10.73.1.4")
    port = free_port()
    with cluster.controller("one", f"--metrics-port={port}", "--repair-every=1"):
        bound_pod(cluster)
        cluster.held(1)
        path = paths.named(paths.PODS, "holder", "status", namespace=cluster.namespace)
        cluster.call(lambda api: api.merge_patch(path, {"status": {"conditions": [OLD_WORDS]}}, PartialObject))
        eventually(lambda: cluster.refusal("holder"), lambda text: not text, within=40, what="the condition")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert 'netmgr_repairs_total{kind="stale-condition"}' in answer.read().decode()


def test_a_healthy_cluster_needs_no_repair(cluster: Cluster) -> None:
    with cluster.controller("one", "--repair-every=1"):
        cluster.pool(pool(cluster), PREFIX, "10.73.1.1-10.73.1.4")
        owner = cluster.deployment("app", 3, wants(cluster))
        cluster.pods("app", wants(cluster), owner, 1, 2, 3)
        name, one = next(iter(cluster.held(3).items()))
        cluster.delete(paths.PODS, one.spec.pod.name, gracePeriodSeconds=0)
        eventually(lambda: cluster.allocations()[name].status.phase, lambda seen: seen == "Releasing", what="the question")
        cluster.detach(name)
        cluster.held(2)
        eventually(lambda: FINALIZER in finalizers(cluster), bool, what="the finalizer")
        assert repair(cluster, "--dry-run")[1] == []
        assert [text for text in events(cluster, "Repaired") if pool(cluster) in text or cluster.namespace in text] == []
