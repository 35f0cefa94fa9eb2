"""Random churn with random kills on a lab, reproducible by its seed: applications come, change and go while processes die.

`Soak.churn` does it for so many seconds, `settled` says when all is quiet, `removed` leaves nothing behind.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.e2e.cluster import Cluster, Object, deployment, from_pool, from_subnet, is_ready, pool
from tests.waiting import eventually

SPACE = "soak"
SUBNET = "nginx-subnet-v4"
PREFIX = "10.244.0.0/16"
NODES = ("node1", "node2")
MOST_APPLICATIONS, MOST_REPLICAS = 6, 4
ABORTED = 0.05
"""Share of CNI calls that are cut off in the middle."""
LABEL = "netmgr.test/soak"


@dataclass
class Soak:
    """One run. `applications` maps a name to its kind and replicas."""

    cluster: Cluster
    seed: int
    applications: dict[str, tuple[str, int]] = field(default_factory=dict)
    pools: dict[str, int] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    handed_out: set[tuple[str, str]] = field(default_factory=set)
    aborted: int = 0
    made: int = 0

    def __post_init__(self) -> None:
        """The seed decides everything that is done; only the timing is the machine's."""
        self.random = random.Random(self.seed)  # noqa: S311 - to be repeated, not to be secret

    def churn(self, seconds: float) -> None:
        """One thing after the other, until the time is over."""
        work = [self.make, self.make, self.scale, self.scale, self.roll_out, self.delete, self.make_pool, self.resize_pool]
        harm = [self.kill_agent, self.kill_controller, self.kill_api_server, self.restart_node, self.end_sandbox]
        end, turn = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            turn += 1
            if turn % 4:
                act = self.random.choice(work)
                act()
                self.done[act.__name__] += 1
            else:
                end_of = self.random.choice(harm)
                self.kills[end_of.__name__] += end_of()
            self.look()
            if self.aborted < ABORTED * self.calls:
                self.abort_calls()

    @property
    def calls(self) -> int:
        """CNI calls so far, by what they must have been: an ADD for each address in use, a DEL for most."""
        return 2 * len(self.handed_out)

    # ---- applications ----

    def make(self) -> None:
        """A Deployment or StatefulSet with a pool of its own, or Pods of a pool made by hand."""
        if len(self.applications) >= MOST_APPLICATIONS:
            return
        self.made += 1
        name, replicas = f"soak-{self.made}", self.random.randint(1, MOST_REPLICAS)
        stateful = self.random.random() < 0.3
        manual = self.random.choice([*self.pools, ""]) if self.pools else ""
        wants = from_pool(manual) if manual else from_subnet(SUBNET, f"+{self.random.randint(0, 3)}")
        body: Object = json.loads(deployment(name, replicas, wants))
        kind = "StatefulSet" if stateful else "Deployment"
        body["kind"] = kind
        if stateful:
            body["spec"] |= {"serviceName": name, "podManagementPolicy": "Parallel"}
        self.applications[name] = (kind, replicas)
        self.ask("apply", "-n", SPACE, "-f", "-", stdin=json.dumps(body))

    def scale(self) -> None:
        """Other replicas."""
        if self.applications:
            name = self.random.choice(sorted(self.applications))
            kind, replicas = self.applications[name][0], self.random.randint(0, MOST_REPLICAS)
            self.applications[name] = (kind, replicas)
            self.ask("scale", "-n", SPACE, f"{kind.lower()}/{name}", f"--replicas={replicas}")

    def roll_out(self) -> None:
        """All Pods anew."""
        if self.applications:
            name = self.random.choice(sorted(self.applications))
            self.ask("rollout", "restart", "-n", SPACE, f"{self.applications[name][0].lower()}/{name}")

    def delete(self) -> None:
        """An application goes."""
        if len(self.applications) > 2:
            name = self.random.choice(sorted(self.applications))
            kind, _ = self.applications.pop(name)
            self.ask("delete", kind.lower(), name, "-n", SPACE, "--wait=false", "--ignore-not-found")

    def make_pool(self) -> None:
        """A pool by hand, of a range that no other has."""
        if len(self.pools) < 2:
            self.made += 1
            first = 8 * self.made % 240
            self.pools[f"soak-pool-{self.made}"] = first
            self.ask("apply", "-f", "-", stdin=pool(f"soak-pool-{self.made}", PREFIX, self.range_of(first, 40)))

    def resize_pool(self) -> None:
        """A pool by hand grows; it never loses what Pods may hold."""
        if self.pools:
            name = self.random.choice(sorted(self.pools))
            ranges = {"spec": {"ips": [self.range_of(self.pools[name], self.random.randint(40, 60))]}}
            self.ask("patch", "sp", name, "--type=merge", "-p", json.dumps(ranges))

    def range_of(self, first: int, count: int) -> str:
        """Addresses of one pool: each has a /24 of its own, between the lab's other ranges."""
        third = 160 + first // 8
        return f"10.244.{third}.1-10.244.{third}.{count}"

    # ---- harm ----

    def kill(self, node: str, pattern: str) -> int:
        """Kill -9 of what `pgrep -f` finds on a node; how many processes there were."""
        done = self.cluster.lab.run(node, ["bash", "-c", f"pids=$(pgrep -f '{pattern}') && kill -9 $pids; echo $pids"])
        return len(done.stdout.split())

    def kill_agent(self) -> int:
        """An agent."""
        return self.kill(self.random.choice(NODES), "[n]etmgr agent")

    def kill_controller(self) -> int:
        """The controller of a node, whether it leads or not."""
        return self.kill(self.random.choice(NODES), "[n]etmgr controller")

    def kill_api_server(self) -> int:
        """The API server."""
        return self.kill("control-plane", "[k]ube-apiserver --")

    def restart_node(self) -> int:
        """A node's container runtime, kubelet and proxy at once, and its netmgr processes with them."""
        node = self.random.choice(NODES)
        ours = self.kill(node, "[n]etmgr (agent|controller|speaker)")
        return ours + self.kill(node, "^containerd$|^/usr/local/bin/kube kube(let|-proxy) ")

    def end_sandbox(self) -> int:
        """The pause process of one Pod."""
        node, pick = self.random.choice(NODES), self.random.randint(1, 5)
        script = f"pid=$(pgrep -x pause | tail -n {pick} | head -n 1) && kill -9 $pid; echo $pid"
        return len(self.cluster.lab.run(node, ["bash", "-c", script]).stdout.split())

    def abort_calls(self) -> None:
        """Kill plugins while the agent has their call: it is stopped, so that they hang, and goes on before or after the kill."""
        node, after = self.random.choice(NODES), self.random.choice(["", "kill -CONT $agents; "])
        name = self.random.choice(sorted(self.applications)) if self.applications else ""
        if name:
            kind, _ = self.applications[name]
            self.ask("rollout", "restart", "-n", SPACE, f"{kind.lower()}/{name}")
        script = (
            "agents=$(pgrep -f '[n]etmgr agent'); [ -n \"$agents\" ] || exit 0; kill -STOP $agents; found=; "
            "for _ in $(seq 40); do found=$(pgrep -x 'netmgr|netmgr-ipam'); [ -n \"$found\" ] && break; sleep 0.1; done; "
            f'{after}[ -n "$found" ] && kill -9 $found; kill -CONT $agents; echo $found'
        )
        self.aborted += len(self.cluster.lab.run(node, ["bash", "-c", script]).stdout.split())

    # ---- looking ----

    def ask(self, *arguments: str, stdin: str | None = None) -> str:
        """Kubectl, again while the API server is away."""

        def once() -> tuple[int, str]:
            answer = self.cluster.try_kubectl(*arguments, stdin=stdin)
            return answer.returncode, answer.stdout + answer.stderr

        return eventually(once, lambda seen: seen[0] == 0, within=90, what=f"kubectl {' '.join(arguments)}")[1]

    def look(self) -> None:
        """Remember which addresses were handed out to whom."""
        found = self.cluster.try_kubectl("get", "ipa", "-o", "json")
        if found.returncode == 0:
            items = json.loads(found.stdout)["items"]
            self.handed_out |= {(one["metadata"]["name"], one["spec"]["pod"]["uid"]) for one in items}

    def unsettled(self) -> list[str]:
        """Applications whose Pods are not all Ready, or too many."""
        pods = json.loads(self.ask("get", "pods", "-n", SPACE, "-o", "json"))["items"]
        running = Counter(pod["metadata"]["labels"]["app"] for pod in pods if is_ready(pod))
        there = Counter(pod["metadata"]["labels"]["app"] for pod in pods)
        wanted = {name: replicas for name, (_, replicas) in self.applications.items()}
        names = wanted.keys() | there.keys()
        return sorted(name for name in names if not running[name] == there[name] == wanted.get(name, 0))

    def settled(self, clean: Callable[[], list[object]], within: float = 240) -> float:
        """Seconds until every Pod runs and `netmgr check` has nothing to say."""
        began = time.monotonic()
        eventually(self.unsettled, lambda found: found == [], within=within, what="every application's Pods Ready")
        eventually(clean, lambda found: found == [], within=within, what="netmgr check is clean")
        return time.monotonic() - began

    def removed(self) -> None:
        """All that was made goes, and every address comes back."""
        for name, (kind, _) in self.applications.items():
            self.ask("delete", kind.lower(), name, "-n", SPACE, "--wait=false", "--ignore-not-found")
        eventually(lambda: self.cluster.addresses_so_far(SPACE), lambda left: not left, within=120, what="no address held")
        for name in self.pools:
            self.ask("delete", "sp", name, "--ignore-not-found", "--timeout=60s")
        eventually(
            lambda: [
                one["metadata"]["name"] for one in self.cluster.items("sp") if one["metadata"]["name"].startswith("auto-soak-")
            ],
            lambda left: left == [],
            within=60,
            what="no auto pool left",
        )

    def figures(self, seconds: float, to_settle: float) -> dict[str, object]:
        """What it came to."""
        return {
            "seed": self.seed,
            "seconds": round(seconds),
            "operations": sum(self.done.values()),
            "killedProcesses": dict(self.kills),
            "abortedCalls": self.aborted,
            "calls": self.calls,
            "addressesHandedOut": len(self.handed_out),
            "secondsToSettle": round(to_settle, 1),
        }
