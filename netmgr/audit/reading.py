"""I/O: reads what is compared: the API, and in a lab each node's records and kernel and the router's kernel."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec

from cni.attachments import Attachment
from cni.kernel import PROTOCOL
from netmgr.api.allocation import ALLOCATIONS, IPAllocation
from netmgr.api.spider import POOLS, SUBNETS, SpiderIPPool, SpiderSubnet
from netmgr.api.workload import Node, Pod
from netmgr.audit.findings import NodeView, View
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.config import load
from topology.cluster import NODE, with_role
from topology.errors import LabError
from topology.lab import Lab

RECORDS = "/run/netmgr/state/attached"


async def read_api(kubeconfig: Path | None) -> View:
    """What the API server says."""
    async with Api(load(kubeconfig), user_agent="netmgr-check") as api:
        subnets, pools, pods, nodes, allocations = await asyncio.gather(
            api.list(SUBNETS, SpiderSubnet),
            api.list(POOLS, SpiderIPPool),
            api.list(paths.PODS, Pod),
            api.list(paths.NODES, Node),
            api.list(ALLOCATIONS, IPAllocation),
        )
    return View(
        allocations=tuple(allocations), pods=tuple(pods), pools=tuple(pools), subnets=tuple(subnets), node_objects=tuple(nodes)
    )


def read_lab(lab: Lab, router: str, view: View) -> View:
    """The view with what the lab's nodes and its router say."""
    nodes = {node.name: read_node(lab, node.name) for node in with_role(lab.topology, NODE)}
    told: dict[str, tuple[str, ...]] = {}
    for family in ("-4", "-6"):
        for route in ask(lab, router, "ip", "-j", family, "route", "show", "proto", "bgp"):
            hops = (
                [hop["gateway"] for hop in route["nexthops"]]
                if "nexthops" in route
                else [route.get("gateway", route.get("dev", ""))]
            )
            told[route["dst"]] = tuple(hops)
    return dataclasses.replace(view, nodes=nodes, router=told)


def read_node(lab: Lab, node: str) -> NodeView:
    """One node's records, host routes and links."""
    listed = lab.run(node, ["bash", "-c", f"shopt -s nullglob; for file in {RECORDS}/*.json; do cat $file; echo; done"])
    attached = [msgspec.json.decode(line, type=Attachment) for line in listed.stdout.splitlines()]
    routes: dict[str, str] = {}
    for family in ("-4", "-6"):
        for route in ask(lab, node, "ip", "-j", family, "route", "show", "proto", str(PROTOCOL)):
            routes[route["dst"]] = route["dev"]
    links = ask(lab, node, "ip", "-j", "address", "show")
    return NodeView(
        attached=tuple(attached),
        routes=routes,
        links=frozenset(link["ifname"] for link in links),
        addresses=frozenset(one["local"] for link in links if not link["ifname"].startswith("nm") for one in link["addr_info"]),
    )


def ask(lab: Lab, node: str, *words: str) -> list[dict[str, Any]]:
    """A command's JSON answer; LabError with its words where it fails."""
    done = lab.run(node, words)
    if done.returncode:
        raise LabError(f"lab {lab.name}: {node}: {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found
