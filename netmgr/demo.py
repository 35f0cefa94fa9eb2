"""The main job in the lab, as a user would do it by hand, with the tables a user would look at.

I/O: brings the lab up, runs kubectl and netmgr, reads the router's tables. Run by `make demo`; exit code 0 only if
every address was reached from outside with the client's own address.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from topology import kubernetes
from topology.lab import Lab

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "walkthrough"
NETMGR = str(Path(sys.executable).parent / "netmgr")
console = Console(highlight=False, soft_wrap=True)


class StepFailedError(Exception):
    """A step of the demonstration did not come to its end; the message says what was seen last."""


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print a step's title and, at its end, the seconds it took."""
    console.print(f"\n[bold]▶ {title}[/bold]")
    began = time.monotonic()
    yield
    console.print(f"[dim]  {time.monotonic() - began:.1f} s[/dim]")


class Demo:
    """One run of the walk-through in a lab."""

    def __init__(self, lab: Lab) -> None:
        """The lab need not be up yet."""
        self.lab = lab

    def kubectl(self, *arguments: str) -> str:
        """Output of kubectl."""
        command = [str(kubernetes.binary()), "kubectl", "--kubeconfig", str(self.lab.kubeconfig), *arguments]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        if done.returncode:
            raise StepFailedError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def show(self, *arguments: str) -> None:
        """Print a kubectl command and its output."""
        console.print(f"[cyan]  $ kubectl {' '.join(arguments)}[/cyan]")
        console.print(indent(self.kubectl(*arguments)), markup=False)

    def apply(self, name: str) -> None:
        """`kubectl apply` of one example."""
        console.print(f"[cyan]  $ kubectl apply -f examples/walkthrough/{name}[/cyan]")
        console.print(indent(self.kubectl("apply", "-f", str(EXAMPLES / name))), markup=False)

    def wait(self, what: str, holds: Callable[[], bool], seconds: float = 120) -> None:
        """Wait for a condition, with a line of progress every two seconds."""
        began = told = time.monotonic()
        while not holds():
            now = time.monotonic()
            if now - began > seconds:
                raise StepFailedError(f"{what}: not within {seconds:g} s")
            if now - told > 2:
                console.print(f"[dim]  … waiting for {what} ({now - began:.0f} s)[/dim]")
                told = now
            time.sleep(0.2)

    def ready(self, selector: str, count: int) -> bool:
        """Whether exactly `count` Pods exist and all are Ready."""
        pods = json.loads(self.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
        states = [c["status"] for p in pods for c in p["status"].get("conditions", []) if c["type"] == "Ready"]
        return states == ["True"] * count and len(pods) == count

    def total(self, pool: str, count: int) -> bool:
        """Whether the pool reports that many addresses."""
        status = json.loads(self.kubectl("get", "sp", pool, "-o", "json")).get("status", {})
        return bool(status.get("totalIPCount") == count)

    def auto_pool(self) -> str:
        """Name of the application's pool."""
        found = json.loads(self.kubectl("get", "sp", "-l", "ipam.spidernet.io/owner-application-name=nginx", "-o", "json"))
        return str(found["items"][0]["metadata"]["name"])

    def reach(self, *arguments: str) -> bool:
        """`netmgr reach` from the client; its table is printed."""
        console.print(f"[cyan]  $ netmgr reach --lab {self.lab.name} --from client {' '.join(arguments)}[/cyan]")
        command = [NETMGR, "reach", "--lab", self.lab.name, "--from", "client", *arguments]
        return subprocess.run(command, check=False).returncode == 0

    def run(self) -> bool:
        """All steps in order; True when every address answered as it should."""
        with step("a cluster of three machines, a router and a client outside (single-tor)"):
            self.lab.up(lambda line: console.print(f"[dim]  … {line}[/dim]"))
        with step("netmgr installs itself: controller, agents, speakers"):
            subprocess.run([NETMGR, "install", "--kubeconfig", str(self.lab.kubeconfig)], check=True)
        with step("the administrator names the router and a subnet"):
            self.apply("01-neighbor.yaml")
            self.apply("02-subnet.yaml")
        with step("an application asks for its pool with one annotation: replicas + 3"):
            self.apply("03-nginx.yaml")
            self.wait("two Pods of nginx", lambda: self.ready("app=nginx", 2))
            self.show("get", "ss,sp")
            self.show("get", "pods", "-o", "wide")
        with step("its Pods are deleted: the new ones have addresses of the same pool"):
            self.kubectl("delete", "pods", "-l", "app=nginx", "--wait")
            self.wait("two new Pods of nginx", lambda: self.ready("app=nginx", 2))
            self.show("get", "pods", "-o", "wide")
        with step("scaled to three: the pool grows to six in place"):
            self.kubectl("scale", "deploy", "nginx", "--replicas", "3")
            self.wait("three Pods of nginx", lambda: self.ready("app=nginx", 3))
            self.wait("six addresses", lambda: self.total(self.auto_pool(), 6))
        with step("a second application uses a pool chosen by hand"):
            self.apply("04-pool.yaml")
            self.apply("05-nginx-m.yaml")
            self.wait("two Pods of nginx-m", lambda: self.ready("app=nginx-m", 2))
            self.show("get", "ss,sp,ipa")
        with step("the router has one route for each Pod, through the node that hosts it"):
            self.wait("five routes", lambda: len(self.router_routes()) == 5)
            console.print(indent(self.lab.run("tor", ["vtysh", "-c", "show ip bgp"]).stdout), markup=False)
        with step("API, agents' records, kernels and router agree"):
            console.print(f"[cyan]  $ netmgr check --lab {self.lab.name}[/cyan]")
            subprocess.run([NETMGR, "check", "--lab", self.lab.name, "--wait", "10"], check=True)
        with step("the client outside asks every Pod by its own address"):
            pools = (self.auto_pool(), "nginx-v4-ippool")
            return [self.reach("--pool", pool, "--wait", "10") for pool in pools] == [True, True]

    def router_routes(self) -> list[dict[str, object]]:
        """BGP routes in the router's kernel table."""
        found: list[dict[str, object]] = json.loads(self.lab.run("tor", ["ip", "-j", "route", "show", "proto", "bgp"]).stdout)
        return found


def indent(text: str) -> str:
    """The text, two columns to the right."""
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())


def main() -> int:
    """Run the demonstration; 0 if the verdict is good."""
    began = time.monotonic()
    lab = Lab.open("single-tor")
    was_up = lab.is_up()
    try:
        reached = Demo(lab).run()
        verdict = "every address answers outside the cluster, and the Pods saw the client's own address"
    except (StepFailedError, subprocess.CalledProcessError) as error:
        reached, verdict = False, str(error)
    finally:
        if not was_up:
            with step("the lab is taken down"):
                lab.down()
    word = "[bold green]PASSED[/bold green]" if reached else "[bold red]FAILED[/bold red]"
    console.print(f"\n{word}: {verdict if reached else verdict + '; see the tables above'} ({time.monotonic() - began:.0f} s)")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
