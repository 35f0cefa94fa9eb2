"""Who may write allocations and Leases, with the agents' own account and real tokens, each bound to a Pod and so to its node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from netmgr.api import allocation
from netmgr.api.allocation import IPAllocation
from netmgr.api.bgp import NODE_STATES
from netmgr.api.meta import Json, PartialObject
from netmgr.kube import paths
from netmgr.kube.errors import Forbidden
from tests.integration.controller.cluster import pod_spec
from tests.integration.webhook.installed import ACCOUNT, GROUPS, SETTINGS, Installed

HERE, THERE = "10.75.0.1", "10.75.0.2"
EDITOR = ("alice", ("editors",))
LEASES = paths.in_namespace(paths.LEASES, SETTINGS.namespace)
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
As = Callable[[Any], Any]


def held(address: str, node: str) -> Json:
    spec = {
        "address": address,
        "prefixLength": 16,
        "pool": "p",
        "nodeName": node,
        "interface": "eth0",
        "siblings": 1,
        "claimant": {},
        "pod": {"namespace": "x", "name": "a", "uid": "u"},
    }
    return {"apiVersion": allocation.GROUP_VERSION, "kind": "IPAllocation", "metadata": {"name": address}, "spec": spec}


@pytest.fixture
def agent(cluster: Installed) -> As:
    """Acts with the token of node-a's agent; one allocation is on its node, one on another."""
    for address, node in ((HERE, "node-a"), (THERE, "node-b")):
        cluster.create(allocation.ALLOCATIONS, held(address, node))
    return bearer(cluster, "netmgr-agent", "node-a")


def bearer(cluster: Installed, account: str, node: str) -> As:
    """Acts with a token of the account that is bound to a Pod of the node."""
    name = f"{account}-{cluster.namespace}"
    pods = paths.in_namespace(paths.PODS, SETTINGS.namespace)
    body = {"metadata": {"name": name}, "spec": {**pod_spec(), "nodeName": node, "serviceAccountName": account}}
    pod = cluster.create(pods, body)
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={name}", f"--bound-object-uid={pod.metadata.uid}")
    token = cluster.kubectl("create", "token", account, "-n", SETTINGS.namespace, *bound).strip()
    return lambda act: cluster.with_token(token, act)


def report(address: str, **status: Any) -> Any:
    body = {"status": {"phase": "Detached", "podUID": "u", **status}}
    return lambda api: api.merge_patch(f"{allocation.ALLOCATIONS}/{address}/status", body, IPAllocation)


def test_an_agent_reports_about_its_own_node_and_no_other(agent: As) -> None:
    assert agent(report(HERE)).status.phase == "Detached"
    with pytest.raises(Forbidden, match=r"belongs to node node-b; the token of .*netmgr-agent is bound to node node-a"):
        agent(report(THERE))


@pytest.mark.parametrize(
    "status",
    [{"phase": "Cooling"}, {"coolingUntil": "2026-01-01T00:00:00Z"}, {"releasingSince": "2026-01-01T00:00:00Z"}],
    ids=str,
)
def test_an_agent_decides_nothing_that_is_the_controllers(agent: As, status: Json) -> None:
    with pytest.raises(Forbidden, match="an agent reports that an address is detached, or takes that back"):
        agent(report(HERE, **status))


def test_an_agent_neither_creates_nor_deletes_nor_changes_allocations(agent: As) -> None:
    with pytest.raises(Forbidden, match="cannot create resource"):
        agent(lambda api: api.create(allocation.ALLOCATIONS, held("10.75.0.3", "node-a"), IPAllocation))
    with pytest.raises(Forbidden, match="cannot delete resource"):
        agent(lambda api: api.delete(f"{allocation.ALLOCATIONS}/{HERE}"))
    with pytest.raises(Forbidden, match="cannot patch resource"):
        agent(lambda api: api.merge_patch(f"{allocation.ALLOCATIONS}/{HERE}", {"spec": {"nodeName": "node-a"}}, IPAllocation))


def test_an_agents_token_that_is_bound_to_no_node_reports_nothing(cluster: Installed, agent: As) -> None:
    token = cluster.kubectl("create", "token", "netmgr-agent", "-n", SETTINGS.namespace).strip()
    with pytest.raises(Forbidden, match=r"is bound to node \(none\)"):
        cluster.with_token(token, report(HERE))


def test_an_agent_has_a_lease_of_its_own_and_cannot_lead(cluster: Installed, agent: As) -> None:
    def lease(name: str) -> Any:
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": {}}
        return lambda api: api.create(LEASES, body, PartialObject)

    cluster.call(lambda api: api.delete(f"{LEASES}/netmgr-agent-node-a"))
    agent(lease("netmgr-agent-node-a"))
    with pytest.raises(Forbidden, match="leases netmgr-agent-node-b belongs to node node-b"):
        agent(lease("netmgr-agent-node-b"))
    with pytest.raises(Forbidden, match="leases netmgr-controller belongs to node"):
        agent(lease("netmgr-controller"))


def test_a_speaker_writes_the_state_of_its_own_node(cluster: Installed, agent: As) -> None:
    def state(name: str) -> Any:
        body = {"apiVersion": allocation.GROUP_VERSION, "kind": "NodeBGPState", "metadata": {"name": name}}
        return lambda api: api.create(NODE_STATES, body, PartialObject)

    speaker = bearer(cluster, "netmgr-speaker", "node-a")
    speaker(state("node-a"))
    with pytest.raises(Forbidden, match="nodebgpstates node-b belongs to node node-b"):
        speaker(state("node-b"))
    with pytest.raises(Forbidden, match="cannot patch resource"):
        speaker(report(HERE))


def test_whoever_else_may_write_by_rbac_still_may_not(cluster: Installed, agent: As) -> None:
    """An editor of our kinds, who is no administrator of the cluster."""
    rules = [{"apiGroups": ["netmgr.io"], "resources": ["*"], "verbs": ["*"]}]
    cluster.create(ROLES, {"metadata": {"name": "editors"}, "rules": rules})
    bind(cluster, "editors", "editors")
    acts = (
        lambda api: api.create(allocation.ALLOCATIONS, held("10.75.0.3", "node-a"), IPAllocation),
        lambda api: api.delete(f"{allocation.ALLOCATIONS}/{HERE}"),
        report(HERE),
    )
    try:
        for act in acts:
            with pytest.raises(Forbidden, match="only the netmgr controller creates, changes and deletes allocations, not alice"):
                cluster.as_user(*EDITOR, act)
    finally:
        cluster.call(lambda api: api.delete(f"{BINDINGS}/editors"))
        cluster.call(lambda api: api.delete(f"{ROLES}/editors"))


def test_an_administrator_by_rbac_may_break_the_glass(cluster: Installed, agent: As) -> None:
    """Such as kubeadm's, who is not in system:masters; the import needs it, too."""
    bind(cluster, "owners", "cluster-admin")
    try:
        cluster.as_user("bob", ("owners",), lambda api: api.delete(f"{allocation.ALLOCATIONS}/{HERE}"))
    finally:
        cluster.call(lambda api: api.delete(f"{BINDINGS}/owners"))


def bind(cluster: Installed, group: str, role: str) -> None:
    """Give a group a ClusterRole."""
    what = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    whom = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}]
    cluster.create(BINDINGS, {"metadata": {"name": group}, "roleRef": what, "subjects": whom})


def test_the_controller_creates_and_deletes_allocations(cluster: Installed) -> None:
    cluster.as_user(ACCOUNT, GROUPS, lambda api: api.create(allocation.ALLOCATIONS, held(HERE, "node-a"), IPAllocation))
    cluster.as_user(ACCOUNT, GROUPS, report(HERE, phase="Cooling", coolingUntil="2026-01-01T00:00:00Z"))
    cluster.as_user(ACCOUNT, GROUPS, lambda api: api.delete(f"{allocation.ALLOCATIONS}/{HERE}"))
