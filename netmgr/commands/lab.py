"""`netmgr lab`: networks to try things in, made of Linux namespaces."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def refusals_as_messages() -> Iterator[None]:
    """A refusal of the lab ends the command with its message and exit code 1."""
    from topology.errors import LabError
    from topology.kubernetes import BuildError

    try:
        yield
    except (LabError, BuildError) as error:
        raise click.ClickException(str(error)) from error


@click.group(short_help="Run clusters and routers in network namespaces.")
def command() -> None:
    """Run labs: containerlab topology files (*.clab.yml) in plain Linux namespaces. Needs root, but no container engine.

    NAME is a lab of topology/labs or the path of a topology file.
    """


@command.command(short_help="Start a lab and wait until its Kubernetes serves.")
@click.argument("name")
def up(name: str) -> None:
    """Start a lab and wait until its Kubernetes serves; a lab that is up stays as it is.

    Its kubeconfig is .lab/NAME/kubeconfig. The nodes are NotReady until `netmgr install` gives them a network.
    """
    from topology.lab import Lab, timed

    with refusals_as_messages():
        lab = Lab.open(name)
        say = timed(lab.name, lambda line: click.echo(line, err=True))
        lab.up(say)
        if lab.kubeconfig.exists():
            say(f"export KUBECONFIG={lab.kubeconfig}")


@command.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="End all labs of this folder.")
def down(name: str | None, everything: bool) -> None:
    """End a lab and leave nothing of it. A lab that is not up is no error."""
    from topology.lab import Lab, started, timed

    if bool(name) == everything:
        raise click.UsageError("give the lab's NAME or --all")
    with refusals_as_messages():
        for lab in started() if everything else [Lab.open(name or "")]:
            lab.down(timed(lab.name, lambda line: click.echo(line, err=True)))


@command.command(short_help="Print the nodes as JSON.")
@click.argument("name")
def inspect(name: str) -> None:
    """Print the nodes as JSON, in containerlab's words; exit code 1 if the lab is not up."""
    from topology.lab import Lab

    with refusals_as_messages():
        lab = Lab.open(name)
        if not lab.runtime.started():
            raise click.ClickException(f"lab {lab.name} is not up; start it with `netmgr lab up {lab.name}`")
        click.echo(json.dumps(lab.inspect(), indent=2))


@command.command(name="exec", short_help="Run a command in a node.", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("node")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, node: str, argv: tuple[str, ...]) -> None:
    """Run a command in a node: `netmgr lab exec single-tor tor -- vtysh -c 'show ip bgp'`. The exit code is the command's."""
    from topology.lab import Lab

    with refusals_as_messages():
        lab = Lab.open(name)
        words, where = [*lab.runtime.inside(node), *argv], lab.runtime.environment(node)
    sys.stdout.flush()
    os.execvpe(words[0], words, {"TERM": os.environ.get("TERM", "dumb"), **where})  # noqa: S606 - no shell is what we want
