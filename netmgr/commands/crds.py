"""`netmgr crds`: the CustomResourceDefinitions as YAML, for `kubectl apply --server-side -f -`."""

from __future__ import annotations

import click

from netmgr.api.definitions import definitions_text


@click.command(short_help="Print the CustomResourceDefinitions as YAML.")
def command() -> None:
    """Print the CustomResourceDefinitions as YAML: `netmgr crds | kubectl apply --server-side -f -`."""
    click.echo(definitions_text(), nl=False)
