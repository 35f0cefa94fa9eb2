"""The whole way on one node: another plugin's sandboxes run, the import takes them over; controller and agent are processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.attachments import boot_id
from netmgr.api.meta import PartialObject
from netmgr.kube import paths
from netmgr.kube.client import Api
from tests.integration.agent.node import Node
from tests.integration.agent.test_imported import attached_by_another_plugin, end
from tests.integration.controller.cluster import Cluster, pod_spec, reference
from tests.integration.importing.spiderpool import Spiderpool
from tests.waiting import eventually

WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "+2"}
DB = "10.67.1.60"


@pytest.fixture
def node(cluster: Cluster, tmp_path: Path) -> Iterator[Node]:
    """A node that runs, in the same boot as the sandboxes that are on it; no agent yet."""
    one = Node(cluster.server, tmp_path)
    try:
        one.up()
        cluster.create(paths.NODES, {"metadata": {"name": one.name}})
        status = {"status": {"nodeInfo": {**MACHINE, "bootID": boot_id()}}}
        path = paths.named(paths.NODES, one.name, "status")
        cluster.call(lambda api: api.merge_patch(path, status, PartialObject))
        yield one
    finally:
        one.down()
        cluster.call(lambda api: delete(api, one.name))


async def delete(api: Api, node: str) -> None:
    await api.delete(paths.named(paths.NODES, node))


MACHINE = dict.fromkeys(
    (
        "machineID",
        "systemUUID",
        "kernelVersion",
        "osImage",
        "containerRuntimeVersion",
        "kubeletVersion",
        "kubeProxyVersion",
        "operatingSystem",
        "architecture",
    ),
    "x",
)


def test_an_imported_ordinal_keeps_its_address_over_its_sandbox_and_its_pod(theirs: Spiderpool, node: Node) -> None:
    cluster = theirs.cluster
    owner = cluster.stateful_set("db", 1, WANTS)
    pool = theirs.auto_pool("StatefulSet", "db", owner, "10.67.1.60-10.67.1.65")
    meta = {
        "name": "db-0",
        "labels": {"app": "db"},
        "annotations": WANTS,
        "ownerReferences": [reference("StatefulSet", "db", owner)],
    }
    body = {"metadata": meta, "spec": {**pod_spec(), "nodeName": node.name}}
    first = theirs.create(cluster.here(paths.PODS), body)
    theirs.record(pool, "db-0", first, DB, ("StatefulSet", "db"), node=node.name)
    theirs.runs("db-0", DB)
    sandbox = attached_by_another_plugin(node, DB, "cali0060")

    assert theirs.imported()[0] == 0
    assert cluster.allocations()[DB].spec.boot_id == boot_id()
    node.start_agent("--namespace", cluster.namespace)
    with cluster.controller():
        cluster.delete(paths.PODS, "db-0", gracePeriodSeconds=0)  # by force: the sandbox still runs
        second = theirs.create(cluster.here(paths.PODS), body)
        message = eventually(lambda: cluster.refusal("db-0"), bool, what="the next Pod waits")
        assert f"address {DB} of this ordinal is still attached" in message
        assert f"{DB} dev cali0060" in node.routes()
        node.cni("DEL", "from-before", first, netns=sandbox)
        end(node, sandbox)
        eventually(lambda: cluster.allocations()[DB].spec.pod.uid, lambda uid: uid == second, what="re-bound")
        code, out = node.cni("ADD", "next", second)
        assert (code, json.loads(out)["ips"]) == (0, [{"address": f"{DB}/32"}])
        assert {name: one.spec.pod.uid for name, one in cluster.allocations().items()} == {DB: second}


def test_an_imported_address_of_a_pod_that_ends_is_free_once_its_sandbox_is_gone(theirs: Spiderpool, node: Node) -> None:
    cluster = theirs.cluster
    top, owner = theirs.deployment("web", 1, WANTS)
    pool = theirs.auto_pool("Deployment", "web", top, "10.67.1.60-10.67.1.65")
    uid = theirs.create(cluster.here(paths.PODS), cluster.pod_body("web", WANTS, owner, 0, node.name))
    theirs.record(pool, "web-rs-0", uid, DB, ("Deployment", "web"), node=node.name)
    theirs.runs("web-rs-0", DB)
    sandbox = attached_by_another_plugin(node, DB, "cali0061")
    assert theirs.imported()[0] == 0
    node.start_agent("--namespace", cluster.namespace)
    with cluster.controller():
        cluster.delete(paths.PODS, "web-rs-0", gracePeriodSeconds=0)
        eventually(node.log.read_text, lambda text: f"release_waits allocation={DB} link=cali0061" in text, what="the agent looked")
        assert set(cluster.allocations()) == {DB}
        end(node, sandbox)
        cluster.held(0)
