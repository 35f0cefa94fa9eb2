"""`netmgr completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell: `eval "$(netmgr completion bash)"`."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"shell {shell!r} is not known; use one of {', '.join(SHELLS)}")
    click.echo(kind(context.find_root().command, {}, "netmgr", "_NETMGR_COMPLETE").source())
