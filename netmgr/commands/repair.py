"""`netmgr repair`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netmgr.commands.options import api_errors_as_messages, kubeconfig_option, output_option

if TYPE_CHECKING:
    from netmgr.audit.damage import Damage

Outcome = list[tuple["Damage", bool]]
"""Each damage, and whether it was put right."""


@click.command(short_help="Find and put right what went wrong behind the controller's back.")
@kubeconfig_option
@click.option(
    "--namespace", default="netmgr-system", show_default=True, help="Where netmgr's Pods run (the agents' Leases are there)."
)
@click.option("--dry-run", is_flag=True, help="Say what is wrong and what would be done, and change nothing.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="A damage counts that is there twice, so long apart: a cluster in motion shows some for moments.",
)
@output_option
def command(kubeconfig: Path | None, namespace: str, dry_run: bool, wait: float, output: str) -> None:
    """Compare allocations, pools, books, finalizers and Pods by live reads, and put right what the controller would.

    The leading controller does the same each five minutes. The rules are those of any event: an address is freed only when its Pod
    is proved gone and nothing is attached. Freeing and deleting needs an administrator of the cluster. With --output
    json: {"damage": [{kind, object, message, remedy, repaired}], "dryRun": ...}.

    Exit code: 0 nothing is wrong, or all was put right; 1 something is wrong still (or would be: --dry-run); 2 wrong usage.
    """
    from netmgr.audit.damage import REMEDY

    with api_errors_as_messages():
        done = asyncio.run(work(kubeconfig, namespace, dry_run=dry_run, wait=wait))
    left = sum(not repaired for _, repaired in done)
    if output == "json":
        damage = [
            {"kind": one.kind, "object": title(one), "message": one.message, "remedy": REMEDY[one.kind], "repaired": repaired}
            for one, repaired in done
        ]
        click.echo(json.dumps({"damage": damage, "dryRun": dry_run}, indent=2))
    else:
        for one, repaired in done:
            click.echo(f"{one.kind:25} {title(one)}: {one.message}\n{'':25} {'done' if repaired else 'remedy'}: {REMEDY[one.kind]}")
        click.echo(f"{len(done) or 'no'} damage{'s' if len(done) > 1 else ''}, {len(done) - left} put right")
    sys.exit(1 if left else 0)


def title(one: Damage) -> str:
    """The object, as kubectl takes it."""
    about = one.about
    return f"{about.kind.lower()}/{about.name}" + (f" -n {about.namespace}" if about.namespace else "")


async def work(kubeconfig: Path | None, namespace: str, *, dry_run: bool, wait: float) -> Outcome:
    """Look, and act unless it is a dry run: with the controller's own handlers, without leading."""
    from netmgr.audit.damage import Kind
    from netmgr.controller.process import Controller
    from netmgr.controller.repairing import nudge
    from netmgr.kube.client import Api
    from netmgr.kube.config import load

    async with Api(load(kubeconfig), user_agent="netmgr-repair") as api:
        controller = Controller(api, namespace)
        async with controller.world.running():
            await controller.delegations.load()
            found = await controller.repairs.find(wait)
            if dry_run:
                return [(one, False) for one in found]
            wait_for = {one.name for one in found if one.kind is Kind.POD_WAITS}

            async def at_once(key: tuple[str, str]) -> None:
                """Handlers do their work here, but for claims: only the leader, with its options, chooses addresses."""
                if key[0] == "pod" and key[1] in wait_for:
                    await nudge(controller.world, key[1])
                else:
                    await controller.handle(key)

            done = [(one, await controller.repairs.mend(one, at_once)) for one in found]
            await controller.events.flush()
            return done
