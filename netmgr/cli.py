"""The `netmgr` command: a table of command names and the modules that hold them, loaded when called."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "install": "netmgr.commands.install",
    "uninstall": "netmgr.commands.uninstall",
    "import": "netmgr.commands.importing",
    "controller": "netmgr.commands.controller",
    "agent": "netmgr.commands.agent",
    "crds": "netmgr.commands.crds",
    "reach": "netmgr.commands.reach",
    "check": "netmgr.commands.check",
    "why": "netmgr.commands.why",
    "ip": "netmgr.commands.ip",
    "repair": "netmgr.commands.repair",
    "speaker": "netmgr.commands.speaker",
    "lab": "netmgr.commands.lab",
    "completion": "netmgr.commands.completion",
    "version": "netmgr.commands.version",
}


class LazyGroup(click.Group):
    """Imports a command's module only when that command runs: `netmgr version` must not import aiohttp."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of all commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of that name, or nothing."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = import_module(module).command
        assert isinstance(command, click.Command)  # noqa: S101 - the table above names commands only
        return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Fixed IP addresses for whole applications on Kubernetes, announced over BGP and proved reachable from outside.

    An administrator declares a SpiderSubnet, an application owner writes one annotation; netmgr makes the pool, hands
    its addresses out through CNI, announces them and checks from outside that they answer.
    """
