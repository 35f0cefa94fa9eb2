"""`netmgr import`."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netmgr.commands.options import api_errors_as_messages, kubeconfig_option, output_option

if TYPE_CHECKING:
    from netmgr.importing.found import Finding
    from netmgr.importing.importing import Report

REFUSED = 3
SHOWN = 20  # findings of one rule that the table lists


@click.group(short_help="Take over a cluster from another product.")
def command() -> None:
    """Take over a cluster's pools and addresses from another product."""


@command.command(short_help="From Spiderpool: pools, subnets and the addresses of running Pods.")
@kubeconfig_option
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and what does not fit. Spiderpool may still run.")
@click.option("--even-if-running", is_flag=True, help="Import although Spiderpool's controller or agents still run.")
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to wait for the kinds to be served.")
@output_option
def spiderpool(kubeconfig: Path | None, dry_run: bool, even_if_running: bool, timeout: float, output: str) -> None:
    """Take over SpiderSubnets, SpiderIPPools, SpiderReservedIPs, SpiderEndpoints and the addresses of Pods from Spiderpool.

    Creates an IPAllocation for each address in use, makes Spiderpool's kinds and auto pools netmgr's, replaces its finalizers and
    removes its webhooks. No Pod is touched. It may be run again at any time. docs/import.md has the whole way.

    With --output json: {"dryRun", "allocations": [...], "known", "changed": [...], "findings": [{rule, object, message, remedy,
    harmless}], "running": [...]}.

    Exit code: 0 done, or nothing to do; 1 something does not fit (nothing is lost; each finding says what to do); 2 wrong usage;
    3 Spiderpool still runs, and nothing was changed.
    """
    import asyncio

    from netmgr.importing.importing import Importer, RefusedError
    from netmgr.kube.client import Api
    from netmgr.kube.config import load

    async def work() -> Report:
        async with Api(load(kubeconfig), user_agent="netmgr-import") as api:
            return await Importer(api, say, dry_run=dry_run, even_if_running=even_if_running, seconds=timeout).run()

    with api_errors_as_messages():
        try:
            report = asyncio.run(work())
        except RefusedError as error:
            click.echo(f"Error: {error}. Nothing was changed", err=True)
            sys.exit(REFUSED)
    if output == "json":
        print_json(report, dry_run=dry_run)
    else:
        print_table(report, dry_run=dry_run)
    sys.exit(1 if report.conflicts else 0)


def say(line: str) -> None:
    """Progress, beside what is printed."""
    click.echo(line, err=True)


def print_json(report: Report, *, dry_run: bool) -> None:
    """Everything."""
    import json
    from dataclasses import asdict

    addresses = [body["spec"] for body in report.allocations]
    everything = {
        "dryRun": dry_run,
        "allocations": addresses,
        "known": report.known,
        "changed": list(report.changed),
        "findings": [asdict(one) for one in report.findings],
        "running": list(report.running),
    }
    click.echo(json.dumps(everything, indent=2))


def print_table(report: Report, *, dry_run: bool) -> None:
    """Findings by rule, then a summary."""
    by_rule: defaultdict[str, list[Finding]] = defaultdict(list)
    for one in report.findings:
        by_rule[one.rule].append(one)
    for rule, many in by_rule.items():
        for one in many[:SHOWN]:
            click.echo(f"{rule:18} {one.object}: {one.message}. {one.remedy}")
        if len(many) > SHOWN:
            click.echo(f"{rule:18} and {len(many) - SHOWN} more; --output json lists them all")
    for what in report.running:
        click.echo(f"{'still running':18} {what}")
    if dry_run:
        for title in report.changed:
            click.echo(f"{'would change':18} {title}")
    would = "would be " if dry_run else ""
    click.echo(
        f"{len(report.allocations)} addresses {would}taken over ({report.known} were before), {len(report.changed)} objects "
        f"{would}changed; looked at {report.subnets} subnets, {report.pools} pools, {report.endpoints} endpoints, "
        f"{report.pods} Pods; {len(report.conflicts)} conflicts"
    )
