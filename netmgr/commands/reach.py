"""`netmgr reach`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netmgr.commands.options import api_errors_as_messages, kubeconfig_option, output_option

if TYPE_CHECKING:
    from netmgr.api.allocation import IPAllocation
    from netmgr.reach.probe import Question
    from netmgr.reach.targets import Choice
    from netmgr.reach.verdict import Sighting

COLUMNS = ("ADDRESS", "POD", "NODE", "TCP", "HTTP", "SOURCE", "VERDICT")


@click.command(short_help="From outside: does every address answer?")
@kubeconfig_option
@click.option("--pool", default="", help="Addresses of this SpiderIPPool.")
@click.option("--app", "application", default="", metavar="KIND/NAME", help="Addresses of this application: deployment/nginx.")
@click.option("--pod", default="", help="Addresses of this Pod.")
@click.option("--namespace", "-n", default="default", show_default=True, help="Of --app and --pod.")
@click.option("--lab", default="", help="Take the kubeconfig of this lab, and a node of it as vantage point.")
@click.option("--from", "vantage", default="client", show_default=True, metavar="NODE", help="The lab's vantage point.")
@click.option("--port", type=click.IntRange(1, 65535), default=80, show_default=True, help="Port to connect to.")
@click.option("--path", default="/whoami", show_default=True, help="HTTP path; its page may begin with the asker's address.")
@click.option("--tcp", is_flag=True, help="Connect only, no HTTP.")
@click.option("--timeout", type=float, default=3.0, show_default=True, help="Seconds for each connection and each answer.")
@click.option("--wait", type=float, default=0.0, show_default=True, help="Seconds in which what fails is tried again.")
@output_option
def command(
    kubeconfig: Path | None,
    pool: str,
    application: str,
    pod: str,
    namespace: str,
    lab: str,
    vantage: str,
    port: int,
    path: str,
    tcp: bool,
    timeout: float,
    wait: float,
    output: str,
) -> None:
    """Connect to every address of a pool, an application, a Pod or the whole cluster, from outside.

    The vantage point is this machine or, with --lab, a node of a lab. Each address is connected to by TCP and asked by HTTP; where
    the page begins with an address (as /whoami of the lab's nginx does), it must be the vantage point's own: the source is
    preserved. With --output json: {"vantage", "reached", "total", "addresses": [...]}.

    Exit code: 0 every address answered and no source was changed; 1 not so; 2 wrong usage or nothing to ask.
    """
    from netmgr.reach.probe import Question
    from netmgr.reach.targets import Choice, NoTargetError

    if application and "/" not in application:
        raise click.UsageError(f"--app {application!r}: write KIND/NAME, for example deployment/nginx")
    choice = Choice(pool=pool, application=application, pod=pod, namespace=namespace)
    with api_errors_as_messages():
        prefix: list[str] = []
        if lab:
            kubeconfig, prefix = inside_lab(lab, vantage)
        try:
            allocations = asyncio.run(held(kubeconfig, choice))
        except NoTargetError as error:
            raise click.UsageError(str(error)) from error
    addresses = [one.spec.address for one in allocations]
    question = Question(addresses=addresses, port=port, path="" if tcp else path, seconds=timeout, wait=wait)
    seen = {one.address: one for one in ask(prefix, question)}
    pairs = [(one, seen[one.spec.address]) for one in allocations]
    reached = sum(sighting.reached(http=not tcp) for _, sighting in pairs)
    where = f"{lab}/{vantage}" if lab else "this machine"
    if output == "json":
        print_json(pairs, where, reached, http=not tcp)
    else:
        print_table(pairs, http=not tcp)
        click.echo(f"{reached} of {len(pairs)} addresses reached from {where}")
    sys.exit(0 if reached == len(pairs) else 1)


def inside_lab(name: str, node: str) -> tuple[Path, list[str]]:
    """The lab's kubeconfig, and the words that make a command run in one of its nodes."""
    from netmgr.commands.lab import refusals_as_messages
    from topology.lab import Lab

    with refusals_as_messages():
        lab = Lab.open(name)
        return lab.kubeconfig, lab.runtime.inside(node)


async def held(kubeconfig: Path | None, choice: Choice) -> list[IPAllocation]:
    """The chosen allocations."""
    from netmgr.api.allocation import ALLOCATIONS, IPAllocation
    from netmgr.kube.client import Api
    from netmgr.kube.config import load
    from netmgr.reach.targets import chosen

    async with Api(load(kubeconfig), user_agent="netmgr-reach") as api:
        return chosen(await api.list(ALLOCATIONS, IPAllocation), choice)


def ask(prefix: list[str], question: Question) -> list[Sighting]:
    """Run the probe at the vantage point; progress on standard error where it takes more than two seconds."""
    import time

    import msgspec

    from netmgr.reach.verdict import Sighting

    words = [*prefix, sys.executable, "-I", "-m", "netmgr.reach.probe"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if process.stdin is None or process.stdout is None:
        raise click.ClickException("the probe has no pipes")
    process.stdin.write(msgspec.json.encode(question))
    process.stdin.close()
    seen: list[Sighting] = []
    told = time.monotonic()
    for line in process.stdout:
        seen.append(msgspec.json.decode(line, type=Sighting))
        if time.monotonic() - told > 2:
            click.echo(f"{len(seen)} of {len(question.addresses)} asked", err=True)
            told = time.monotonic()
    if process.wait() or len(seen) != len(question.addresses):
        raise click.ClickException(f"the probe ended with {process.returncode} after {len(seen)} addresses")
    return seen


def print_table(pairs: list[tuple[IPAllocation, Sighting]], *, http: bool) -> None:
    """A row for each address."""
    rows = [COLUMNS]
    for one, seen in pairs:
        connected = f"{seen.connect_ms:.1f} ms" if seen.connect_ms >= 0 else "-"
        answered = f"{seen.status} in {seen.answer_ms:.1f} ms" if seen.status else "-"
        source = f"{seen.source} ({seen.seen})" if seen.seen else str(seen.source)
        verdict = "reached" if seen.reached(http=http) else seen.error or ("source changed" if seen.seen else f"HTTP {seen.status}")
        pod = f"{one.spec.pod.namespace}/{one.spec.pod.name}"
        rows.append((seen.address, pod, one.spec.node_name, connected, answered, source, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_json(pairs: list[tuple[IPAllocation, Sighting]], vantage: str, reached: int, *, http: bool) -> None:
    """The same as one JSON object."""
    import json

    import msgspec

    addresses = [
        {
            **msgspec.to_builtins(seen),
            "source": str(seen.source),
            "reached": seen.reached(http=http),
            "node": one.spec.node_name,
            "pool": one.spec.pool,
            "pod": f"{one.spec.pod.namespace}/{one.spec.pod.name}",
        }
        for one, seen in pairs
    ]
    click.echo(json.dumps({"vantage": vantage, "reached": reached, "total": len(pairs), "addresses": addresses}, indent=2))
