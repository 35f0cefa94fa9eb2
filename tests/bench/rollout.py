"""From the creation of a Deployment to its Pods' ADDs answered, in the lab: API server, scheduler, controller, kubelet, containerd
and agent are the real ones. The end is the agent's own log line.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from datetime import datetime

from netmgr.api.meta import Json, PartialObject
from netmgr.api.workload import Pod
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.config import load
from tests.bench.figures import Figure
from tests.e2e.cluster import Cluster, deployment, from_subnet, installed
from tests.waiting import eventually
from topology.lab import Lab

ROUNDS = 9
SETTLE_SECONDS = 2.0
"""The kubelet removes ended containers in a loop of one second; a round that begins in it measures that."""


def measure() -> list[Figure]:
    """Medians and worst values in milliseconds; starts the lab if it is not up."""
    lab = Lab.open("single-tor")
    was_up = lab.is_up()
    lab.up(print)
    try:
        return compared(installed(lab))
    finally:
        if not was_up:
            lab.down()


def compared(cluster: Cluster) -> list[Figure]:
    """Each round: a Deployment of two is created, then scaled to three, then deleted."""
    created: list[float] = []
    scaled: list[float] = []
    for number in range(ROUNDS + 1):
        name = f"bench{number}"
        body = json.loads(deployment(name, 2, from_subnet("nginx-subnet-v4", "+3")))
        created.append(after(cluster, name, 2, create=body))
        scaled.append(after(cluster, name, 3, patch={"spec": {"replicas": 3}}))
        cluster.kubectl("delete", "deploy", name, "--wait")
        settle(cluster)
    created, scaled = created[1:], scaled[1:]  # the first round warms caches
    return [
        Figure(what="Deployment created to both ADDs answered: median", value=statistics.median(created), unit="ms"),
        Figure(what="the same: worst", value=max(created), unit="ms"),
        Figure(what="scaled up to the ADD answered: median", value=statistics.median(scaled), unit="ms"),
        Figure(what="the same: worst", value=max(scaled), unit="ms"),
    ]


def settle(cluster: Cluster) -> None:
    """Wait until what the last round left is gone: addresses, pools, containers."""
    eventually(lambda: cluster.items("ipa"), lambda left: left == [])
    eventually(lambda: cluster.items("sp"), lambda left: left == [])
    time.sleep(SETTLE_SECONDS)


def after(cluster: Cluster, name: str, count: int, *, create: Json | None = None, patch: Json | None = None) -> float:
    """Milliseconds from just before the write to the last ADD that it caused."""
    began, pods = asyncio.run(written(cluster, name, count, create, patch))
    times = answered(cluster)
    return (max(times[f"default/{pod}"] for pod in pods) - began) * 1000


async def written(cluster: Cluster, name: str, count: int, create: Json | None, patch: Json | None) -> tuple[float, set[str]]:
    """The one write of the user: the time just before it (seconds since 1970), and the Pods that it made, once all are Ready.

    Looking is by plain requests, since a kubectl process would take one of the machine's cores each time.
    """
    collection, pods = (paths.in_namespace(one, "default") for one in (paths.DEPLOYMENTS, paths.PODS))
    async with Api(load(cluster.lab.kubeconfig), user_agent="bench") as api:
        known = {pod.metadata.name for pod in await api.list(pods, Pod, label_selector=f"app={name}")}
        began = time.time()
        if create is not None:
            await api.create(collection, create, PartialObject)
        if patch is not None:
            await api.merge_patch(f"{collection}/{name}", patch, PartialObject)
        while True:
            await asyncio.sleep(0.3)
            seen = await api.list(pods, Pod, label_selector=f"app={name}")
            ready = [pod for pod in seen if any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())]
            if len(ready) == count:
                return began, {pod.metadata.name for pod in ready} - known


def answered(cluster: Cluster) -> dict[str, float]:
    """When each Pod's last ADD was answered, by `namespace/name`, as the agents logged it (seconds since 1970)."""
    words = ("logs", "-n", "netmgr-system", "-l", "app=netmgr-agent", "--tail=-1", "--since=60s")
    found: dict[str, float] = {}
    for line in cluster.kubectl(*words).splitlines():
        event = json.loads(line)
        text = dict(part.split("=", 1) for part in event["event"].split() if "=" in part)
        if text.get("command") == "ADD":
            found[text["pod"]] = datetime.fromisoformat(event["timestamp"]).timestamp()
    return found
