"""`netmgr ip`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from netmgr.commands.options import api_errors_as_messages, kubeconfig_option, output_option

if TYPE_CHECKING:
    from ipam.prefix import Address
    from netmgr.addresses.releasing import Outcome
    from netmgr.addresses.telling import Told

REFUSED = 3
LABELS = {"pod_state": "the Pod", "next": "what next"}


def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Addresses that are held, with their Pods; nothing where the cluster does not answer: a shell waits for it."""
    import asyncio

    from netmgr.api.allocation import ALLOCATIONS, IPAllocation
    from netmgr.kube.client import Api
    from netmgr.kube.config import load
    from netmgr.kube.errors import ApiError, ConfigurationError

    async def held() -> list[IPAllocation]:
        async with asyncio.timeout(2), Api(load(context.params.get("kubeconfig")), user_agent="netmgr-ip") as api:
            return await api.list(ALLOCATIONS, IPAllocation)

    try:
        found = asyncio.run(held())
    except (ApiError, ConfigurationError, TimeoutError):
        return []
    return [
        CompletionItem(one.spec.address, help=f"{one.spec.pod.namespace}/{one.spec.pod.name}")
        for one in found
        if one.spec.address.startswith(begun)
    ]


def parsed(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Address, ...]:
    """Addresses of either family; wrong usage where one is none."""
    from ipam.errors import AddressError
    from ipam.prefix import parse_address

    try:
        return tuple(parse_address(value) for value in values)
    except AddressError as error:
        raise click.BadParameter(str(error)) from error


addresses_argument = click.argument(
    "addresses", metavar="ADDRESS...", nargs=-1, required=True, callback=parsed, shell_complete=complete
)


@click.group(short_help="Who has an address, and giving it up.")
def command() -> None:
    """Ask about single addresses. `kubectl get ipa` lists all that are held."""


@command.command(short_help="Who has an address, and what happens next.")
@addresses_argument
@kubeconfig_option
@output_option
def show(addresses: tuple[Address, ...], kubeconfig: Path | None, output: str) -> None:
    """Say who has each address, since when and why, or why nobody has it, and what happens next.

    With --output json: {"addresses": [{address, state, pool, subnet, pod, pod_state, node, interface, claimant, since,
    reason, next}]}.

    Exit code: 0 said; 1 the API server did not answer; 2 wrong usage.
    """
    import asyncio

    from netmgr.addresses.asking import ask

    with api_errors_as_messages():
        told = asyncio.run(ask(kubeconfig, addresses))
    if output == "json":
        print_json({"addresses": told})
    else:
        click.echo("\n\n".join(text_of(one) for one in told))


@command.command(short_help="Free an address on proof.")
@addresses_argument
@kubeconfig_option
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--wait", type=float, default=20.0, show_default=True, help="Seconds to wait for the node's agent.")
@output_option
def release(addresses: tuple[Address, ...], kubeconfig: Path | None, dry_run: bool, wait: float, output: str) -> None:
    """Free addresses that nobody uses: of an ordinal that keeps one, or while it cools down.

    An address is freed on the two proofs that the controller asks for: its Pod is gone, finished or being deleted, and its node's
    agent says that nothing is attached. The agent is asked if need be. Needs the rights of a cluster administrator:
    the admission policy lets nobody else delete an IPAllocation.

    With --output json: {"addresses": [{address, result, why}]}; result is freed, asked (dry run), free or refused.

    Exit code: 0 all are free; 1 the API server said no; 2 wrong usage; 3 one is in use, or its node did not answer.
    """
    import asyncio

    from netmgr.addresses.releasing import Releaser
    from netmgr.kube.client import Api
    from netmgr.kube.config import load

    async def work() -> list[Outcome]:
        async with Api(load(kubeconfig), user_agent="netmgr-ip") as api:
            releaser = Releaser(api, say, seconds=wait, dry_run=dry_run)
            return list(await asyncio.gather(*(releaser.release(address) for address in addresses)))

    with api_errors_as_messages():
        done = asyncio.run(work())
    if output == "json":
        print_json({"addresses": done, "dryRun": dry_run})
    else:
        for one in done:
            click.echo(
                f"{one.address} {'would be ' if dry_run and one.result in {'freed', 'asked'} else ''}{one.result}: {one.why}"
            )
    sys.exit(REFUSED if any(one.result == "refused" for one in done) else 0)


def say(line: str) -> None:
    """Progress, beside what is printed."""
    click.echo(line, err=True)


def text_of(one: Told) -> str:
    """A line for each thing that there is to say."""
    from dataclasses import asdict

    fields = {LABELS.get(name, name): value for name, value in asdict(one).items() if value}
    return "\n".join(f"{name:10} {value}" for name, value in fields.items())


def print_json(content: dict[str, Any]) -> None:
    """Dataclasses as objects."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(content), indent=2).decode())
