"""`netmgr why`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from netmgr.commands.options import api_errors_as_messages, kubeconfig_option, output_option

LACKS = 3


@click.command(short_help="Why a Pod has its addresses, or none.")
@click.argument("pod", metavar="[NAMESPACE/]POD")
@click.option("--namespace", "-n", default="default", show_default=True, help="The Pod's namespace, unless POD says it.")
@click.option("--system-namespace", default="netmgr-system", show_default=True, help="Where netmgr runs.")
@kubeconfig_option
@output_option
def command(pod: str, namespace: str, system_namespace: str, kubeconfig: Path | None, output: str) -> None:
    """Say which rule gives a Pod its addresses, and of each pool why it may serve the Pod or why not.

    It is the controller's own decision, made again from the cluster as it is now; nothing is written.

    Exit code: 0 the Pod has all its addresses or needs none; 1 the API server did not answer, or there is no such Pod; 2 wrong
    usage; 3 the Pod lacks an address.
    """
    import asyncio

    from netmgr.kube.client import Api
    from netmgr.kube.config import load
    from netmgr.why.answer import Answer
    from netmgr.why.asking import ask

    home, _, name = pod.rpartition("/")

    async def work() -> Answer:
        async with Api(load(kubeconfig), user_agent="netmgr-why") as api:
            return await ask(api, system_namespace, home or namespace, name)

    with api_errors_as_messages():
        answer = asyncio.run(work())
    click.echo(json.dumps(answer.as_json(), indent=2) if output == "json" else "\n".join(answer.lines()))
    sys.exit(0 if answer.is_served else LACKS)
