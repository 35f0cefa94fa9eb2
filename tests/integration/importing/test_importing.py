"""A cluster goes from Spiderpool to netmgr: every Pod keeps its address, and so does every ordinal that comes back."""

from __future__ import annotations

from netmgr.api import spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.endpoint import ENDPOINTS
from netmgr.kube import paths
from tests.integration.controller.cluster import NODE, Cluster, pod_spec
from tests.integration.importing.spiderpool import Spiderpool
from tests.waiting import eventually

WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "+2"}
WEB = [f"10.67.1.{number}" for number in (10, 12, 13)]
DB, AWAY = "10.67.1.40", "10.67.1.41"


def holders(held: dict[str, IPAllocation]) -> dict[str, tuple[str, str, str]]:
    return {name: (one.metadata.uid, one.spec.pod.uid, one.spec.node_name) for name, one in held.items()}


def counted(cluster: Cluster, pool: str) -> int | None:
    one = cluster.read_pool(pool)
    return one.status.allocated_ip_count if one is not None else None


def test_after_the_import_the_controller_frees_and_moves_nothing_and_new_pods_get_other_addresses(theirs: Spiderpool) -> None:
    cluster = theirs.cluster
    top, owner = theirs.deployment("web", 3, WANTS)
    pool = theirs.auto_pool("Deployment", "web", top, "10.67.1.10-10.67.1.14")
    uids = theirs.pods("web", WANTS, owner, pool, WEB)
    code, answer = theirs.imported()
    assert (code, answer["findings"]) == (0, [])
    before = holders(cluster.allocations())
    assert {name: uid for name, (_, uid, _) in before.items()} == uids
    with cluster.controller():
        cluster.pods("web", WANTS, owner, 7, 8)
        after = holders(cluster.held(5))
        eventually(lambda: counted(cluster, pool), lambda count: count == 5, what="the pool's count")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"10.67.1.11", "10.67.1.14"}
    pools: list[spider.SpiderIPPool] = cluster.call(lambda api: api.list(spider.POOLS, spider.SpiderIPPool))
    assert [one.metadata.name for one in pools] == [pool]
    assert theirs.imported()[1]["allocations"] == []


def test_a_stateful_sets_pod_that_is_made_again_gets_the_address_that_spiderpool_gave_it(theirs: Spiderpool) -> None:
    cluster = theirs.cluster
    cluster.agent("node-b")
    owner = cluster.stateful_set("db", 2, WANTS)
    pool = theirs.auto_pool("StatefulSet", "db", owner, "10.67.1.40-10.67.1.45")
    uid = cluster.ordinal("db", WANTS, owner, 0)
    theirs.record(pool, "db-0", uid, DB, ("StatefulSet", "db"))
    theirs.runs("db-0", DB)
    theirs.record(pool, "db-1", "the-uid-of-a-pod-that-is-away", AWAY, ("StatefulSet", "db"))
    code, answer = theirs.imported()
    assert (code, [one["rule"] for one in answer["findings"]]) == (0, ["OrdinalWithoutPod"])
    with cluster.controller():
        eventually(lambda: cluster.allocations()[AWAY].status.phase, lambda phase: phase == "Releasing", what="the question")
        cluster.delete(paths.PODS, "db-0", gracePeriodSeconds=0)
        for name in (DB, AWAY):
            cluster.detach(name)
        next_ones = [cluster.ordinal("db", WANTS, owner, number, node="node-b") for number in (0, 1)]
        held = eventually(
            cluster.allocations, lambda seen: {one.spec.pod.uid for one in seen.values()} == set(next_ones), what="re-bound"
        )
    assert {name: one.spec.pod.uid for name, one in held.items()} == dict(zip((DB, AWAY), next_ones, strict=True))


def test_a_record_whose_pod_is_gone_is_freed_on_the_agents_word_only(theirs: Spiderpool) -> None:
    cluster = theirs.cluster
    top, _ = theirs.deployment("web", 1, WANTS)
    pool = theirs.auto_pool("Deployment", "web", top, "10.67.1.10-10.67.1.12")
    theirs.record(pool, "web-gone", "uid-gone", WEB[0], ("Deployment", "web"))
    code, answer = theirs.imported()
    assert (code, [one["rule"] for one in answer["findings"]]) == (1, ["RecordWithoutPod"])
    with cluster.controller():
        eventually(lambda: cluster.allocations()[WEB[0]].status.phase, lambda phase: phase == "Releasing", what="the question")
        cluster.detach(WEB[0])
        assert cluster.held(0) == {}


def test_a_dry_run_changes_nothing_and_says_the_same(theirs: Spiderpool) -> None:
    top, owner = theirs.deployment("web", 3, WANTS)
    pool = theirs.auto_pool("Deployment", "web", top, "10.67.1.10-10.67.1.14")
    theirs.pods("web", WANTS, owner, pool, WEB)
    theirs.controller()
    before = theirs.versions()
    code, dry = theirs.imported("--dry-run")
    assert (code, theirs.versions(), theirs.cluster.allocations()) == (0, before, {})
    assert any("is Spiderpool's controller" in one for one in dry["running"])
    theirs.cluster.scale("sp", 0)
    code, answer = theirs.imported()
    assert (code, answer["allocations"]) == (0, dry["allocations"])


def test_it_refuses_while_spiderpools_controller_is_there(theirs: Spiderpool) -> None:
    theirs.controller()
    before = theirs.versions()
    done = theirs.run("import", "spiderpool")
    assert (done.returncode, theirs.versions()) == (3, before)
    assert f"kubectl scale -n {theirs.namespace} deployment sp --replicas 0" in done.stderr
    assert theirs.run("import", "spiderpool", "--even-if-running").returncode == 0


def test_a_leader_of_spiderpools_that_renews_its_lease_is_seen_whatever_it_is_called(theirs: Spiderpool) -> None:
    cluster = theirs.cluster
    cluster.agent("as-a-clock")  # a Lease that was renewed just now
    lease = cluster.here(paths.LEASES)
    theirs.patch(paths.named(lease, "netmgr-agent-as-a-clock"), {"spec": {"holderIdentity": "spiderpool-controller-6c9"}})
    done = theirs.run("import", "spiderpool")
    assert (done.returncode, "is renewed by spiderpool-controller-6c9" in done.stderr) == (3, True)


def test_finalizers_become_netmgrs_and_hold_nothing_back_that_is_empty(theirs: Spiderpool) -> None:
    cluster = theirs.cluster
    top, owner = theirs.deployment("web", 1, WANTS)
    used = theirs.auto_pool("Deployment", "web", top, "10.67.1.10-10.67.1.14")
    theirs.pods("web", WANTS, owner, used, WEB[:1])
    empty = theirs.auto_pool("Deployment", "other", "x-y-abcdef123456", "10.67.1.20-10.67.1.24")
    assert theirs.imported()[0] == 0
    endpoint = paths.named(ENDPOINTS, "web-rs-0", namespace=theirs.namespace)
    found = [theirs.finalizers(paths.named(spider.POOLS, name)) for name in (used, empty)]
    assert found == [["netmgr.io/addresses-in-use"], []]
    assert (theirs.finalizers(paths.named(spider.SUBNETS, "s")), theirs.finalizers(endpoint)) == ([], [])
    pool = cluster.read_pool(used)
    assert pool is not None
    assert (pool.metadata.annotations or {})["netmgr.io/application"] == f"apps_v1_Deployment_{theirs.namespace}_web"


def test_a_pool_that_is_being_deleted_keeps_its_finalizer_until_its_pods_are_gone(theirs: Spiderpool) -> None:
    cluster = theirs.cluster
    top, owner = theirs.deployment("web", 1, WANTS)
    pool = theirs.auto_pool("Deployment", "web", top, "10.67.1.10-10.67.1.14")
    theirs.pods("web", WANTS, owner, pool, WEB[:1])
    cluster.delete(spider.POOLS, pool)
    code, answer = theirs.imported()
    assert (code, [one["rule"] for one in answer["findings"]]) == (1, ["PoolTerminating"])
    assert theirs.finalizers(paths.named(spider.POOLS, pool)) == ["spiderpool.spidernet.io"]


def test_a_pool_made_by_hand_keeps_what_its_owner_wrote(cluster: Cluster, theirs: Spiderpool) -> None:
    cluster.pool("by-hand", "10.67.0.0/16", "10.67.2.10-10.67.2.20")
    before = cluster.read_pool("by-hand")
    assert theirs.imported()[0] == 0
    assert cluster.read_pool("by-hand") == before


def test_a_pod_of_a_third_partys_workload_is_that_workloads(theirs: Spiderpool) -> None:
    cluster = theirs.cluster
    theirs.kind("apps.example.com", "CloneSet", "clonesets")
    here = cluster.here("/apis/apps.example.com/v1/clonesets")
    body = {"apiVersion": "apps.example.com/v1", "kind": "CloneSet", "metadata": {"name": "cs"}}
    owner = theirs.create(here, {**body, "spec": {"selector": {"matchLabels": {"app": "cs"}}}})
    pool = theirs.auto_pool("CloneSet", "cs", owner, "10.67.1.50-10.67.1.55")
    reference = {"apiVersion": "apps.example.com/v1", "kind": "CloneSet", "name": "cs", "uid": owner, "controller": True}
    meta = {"name": "cs-1", "labels": {"app": "cs"}, "ownerReferences": [reference]}
    uid = theirs.create(cluster.here(paths.PODS), {"metadata": meta, "spec": {**pod_spec(), "nodeName": NODE}})
    theirs.record(pool, "cs-1", uid, "10.67.1.50", ("CloneSet", "cs"))
    theirs.runs("cs-1", "10.67.1.50")
    assert theirs.imported()[0] == 0
    claimant = cluster.allocations()["10.67.1.50"].spec.claimant
    assert (claimant.api_version, claimant.kind, claimant.name, claimant.uid) == ("apps.example.com/v1", "CloneSet", "cs", owner)


def test_what_the_api_server_refuses_is_a_finding_and_the_rest_is_done(theirs: Spiderpool) -> None:
    top, owner = theirs.deployment("web", 3, WANTS)
    pool = theirs.auto_pool("Deployment", "web", top, "10.67.1.10-10.67.1.14")
    uids = theirs.pods("web", WANTS, owner, pool, WEB[:2])
    name = "an-interface-name-that-no-kernel-takes"
    theirs.record(pool, "web-rs-9", uids[WEB[0]], "10.67.1.14", ("Deployment", "web"), interface=name)
    code, answer = theirs.imported()
    (finding,) = answer["findings"]
    assert (code, finding["rule"], finding["object"]) == (1, "NotAccepted", "address 10.67.1.14")
    assert "spec.interface" in finding["message"]
    assert set(theirs.cluster.allocations()) == set(WEB[:2])
