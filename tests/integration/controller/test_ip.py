"""`netmgr ip`: who has an address and what happens next; and giving one up on proof alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netmgr.kube import paths
from tests.integration.controller.cluster import Cluster
from tests.waiting import eventually

NETMGR = str(Path(sys.executable).parent / "netmgr")
WANTS = {"ipam.spidernet.io/subnet": '{"ipv4":["s"]}', "ipam.spidernet.io/ippool-ip-number": "+1"}


def netmgr(cluster: Cluster, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code, and what is said about each address."""
    argv = [NETMGR, "ip", *words, "--kubeconfig", str(cluster.server.kubeconfig), "--output", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)["addresses"]


@pytest.fixture
def kept(cluster: Cluster) -> str:
    """The address of an ordinal whose Pod is gone and detached; the controller has ended."""
    with cluster.controller():
        cluster.subnet("s", "10.68.0.0/16", "10.68.1.0-10.68.1.255")
        owner = cluster.stateful_set("db", 1, WANTS)
        cluster.ordinal("db", WANTS, owner, 0)
        address = next(iter(cluster.held(1)))
        cluster.delete(paths.PODS, "db-0", gracePeriodSeconds=0)
        eventually(lambda: cluster.allocations()[address].status.phase, lambda phase: phase == "Releasing", what="the question")
    return address


def test_show_says_who_has_an_address_and_what_happens_next(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.subnet("s", "10.68.0.0/16", "10.68.1.0-10.68.1.255")
        cluster.reserve("gateway", "10.68.1.200")
        owner = cluster.deployment("web", 1, WANTS)
        cluster.pods("web", WANTS, owner, 1)
        address, one = next(iter(cluster.held(1).items()))
        pool = one.spec.pool
        eventually(lambda: netmgr(cluster, "show", "10.68.1.1")[1][0]["state"], lambda state: state == "Free", what="accepted")
    code, told = netmgr(cluster, "show", address, "10.68.1.1", "10.68.1.200", "10.68.1.100", "192.0.2.1")
    assert code == 0
    assert [one["state"] for one in told] == ["Held", "Free", "Reserved", "Unpooled", "Unknown"]
    first = told[0]
    assert (first["pod"], first["pool"], first["subnet"]) == (f"{cluster.namespace}/web-rs-1", pool, "s")
    assert (first["node"], first["claimant"]) == ("node-a", f"Deployment {cluster.namespace}/web")
    assert told[2]["next"] == "no Pod gets it while SpiderReservedIP gateway names it"


def test_an_address_in_use_is_not_released(cluster: Cluster) -> None:
    with cluster.controller():
        cluster.subnet("s", "10.68.0.0/16", "10.68.1.0-10.68.1.255")
        cluster.pods("web", WANTS, cluster.deployment("web", 1, WANTS), 1)
        address = next(iter(cluster.held(1)))
    code, (said,) = netmgr(cluster, "release", address)
    assert (code, said["result"]) == (3, "refused")
    assert f"Pod {cluster.namespace}/web-rs-1 lives and has it; delete the Pod" in said["why"]
    assert set(cluster.allocations()) == {address}


def test_an_ordinals_address_is_given_up_once_its_node_says_that_nothing_is_attached(cluster: Cluster, kept: str) -> None:
    waited, (still,) = netmgr(cluster, "release", kept, "--wait", "0.5")
    assert (waited, still["result"]) == (3, "refused")
    assert "nothing came from node node-a within 0.5 s" in still["why"]
    cluster.detach(kept)
    assert netmgr(cluster, "show", kept)[1][0]["state"] == "Kept"
    dry, (would,) = netmgr(cluster, "release", kept, "--dry-run")
    assert (dry, would["result"], set(cluster.allocations())) == (0, "freed", {kept})
    code, (said,) = netmgr(cluster, "release", kept)
    assert (code, said["result"], cluster.allocations()) == (0, "freed", {})
    assert netmgr(cluster, "release", kept) == (0, [{"address": kept, "result": "free", "why": "no IPAllocation has it"}])


def test_wrong_usage_names_the_word(cluster: Cluster) -> None:
    done = subprocess.run([NETMGR, "ip", "show", "10.0.0"], capture_output=True, text=True, check=False)
    assert (done.returncode, "'10.0.0' is not an IP address" in done.stderr) == (2, True)


def test_the_shell_completes_addresses_that_are_held(cluster: Cluster, kept: str) -> None:
    environment = os.environ | {
        "_NETMGR_COMPLETE": "bash_complete",
        "COMP_CWORD": "3",
        "KUBECONFIG": str(cluster.server.kubeconfig),
    }
    words = environment | {"COMP_WORDS": f"netmgr ip show {kept[:5]}"}
    done = subprocess.run([NETMGR], capture_output=True, text=True, check=False, env=words)
    assert f"plain,{kept}" in done.stdout.splitlines()
