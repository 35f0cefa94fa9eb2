"""`netmgr check`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netmgr.commands.options import api_errors_as_messages, kubeconfig_option, output_option

if TYPE_CHECKING:
    from netmgr.audit.findings import View

AGAIN_SECONDS = 0.5


@click.command(short_help="Inside: do API, nodes and router agree?")
@kubeconfig_option
@click.option("--lab", default="", help="Take the kubeconfig of this lab, and look into its nodes and its router too.")
@click.option("--router", default="tor", show_default=True, metavar="NODE", help="The lab's router.")
@click.option("--wait", type=float, default=3.0, show_default=True, help="Seconds in which a finding may still go away.")
@output_option
def command(kubeconfig: Path | None, lab: str, router: str, wait: float, output: str) -> None:
    """Compare what the API says with what is really there, and list everything that does not agree.

    Always: allocations, Pods, pools and their counts. With --lab also each node's attachment records and kernel routes, and the
    router's kernel table: one route for each address, through the node that hosts it, and nothing else. A cluster in motion is
    read again until --wait seconds have passed. With --output json: {"violations": [{rule, object, message}], "compared": {...}}.

    Exit code: 0 everything agrees; 1 not so; 2 wrong usage.
    """
    from netmgr.audit.findings import findings, summary

    deadline = time.monotonic() + wait
    while True:
        with api_errors_as_messages():
            view = read(kubeconfig, lab, router)
        found = findings(view)
        if not found or time.monotonic() >= deadline:
            break
        time.sleep(AGAIN_SECONDS)
    compared = summary(view)
    if output == "json":
        click.echo(json.dumps({"violations": [asdict(one) for one in found], "compared": compared}, indent=2))
    else:
        for one in found:
            click.echo(f"{one.rule:22} {one.object}: {one.message}")
        words = ", ".join(f"{count} {name}" for name, count in compared.items())
        click.echo(f"{len(found) or 'no'} violation{'' if len(found) == 1 else 's'}; compared {words}")
    sys.exit(1 if found else 0)


def read(kubeconfig: Path | None, lab: str, router: str) -> View:
    """What there is to compare."""
    from netmgr.audit.reading import read_api, read_lab
    from netmgr.commands.lab import refusals_as_messages
    from topology.lab import Lab

    if not lab:
        return asyncio.run(read_api(kubeconfig))
    with refusals_as_messages():
        opened = Lab.open(lab)
        if not opened.is_up():
            raise click.ClickException(f"lab {lab} is not up; start it with `netmgr lab up {lab}`")
        return read_lab(opened, router, asyncio.run(read_api(opened.kubeconfig)))
