"""The traps that lose or double an address elsewhere, each by its own test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from netmgr.api.allocation import ALLOCATIONS
from netmgr.api.meta import PartialObject
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.errors import Conflict
from tests.e2e.cluster import Cluster, Object, deployment, from_pool, from_subnet, pool
from tests.waiting import eventually

pytestmark = pytest.mark.lab
SPACE = "traps"


@pytest.fixture(scope="module")
def application(cluster: Cluster) -> Iterator[str]:
    """Selector of an application of two Pods with a pool of four, in a namespace of its own."""
    cluster.kubectl("create", "namespace", SPACE)
    cluster.apply(deployment("fixed", 2, from_subnet("nginx-subnet-v4", "+2")), SPACE)
    cluster.running("app=fixed", 2, SPACE)
    yield "app=fixed"
    cluster.kubectl("delete", "namespace", SPACE, "--wait")


def holders(cluster: Cluster) -> dict[str, str]:
    """Address to the UID of the Pod that holds it, in this test's namespace."""
    allocations = [a for a in cluster.items("ipa") if a["spec"]["pod"]["namespace"] == SPACE]
    return {a["metadata"]["name"]: a["spec"]["pod"]["uid"] for a in allocations}


def sandbox_of(cluster: Cluster, node: str, pod_uid: str) -> str:
    """Container id of the Pod's running sandbox."""
    running = cluster.on(node, "ctr", "-n", "k8s.io", "tasks", "ls", "-q").split()
    for container in running:
        labels = json.loads(cluster.on(node, "ctr", "-n", "k8s.io", "containers", "info", container)).get("Labels") or {}
        if labels.get("io.kubernetes.pod.uid") == pod_uid and labels.get("io.cri-containerd.kind") == "sandbox":
            return container
    raise AssertionError(f"no sandbox of Pod {pod_uid} on {node}")


def process_of(cluster: Cluster, node: str, container: str) -> str:
    """Process id, on the node, of a container's first process."""
    rows = [line.split() for line in cluster.on(node, "ctr", "-n", "k8s.io", "tasks", "ls").splitlines()]
    return next(row[1] for row in rows if row[0] == container)


def delete_again(cluster: Cluster, node: str, container: str, pod: Object) -> None:
    """CNI DEL of a sandbox, as a runtime repeats it long after the sandbox was replaced."""
    meta = pod["metadata"]
    names = f"K8S_POD_UID={meta['uid']};K8S_POD_NAMESPACE={meta['namespace']};K8S_POD_NAME={meta['name']}"
    call = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": container, "CNI_IFNAME": "eth0", "CNI_NETNS": "", "CNI_PATH": "/opt/cni/bin"}
    words = ["env", *(f"{key}={value}" for key, value in call.items()), f"CNI_ARGS=IgnoreUnknown=1;{names}", "/opt/cni/bin/netmgr"]
    stdin = json.dumps({"cniVersion": "1.0.0", "name": "netmgr", "type": "netmgr", "socket": "/run/netmgr/cni.sock"})
    done = cluster.lab.run(node, words, stdin=stdin)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_killed_pause_process_keeps_the_address_and_a_late_del_of_the_old_sandbox_changes_nothing(
    cluster: Cluster, application: str
) -> None:
    pod = cluster.running(application, 2, SPACE)[0]
    name, uid, address = pod["metadata"]["name"], pod["metadata"]["uid"], pod["status"]["podIP"]
    restarts = pod["status"]["containerStatuses"][0]["restartCount"]
    node = pod["spec"]["nodeName"]
    old = sandbox_of(cluster, node, uid)
    cluster.on(node, "kill", "-9", process_of(cluster, node, old))
    eventually(
        lambda: cluster.get("pod", name, namespace=SPACE)["status"]["containerStatuses"][0],
        lambda status: bool(status["restartCount"] > restarts and status["ready"]),
        within=90,
        what=f"{name} runs in a new sandbox",
    )
    assert cluster.get("pod", name, namespace=SPACE)["status"]["podIP"] == address
    assert sandbox_of(cluster, node, uid) != old
    delete_again(cluster, node, old, pod)
    assert holders(cluster)[address] == uid
    eventually(lambda: cluster.tor_routes().get(address), lambda hops: hops is not None, what=f"route of {address}")
    assert address in cluster.fetch(address, "/whoami")


def test_a_stale_leaders_delete_is_refused(cluster: Cluster, application: str) -> None:
    """What a leader does that was overthrown between its read and its delete."""
    address = next(iter(holders(cluster)))
    path = f"{ALLOCATIONS}/{address}"

    async def delete_what_has_changed() -> None:
        async with Api(load(cluster.lab.kubeconfig)) as api:
            read = (await api.get(path, PartialObject)).metadata
            await api.merge_patch(path, {"metadata": {"labels": {"netmgr.test/changed": "1"}}}, PartialObject)
            await api.delete(path, uid=read.uid, resource_version=read.resource_version)

    with pytest.raises(Conflict):
        asyncio.run(delete_what_has_changed())
    assert address in holders(cluster)


def test_a_force_deleted_pod_keeps_its_address_until_the_sandbox_ends(cluster: Cluster, application: str) -> None:
    slow = {"lifecycle": {"preStop": {"exec": {"command": ["/bin/sleep", "8"]}}}}
    container = {"name": "nginx", "image": "nginx", "imagePullPolicy": "IfNotPresent", **slow}
    text = deployment("slow", 1, from_subnet("nginx-subnet-v4", "1"), containers=[container], terminationGracePeriodSeconds=20)
    cluster.apply(text, SPACE)
    pod = cluster.running("app=slow", 1, SPACE)[0]
    address, uid = pod["status"]["podIP"], pod["metadata"]["uid"]
    cluster.kubectl("delete", "deploy", "slow", "-n", SPACE, "--cascade=orphan")
    cluster.kubectl("delete", "rs", "-l", "app=slow", "-n", SPACE, "--cascade=orphan")
    cluster.kubectl("delete", "pod", pod["metadata"]["name"], "-n", SPACE, "--force", "--grace-period=0")
    assert holders(cluster)[address] == uid
    eventually(lambda: holders(cluster), lambda held: address not in held, within=60, what=f"{address} is free")
    routed = cluster.on(pod["spec"]["nodeName"], "ip", "-j", "route", "show", address)
    assert json.loads(routed) == []


def test_an_allocation_deleted_by_an_administrator_comes_back(cluster: Cluster, application: str) -> None:
    pod = cluster.running(application, 2, SPACE)[0]
    address, uid = pod["status"]["podIP"], pod["metadata"]["uid"]
    cluster.kubectl("delete", "ipa", address)
    eventually(lambda: holders(cluster).get(address), lambda holder: holder == uid, what=f"{address} held again")
    eventually(lambda: cluster.tor_routes().get(address), lambda hops: hops is not None, what=f"route of {address}")
    assert address in cluster.fetch(address, "/whoami")


def test_a_pod_deleted_between_allocation_and_add_frees_its_address(cluster: Cluster, application: str) -> None:
    agent = cluster.on("node1", "pgrep", "-f", "[n]etmgr agent").split()
    cluster.on("node1", "kill", "-STOP", *agent)
    try:
        cluster.apply(deployment("early", 1, from_subnet("nginx-subnet-v4", "1"), nodeName="node1"), SPACE)
        pod = eventually(lambda: cluster.items("pods", namespace=SPACE, selector="app=early"), bool, what="the Pod")[0]
        uid = pod["metadata"]["uid"]
        eventually(lambda: uid in holders(cluster).values(), bool, what="the allocation")
        cluster.kubectl("delete", "deploy", "early", "-n", SPACE, "--wait")
    finally:
        cluster.on("node1", "kill", "-CONT", *agent)
    eventually(lambda: uid in holders(cluster).values(), lambda held: not held, within=90, what="the address is free")


def test_a_foreign_host_route_is_named_in_the_pods_events_and_nothing_is_black_holed(cluster: Cluster, application: str) -> None:
    address = "10.244.150.1"
    cluster.on("node1", "ip", "link", "add", "foreign0", "type", "bridge")
    try:
        cluster.on("node1", "ip", "link", "set", "foreign0", "up")
        cluster.on("node1", "ip", "route", "add", f"{address}/32", "dev", "foreign0")
        cluster.apply(pool("one-address", "10.244.0.0/16", address))
        cluster.apply(deployment("stale", 1, from_pool("one-address"), nodeName="node1"), SPACE)
        eventually(
            lambda: cluster.kubectl("get", "events", "-n", SPACE, "-o", "yaml"),
            lambda text: address in text and "foreign0" in text,
            what="an Event that names address and link",
        )
    finally:
        cluster.on("node1", "ip", "link", "delete", "foreign0")
    cluster.running("app=stale", 1, SPACE)
    eventually(lambda: cluster.tor_routes().get(address), lambda hops: hops is not None, what=f"route of {address}")
    assert address in cluster.fetch(address, "/whoami")
    cluster.kubectl("delete", "deploy", "stale", "-n", SPACE, "--wait")
    cluster.delete_pool("one-address")


def test_pods_that_come_and_go_while_no_agent_runs_get_and_free_their_addresses_afterwards(
    cluster: Cluster, application: str
) -> None:
    cluster.apply(deployment("goes", 2, from_subnet("nginx-subnet-v4", "+0")), SPACE)
    gone = {pod["metadata"]["uid"] for pod in cluster.running("app=goes", 2, SPACE)}
    away = {"spec": {"template": {"spec": {"nodeSelector": {"netmgr.test/agents": "away"}}}}}
    back = {"spec": {"template": {"spec": {"nodeSelector": None}}}}
    agents = ("-n", "netmgr-system", "ds", "netmgr-agent", "--type=merge", "-p")
    cluster.kubectl("patch", *agents, json.dumps(away))
    try:
        eventually(
            lambda: cluster.items("pods", namespace="netmgr-system", selector="app=netmgr-agent"),
            lambda pods: pods == [],
            what="no agent",
        )
        cluster.kubectl("delete", "deploy", "goes", "-n", SPACE, "--wait")
        cluster.apply(deployment("comes", 2, from_subnet("nginx-subnet-v4", "+0")), SPACE)
        eventually(lambda: cluster.items("pods", namespace=SPACE, selector="app=goes"), lambda pods: pods == [], what="Pods gone")
        assert gone <= set(holders(cluster).values())
    finally:
        cluster.kubectl("patch", *agents, json.dumps(back))
    eventually(lambda: gone & set(holders(cluster).values()), lambda held: not held, what="addresses of the gone Pods free")
    cluster.running("app=comes", 2, SPACE)
    cluster.kubectl("delete", "deploy", "comes", "-n", SPACE, "--wait")


def test_a_cni_configuration_that_somebody_takes_away_is_put_back(cluster: Cluster, application: str) -> None:
    file = "/etc/cni/net.d/05-netmgr.conflist"
    before = cluster.on("node1", "cat", file)
    cluster.on("node1", "rm", file)
    eventually(lambda: cluster.lab.run("node1", ["cat", file]).stdout, lambda text: text == before, within=20, what=file)


def test_no_address_is_left_when_the_application_goes(cluster: Cluster, application: str) -> None:
    cluster.kubectl("delete", "deploy", "fixed", "-n", SPACE, "--wait")
    eventually(lambda: holders(cluster), lambda held: held == {}, within=60, what="all addresses free")
