"""`netmgr uninstall`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from netmgr.commands.install import TIMEOUT
from netmgr.commands.options import api_errors_as_messages, kubeconfig_option, output_option, settings_options

IN_USE = 3


@click.command(short_help="Remove netmgr, unless addresses are in use.")
@kubeconfig_option
@settings_options
@TIMEOUT
@output_option
def command(kubeconfig: Path | None, timeout: float, output: str, **chosen: str | int | bool) -> None:
    """Remove netmgr: its Pods, CRDs with all their objects, accounts, and on each node CNI files, routes and state.

    Objects that somebody else made stay (they lack the installer's label), and so do kinds that were imported, with their objects.

    Exit code: 0 nothing is left; 1 something went wrong; 2 wrong usage; 3 addresses are in use, and nothing was removed.
    """
    import asyncio

    from netmgr.commands.options import settings_of
    from netmgr.install.installing import Written
    from netmgr.install.removing import InUseError, Remover
    from netmgr.kube.client import Api
    from netmgr.kube.config import load

    settings = settings_of(chosen)

    async def work() -> list[Written]:
        async with Api(load(kubeconfig), user_agent="netmgr-install") as api:
            return await Remover(api, settings, say, seconds=timeout).run()

    def say(line: str) -> None:
        click.echo(line, err=output == "json")

    with api_errors_as_messages():
        try:
            done = asyncio.run(work())
        except InUseError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(IN_USE)
    if output == "json":
        json.dump({"objects": [asdict(one) for one in done]}, sys.stdout, indent=2)
        click.echo()
    else:
        click.echo("netmgr is removed")
