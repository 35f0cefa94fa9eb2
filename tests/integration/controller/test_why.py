"""`netmgr why`: each pool with why or why not, by the controller's own decision, whether the controller runs or not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from netmgr.api import spider
from netmgr.api.meta import Json
from netmgr.kube import paths
from tests.integration.controller.cluster import NODE, Cluster, pod_spec


def why(cluster: Cluster, pod: str, *options: str) -> tuple[int, str]:
    argv = [str(Path(sys.executable).parent / "netmgr"), "why", f"{cluster.namespace}/{pod}", *options]
    argv += ["--kubeconfig", str(cluster.server.kubeconfig), "--system-namespace", cluster.namespace]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def pool(cluster: Cluster, name: str, ips: str, **spec: object) -> None:
    body = {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderIPPool", "metadata": {"name": name}}
    cluster.create(spider.POOLS, {**body, "spec": {"subnet": "10.67.0.0/16", "ips": [ips], **spec}})


def pod(cluster: Cluster, name: str, annotations: dict[str, str], node: str = NODE) -> None:
    meta = {"name": name, "annotations": annotations, "labels": {"app": name}}
    cluster.create(cluster.here(paths.PODS), {"metadata": meta, "spec": {**pod_spec(), "nodeName": node}})


def test_each_candidate_has_its_reason_in_the_event_and_in_the_answer(cluster: Cluster) -> None:
    cluster.subnet("s", "10.67.0.0/16", "10.67.1.0-10.67.9.255")
    pool(cluster, "closed", "10.67.1.1", disable=True)
    pool(cluster, "elsewhere", "10.67.1.2", nodeName=["node-z"])
    pool(cluster, "zoned", "10.67.1.3", nodeAffinity={"matchLabels": {"zone": "a"}})
    pool(cluster, "theirs", "10.67.1.4", namespaceName=["kube-system"])
    pool(cluster, "labelled", "10.67.1.5", podAffinity={"matchLabels": {"app": "other"}})
    names = ["closed", "elsewhere", "zoned", "theirs", "labelled", "absent"]
    with cluster.controller():
        pod(cluster, "hungry", {"ipam.spidernet.io/ippool": json.dumps({"ipv4": names})})
        message = cluster.told("hungry")
        code, said = why(cluster, "hungry")
    words = {
        "closed": "is disabled",
        "elsewhere": "its spec.nodeName lists node-z",
        "zoned": "its spec.nodeAffinity asks for zone In (a)",
        "theirs": "its spec.namespaceName lists kube-system",
        "labelled": "its spec.podAffinity asks for app In (other)",
        "absent": "does not exist",
    }
    assert code == 3
    for name, reason in words.items():
        assert f"SpiderIPPool {name}" in said
        assert reason in said
        assert f"{name} " in message
        assert reason in message


def test_what_a_pod_holds_is_said_with_the_rule_and_the_pools_beside_it(cluster: Cluster) -> None:
    cluster.subnet("s", "10.67.0.0/16", "10.67.1.0-10.67.9.255")
    pool(cluster, "full", "10.67.1.1")
    pool(cluster, "second", "10.67.1.2-10.67.1.9")
    wants = {"ipam.spidernet.io/ippool": '{"ipv4":["full","second"]}'}
    with cluster.controller():
        pod(cluster, "first", wants)
        cluster.held(1)
        pod(cluster, "fed", wants)
        cluster.held(2)
    code, said = why(cluster, "fed", "--output", "json")
    answer: Json = json.loads(said)
    part = answer["parts"][0]
    assert (code, answer["served"]) == (0, True)
    assert (part["held"]["address"], part["held"]["pool"]) == ("10.67.1.2", "second")
    assert [(one["pool"], one["usable"]) for one in part["considered"]] == [("full", False), ("second", True)]


def test_a_pod_that_does_not_exist_and_a_node_without_an_agent_are_said(cluster: Cluster) -> None:
    assert why(cluster, "nobody")[0] == 1
    cluster.subnet("s", "10.67.0.0/16", "10.67.1.0-10.67.9.255")
    pool(cluster, "p", "10.67.1.1")
    pod(cluster, "lost", {"ipam.spidernet.io/ippool": '{"ipv4":["p"]}'}, node="node-without")
    code, said = why(cluster, "lost")
    assert code == 3
    assert "node-without has no live netmgr agent" in said
