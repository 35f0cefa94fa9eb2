"""What an outsider can do with a running lab: kubectl, commands on nodes, the router's routes, HTTP from the client.

I/O: starts kubectl and commands inside lab nodes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netmgr.kube.config import ApiAccess
from tests.waiting import eventually
from topology import kubernetes
from topology.lab import Lab

EXAMPLES = Path(__file__).parents[2] / "examples" / "walkthrough"
NETMGR = str(Path(sys.executable).parent / "netmgr")
Object = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """A running lab with netmgr installed."""

    lab: Lab

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Output of kubectl; fails the test with kubectl's own words."""
        done = self.try_kubectl(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Kubectl, whatever its exit code."""
        command = [str(kubernetes.binary()), "kubectl", "--kubeconfig", str(self.lab.kubeconfig), *arguments]
        return subprocess.run(command, input=stdin, text=True, capture_output=True, check=False, timeout=120)

    def with_token(self, token: str) -> ApiAccess:
        """The API server with that token and no other credentials."""
        authority = (self.lab.folder / "pki" / "ca.crt").read_bytes()
        return ApiAccess(f"https://127.0.0.1:{self.lab.cluster.port}", ca=authority, token_source=lambda: (token, 60.0))

    def get(self, kind: str, *names: str, namespace: str | None = None, selector: str | None = None) -> Object:
        """One object, or a List."""
        scope = ["-n", namespace] if namespace else []
        chosen = ["-l", selector] if selector else []
        kinds = [kind] if kind else []  # names may carry their kinds: deployment/nginx
        found: Object = json.loads(self.kubectl("get", *kinds, *names, *scope, *chosen, "-o", "json"))
        return found

    def items(self, kind: str, *, namespace: str | None = None, selector: str | None = None) -> list[Object]:
        """All objects of a kind."""
        found: list[Object] = self.get(kind, namespace=namespace, selector=selector)["items"]
        return found

    def apply(self, manifest: str | Path, namespace: str | None = None) -> None:
        """`kubectl apply` of a file or of text."""
        scope = ["-n", namespace] if namespace else []
        if isinstance(manifest, Path):
            self.kubectl("apply", *scope, "-f", str(manifest))
        else:
            self.kubectl("apply", *scope, "-f", "-", stdin=manifest)

    def netmgr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The netmgr command line against this cluster."""
        return subprocess.run([NETMGR, *arguments], text=True, capture_output=True, check=False, timeout=280)

    def on(self, node: str, *command: str) -> str:
        """Output of a command on a lab node."""
        done = self.lab.run(node, list(command))
        assert done.returncode == 0, f"{node}: {' '.join(command)}: {done.stderr}"
        return str(done.stdout)

    def delete_pool(self, name: str) -> None:
        """Delete a pool as soon as nobody holds its addresses: before that it is refused."""
        eventually(
            lambda: self.try_kubectl("delete", "sp", name, "--ignore-not-found", "--wait", "--timeout=60s"),
            lambda done: done.returncode == 0,
            what=f"pool {name} deleted",
        )

    def running(self, selector: str, count: int, namespace: str = "default", within: float = 120) -> list[Object]:
        """The Pods of a selector once `count` of them, and no other, are Ready."""
        return eventually(
            lambda: self.items("pods", namespace=namespace, selector=selector),
            lambda pods: len(pods) == count and all(is_ready(pod) for pod in pods),
            within=within,
            what=f"{count} Pods of {selector} Ready",
        )

    def addresses(self, selector: str, namespace: str = "default") -> set[str]:
        """Addresses of the Pods of a selector."""
        return {pod["status"]["podIP"] for pod in self.items("pods", namespace=namespace, selector=selector)}

    def addresses_so_far(self, namespace: str) -> set[str]:
        """Names of the allocations that a namespace's Pods hold."""
        return {a["metadata"]["name"] for a in self.items("ipa") if a["spec"]["pod"]["namespace"] == namespace}

    def pool(self, name: str) -> Object:
        """A SpiderIPPool."""
        return self.get("spiderippools", name)

    def auto_pool_of(self, application: str) -> Object:
        """The one auto pool of an application."""
        return eventually(
            lambda: self.items("spiderippools", selector=f"ipam.spidernet.io/owner-application-name={application}"),
            lambda pools: len(pools) == 1,
            what=f"auto pool of {application}",
        )[0]

    def tor_routes(self) -> dict[str, list[str]]:
        """Destination to next hops of BGP routes in the router's kernel table: the truth about what it forwards."""
        routes = json.loads(self.on("tor", "ip", "-j", "route", "show", "proto", "bgp"))
        return {route["dst"]: next_hops(route) for route in routes}

    def tor_paths(self) -> dict[str, list[str]]:
        """Prefix to the next hops of all paths that the router has received, best or not, of both families."""
        found: dict[str, list[str]] = {}
        for family in ("ipv4", "ipv6"):
            table = json.loads(self.on("tor", "vtysh", "-d", "bgpd", "-c", f"show bgp {family} unicast json"))
            for prefix, paths in table.get("routes", {}).items():
                found[prefix] = [hop["ip"] for path in paths for hop in path["nexthops"] if hop.get("scope") != "link-local"]
        return found

    def fetch(self, address: str, path: str = "/", node: str = "client") -> str:
        """HTTP answer at the outside client."""
        host = f"[{address}]" if ":" in address else address
        return self.on(node, "curl", "-s", "-S", "-m", "5", f"http://{host}{path}")


def installed(lab: Lab) -> Cluster:
    """The running lab with netmgr installed, its router as neighbor and the walk-through's subnet."""
    ready = Cluster(lab)
    done = ready.netmgr("install", "--kubeconfig", str(lab.kubeconfig))
    assert done.returncode == 0, f"netmgr install: {done.stdout}{done.stderr}"
    ready.apply(EXAMPLES / "01-neighbor.yaml")
    ready.apply(EXAMPLES / "02-subnet.yaml")
    return ready


def next_hops(route: Object) -> list[str]:
    """All next hops of one `ip -j route` entry."""
    if "nexthops" in route:
        return [hop["gateway"] for hop in route["nexthops"]]
    return [route["gateway"]]


def is_ready(pod: Object) -> bool:
    """Whether a Pod is Ready, has an address and is not being deleted."""
    if pod["metadata"].get("deletionTimestamp") or not pod.get("status", {}).get("podIP"):
        return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def deployment(name: str, replicas: int, annotations: dict[str, str], **pod_spec: Any) -> str:
    """A Deployment of nginx as text (JSON is YAML)."""
    template = {
        "metadata": {"labels": {"app": name}, "annotations": annotations},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "nginx", "image": "nginx", "imagePullPolicy": "IfNotPresent"}],
            **pod_spec,
        },
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})


def subnet(name: str, prefix: str, *ranges: str) -> str:
    """A SpiderSubnet as text."""
    return addresses_of("SpiderSubnet", name, prefix, ranges)


def pool(name: str, prefix: str, *ranges: str) -> str:
    """A SpiderIPPool as text."""
    return addresses_of("SpiderIPPool", name, prefix, ranges)


def addresses_of(kind: str, name: str, prefix: str, ranges: tuple[str, ...]) -> str:
    """A subnet or a pool: both declare ranges of a prefix."""
    spec = {"subnet": prefix, "ips": list(ranges)}
    return json.dumps({"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": kind, "metadata": {"name": name}, "spec": spec})


def from_subnet(name: str, number: str = "+1") -> dict[str, str]:
    """Annotations that ask for an auto pool of a subnet."""
    return {"ipam.spidernet.io/subnet": json.dumps({"ipv4": [name]}), "ipam.spidernet.io/ippool-ip-number": number}


def from_pool(name: str) -> dict[str, str]:
    """The annotation that asks for addresses of a pool chosen by hand."""
    return {"ipam.spidernet.io/ippool": json.dumps({"ipv4": [name]})}
