"""`netmgr version`."""

from __future__ import annotations

import click

import netmgr


@click.command()
def command() -> None:
    """Print the version of netmgr."""
    click.echo(netmgr.__version__)
