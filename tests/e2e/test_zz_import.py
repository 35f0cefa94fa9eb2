"""A cluster whose Pods another IPAM plugin serves goes over to netmgr with real kubelets: nothing restarts, nothing moves.

In Spiderpool's place, and under its name, `host-local` gives the addresses to `ptp`; its controller's objects are written by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from netmgr.api.definitions import definitions
from tests.e2e.cluster import EXAMPLES, Cluster, Object, deployment, from_subnet, installed
from tests.waiting import eventually

pytestmark = pytest.mark.lab
NODES = ("node1", "node2")
GROUP = "spiderpool.spidernet.io"
CONFLIST = "/etc/cni/net.d/10-old.conflist"
WANTS = from_subnet("nginx-subnet-v4")


def conflist(number: int) -> str:
    """What a node has before: addresses of its own range, so that two nodes give none out twice."""
    first, last = f"10.244.100.{number}0", f"10.244.100.{number}9"
    span = {"subnet": "10.244.0.0/16", "rangeStart": first, "rangeEnd": last, "gateway": "10.244.0.1"}
    ipam = {"type": "spiderpool", "ranges": [[span]], "dataDir": "/run/old-ipam"}
    return json.dumps({"cniVersion": "1.0.0", "name": "old", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": ipam}]})


def stateful_set(name: str) -> str:
    one: Object = json.loads(deployment(name, 1, WANTS))
    one["spec"]["serviceName"] = name
    return json.dumps(one | {"kind": "StatefulSet"})


@pytest.fixture
def theirs(cluster: Cluster) -> Iterator[Cluster]:
    """The lab without netmgr, with Pods that have their addresses from the other plugin, and Spiderpool's objects about them."""
    config = str(cluster.lab.kubeconfig)
    done = cluster.netmgr("uninstall", "--kubeconfig", config)
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = [one for one in definitions() if one["spec"]["group"] == GROUP]
    cluster.apply(yaml.safe_dump_all(kinds))
    for one in kinds:
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{one['metadata']['name']}", "--timeout=30s")
    cluster.apply(EXAMPLES / "02-subnet.yaml")
    for number, node in enumerate(NODES, 1):
        cluster.on(node, "cp", "/opt/cni/bin/host-local", "/opt/cni/bin/spiderpool")
        cluster.on(node, "bash", "-c", f"cat > {CONFLIST} <<'END'\n{conflist(number)}\nEND")
    cluster.apply(deployment("web", 2, WANTS))
    cluster.apply(stateful_set("db"))
    for kind, name, count in (("Deployment", "web", 2), ("StatefulSet", "db", 1)):
        record(cluster, kind, name, cluster.running(f"app={name}", count))
    yield cluster
    cluster.kubectl("delete", "deploy/web", "statefulset/db", "--ignore-not-found", "--wait")
    eventually(lambda: cluster.items("ipa"), lambda left: left == [], what="no allocation left")
    done = cluster.netmgr("uninstall", "--kubeconfig", config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [one["metadata"]["name"] for one in cluster.items("ss")] == ["nginx-subnet-v4"]
    for node in NODES:
        assert "spiderpool" not in cluster.on(node, "ls", "/opt/cni/bin")
        cluster.on(node, "rm", "-rf", CONFLIST, "/run/old-ipam")
    cluster.kubectl("delete", "ss,sp,se", "--all", "-A")
    cluster.kubectl("delete", "crd", *(one["metadata"]["name"] for one in kinds), "--wait")
    installed(cluster.lab)


def record(cluster: Cluster, kind: str, name: str, pods: list[Object]) -> None:
    """What Spiderpool's controller and agents write about an application: a pool with its book and records, and SpiderEndpoints."""
    uid = cluster.get(kind.lower(), name)["metadata"]["uid"]
    pool = f"auto4-{name}-eth0-{uid.rpartition('-')[2][:5]}"
    spare = {"web": "10.244.100.100-10.244.100.103", "db": "10.244.100.110-10.244.100.113"}[name]
    ranges = [*(pod["status"]["podIP"] for pod in pods), spare]
    labels = {"owner-spider-subnet": "nginx-subnet-v4", "owner-application-gv": "apps_v1", "owner-application-kind": kind}
    labels |= {"owner-application-namespace": "default", "owner-application-name": name, "owner-application-uid": uid}
    labels |= {"interface": "eth0", "ip-version": "IPv4", "ippool-reclaim": "true"}
    meta: Object = {"name": pool, "labels": {f"ipam.spidernet.io/{key}": value for key, value in labels.items()}}
    meta["finalizers"] = [GROUP]
    spec = {"ipVersion": 4, "subnet": "10.244.0.0/16", "ips": ranges, "gateway": "10.244.0.1"}
    cluster.apply(json.dumps({"apiVersion": f"{GROUP}/v2beta1", "kind": "SpiderIPPool", "metadata": meta, "spec": spec}))
    records = {
        pod["status"]["podIP"]: {"pod": f"default/{pod['metadata']['name']}", "podUid": pod["metadata"]["uid"]} for pod in pods
    }
    status(cluster, "sp", pool, {"allocatedIPs": json.dumps(records), "allocatedIPCount": len(records)})
    book = json.loads(cluster.get("ss", "nginx-subnet-v4").get("status", {}).get("controlledIPPools", "{}"))
    book[pool] = {"ips": ranges, "application": f"apps_v1_{kind}_default_{name}"}
    status(cluster, "ss", "nginx-subnet-v4", {"controlledIPPools": json.dumps(book)})
    for pod in pods:
        ips = [{"interface": "eth0", "ipv4": f"{pod['status']['podIP']}/16", "ipv4Pool": pool, "ipv4Gateway": "10.244.0.1"}]
        current = {"uid": pod["metadata"]["uid"], "node": pod["spec"]["nodeName"], "ips": ips}
        endpoint: Object = {"metadata": {"name": pod["metadata"]["name"], "namespace": "default", "finalizers": [GROUP]}}
        endpoint["status"] = {"current": current, "ownerControllerType": kind, "ownerControllerName": name}
        cluster.apply(json.dumps({"apiVersion": f"{GROUP}/v2beta1", "kind": "SpiderEndpoint", **endpoint}))


def status(cluster: Cluster, kind: str, name: str, fields: dict[str, Any]) -> None:
    cluster.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": fields}))


def lives(cluster: Cluster) -> dict[str, tuple[str, str, int]]:
    """UID, address and restarts of each Pod, by name."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            pod["status"]["podIP"],
            sum(one["restartCount"] for one in pod["status"]["containerStatuses"]),
        )
        for pod in cluster.items("pods", namespace="default")
    }


def test_nothing_restarts_or_moves_and_what_is_made_anew_is_netmgrs(theirs: Cluster) -> None:
    config = ("--kubeconfig", str(theirs.lab.kubeconfig))
    before = lives(theirs)
    refused = theirs.netmgr("install", *config)
    assert (refused.returncode, "netmgr import spiderpool" in refused.stderr) == (1, True)

    done = theirs.netmgr("import", "spiderpool", *config)
    assert done.returncode == 0, done.stdout + done.stderr
    done = theirs.netmgr("install", *config, "--ipam-only", "--ipam-as", "spiderpool")
    assert done.returncode == 0, done.stdout + done.stderr
    for node in NODES:
        theirs.on(node, "cmp", "/opt/cni/bin/spiderpool", "/opt/cni/bin/netmgr-ipam")
        assert "netmgr" not in theirs.on(node, "ls", "/etc/cni/net.d")
    done = theirs.netmgr("check", *config, "--wait", "30")
    assert done.returncode == 0, done.stdout + done.stderr
    assert lives(theirs) == before
    held = {one["metadata"]["name"]: one["spec"]["pod"]["uid"] for one in theirs.items("ipa")}
    assert held == {address: uid for uid, address, _ in before.values()}

    uid, address, _ = before["db-0"]
    theirs.kubectl("delete", "pod", "db-0", "--wait")
    again = theirs.running("app=db", 1)[0]
    assert (again["status"]["podIP"], again["metadata"]["uid"] != uid) == (address, True)

    theirs.kubectl("rollout", "restart", "deploy", "web")
    theirs.kubectl("rollout", "status", "deploy", "web", "--timeout=120s")
    pods = theirs.running("app=web", 2)
    assert {pod["metadata"]["uid"] for pod in pods}.isdisjoint(uid for uid, _, _ in before.values())
    wanted = {pod["status"]["podIP"] for pod in pods} | {address}
    eventually(
        lambda: {one["metadata"]["name"] for one in theirs.items("ipa")}, lambda names: names == wanted, what="old ones freed"
    )
