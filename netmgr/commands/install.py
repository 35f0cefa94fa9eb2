"""`netmgr install`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from netmgr.commands.options import api_errors_as_messages, kubeconfig_option, output_option, settings_options

TIMEOUT = click.option("--timeout", type=float, default=180.0, show_default=True, help="Seconds that each wait may take.")


@click.command()
@kubeconfig_option
@settings_options
@click.option("--render", is_flag=True, help="Print the manifests as YAML, for GitOps, and change nothing; needs no cluster.")
@click.option("--dry-run", is_flag=True, help="Let the API server check everything and change nothing.")
@TIMEOUT
@output_option
def command(kubeconfig: Path | None, render: bool, dry_run: bool, timeout: float, output: str, **chosen: str | int | bool) -> None:
    """Install netmgr, or bring an installation up to this version.

    Applies CRDs, accounts with least privilege, admission policies, the controller (Deployment), agents and speakers (DaemonSets),
    and waits until they are ready. The agents write the node's CNI configuration once they can answer ADD. Running it again
    changes nothing.

    Exit code: 0 all is ready; 1 it is not, or the cluster is not fit for it (the message says why); 2 wrong usage.
    """
    from netmgr.commands.options import settings_of
    from netmgr.install import objects

    settings = settings_of(chosen)
    if render:
        everything = [*objects.custom_resources(), *objects.objects(settings), *objects.defaults(settings)]
        click.echo(objects.as_text(everything), nl=False)
        return
    import asyncio

    from netmgr.install.installing import Installer, Written
    from netmgr.kube.client import Api
    from netmgr.kube.config import load

    async def work() -> list[Written]:
        async with Api(load(kubeconfig), user_agent="netmgr-install") as api:
            return await Installer(api, settings, say, seconds=timeout, dry_run=dry_run).run()

    def say(line: str) -> None:
        click.echo(line, err=output == "json")

    with api_errors_as_messages():
        done = asyncio.run(work())
    if output == "json":
        json.dump({"objects": [asdict(one) for one in done], "dryRun": dry_run}, sys.stdout, indent=2)
        click.echo()
    else:
        click.echo("netmgr would be installed" if dry_run else "netmgr is installed and ready")
