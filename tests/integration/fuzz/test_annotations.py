"""Pods with any annotations, before the real controller: each gets its address or is told why not, and nobody else suffers."""

from __future__ import annotations

import asyncio
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from ipam.annotations import NUMBER, POOL, POOLS, PREFIX, RECLAIM, SUBNET, SUBNETS
from netmgr.api.workload import Pod
from netmgr.kube.client import Api
from netmgr.kube.paths import PODS
from tests.cases import fuzzed
from tests.integration.controller.cluster import NODE, Cluster, pod_spec
from tests.unit.fuzz.test_annotations import VALUES
from tests.waiting import eventually

KEYS = st.sampled_from([SUBNET, SUBNETS, POOL, POOLS, NUMBER, RECLAIM, PREFIX + "routes"])
MANY = st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), min_size=25, max_size=25)
_numbers = count(1)


def bind(cluster: Cluster, many: list[dict[str, str]]) -> set[str]:
    """Bare Pods with these annotations, on a node with a live agent; their names."""
    named = {f"fuzz-{next(_numbers)}": annotations for annotations in many}

    async def create(api: Api) -> None:
        spec = {**pod_spec(), "nodeName": NODE}
        bodies = [{"metadata": {"name": name, "annotations": notes}, "spec": spec} for name, notes in named.items()]
        await asyncio.gather(*(api.create(cluster.here(PODS), body, Pod) for body in bodies))

    cluster.call(create)
    return set(named)


def unanswered(cluster: Cluster, names: set[str]) -> set[str]:
    """Pods that have neither an address nor a reason."""
    pods: list[Pod] = cluster.call(lambda api: api.list(cluster.here(PODS), Pod))
    told = {
        pod.metadata.name
        for pod in pods
        for one in pod.status.conditions or ()
        if one.type == "netmgr.io/AddressesAllocated" and (one.message or one.status == "True")
    }
    return names - told - {one.spec.pod.name for one in cluster.allocations().values()}


def test_pods_with_any_annotations_get_addresses_or_reasons(cluster: Cluster) -> None:
    with cluster.controller() as process:
        cluster.pool("pool-a", "10.59.0.0/16", "10.59.0.1-10.59.9.250")

        @fuzzed(few=20, many=400)
        @given(MANY)
        def property_(many: list[dict[str, str]]) -> None:
            names = bind(cluster, many)
            eventually(lambda: unanswered(cluster, names), lambda left: not left, within=60, what="every Pod has an answer")
            assert process.poll() is None

        property_()
        last = bind(cluster, [{POOL: '{"ipv4":["pool-a"]}'}])
        eventually(lambda: unanswered(cluster, last), lambda left: not left, within=20, what="the next Pod has its address")
        assert last <= {one.spec.pod.name for one in cluster.allocations().values()}
