"""Options that several commands share, and how API errors end a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ipam.fallback import Fallback, FallbackError, parse_fallback

if TYPE_CHECKING:
    from netmgr.install.objects import Settings

F = TypeVar("F", bound=Callable[..., Any])

kubeconfig_option = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="How to reach the API server [the Pod's service account, else $KUBECONFIG, else ~/.kube/config].",
)
output_option = click.option(
    "--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True, help="What to print."
)


def _fallback(_context: click.Context, _option: click.Parameter, value: str) -> Fallback:
    try:
        return parse_fallback(value)
    except FallbackError as error:
        raise click.BadParameter(str(error)) from error


fallback_option = click.option(
    "--fallback",
    envvar="NETMGR_FALLBACK",
    default="none",
    show_default=True,
    callback=_fallback,
    metavar="none|pool:NAME|delegate:TYPE",
    help="Who gives addresses to Pods that no rule covers.",
)


def settings_options(command: F) -> F:
    """What an administrator may choose about an installation."""
    from netmgr.install.objects import Settings

    known = Settings()
    for option in (
        fallback_option,
        click.option("--api-server", default="", metavar="HOST:PORT", help="Where nodes reach the API without Services."),
        click.option("--replicas", type=click.IntRange(1, 9), default=known.replicas, show_default=True, help="Controllers."),
        click.option("--frr-image", default=known.frr_image, show_default=True, help="Image of FRR."),
        click.option("--image", default=known.image, show_default=True, help="Image of controller, agent and speaker."),
        click.option("--ipam-as", default="", metavar="NAME", help="Answer under this name too, as ipam.type: spiderpool."),
        click.option(
            "--ipam-only", is_flag=True, help="Give addresses to another main plugin (Calico, macvlan), make no interfaces."
        ),
        click.option(
            "--spider-endpoints/--no-spider-endpoints",
            default=known.spider_endpoints,
            show_default=True,
            help="Also show each Pod's addresses as a SpiderEndpoint.",
        ),
        click.option(
            "--metrics-port",
            type=click.IntRange(1, 65535),
            default=known.metrics_port,
            show_default=True,
            help="Port of 127.0.0.1 on which controllers answer /metrics and their probes.",
        ),
        click.option(
            "--follow",
            multiple=True,
            metavar="RESOURCE.GROUP",
            help="Let the controller read this kind of workload, such as rollouts.argoproj.io. May be repeated.",
        ),
        click.option("--webhook-port", type=int, default=known.webhook_port, show_default=True, help="Port on the nodes."),
        click.option("--namespace", default=known.namespace, show_default=True, help="Where netmgr's Pods run."),
    ):
        command = option(command)
    return command


def settings_of(chosen: Mapping[str, Any]) -> Settings:
    """The checked settings; a wrong one is wrong usage (exit code 2)."""
    from netmgr.install.objects import Settings, SettingsError

    try:
        return Settings(**chosen)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


@contextmanager
def api_errors_as_messages() -> Iterator[None]:
    """A refusal of the API server or of the installer ends the command with its message and exit code 1."""
    from netmgr.install.installing import InstallError
    from netmgr.kube.errors import ApiError, ConfigurationError

    try:
        yield
    except (ApiError, ConfigurationError, InstallError) as error:
        raise click.ClickException(str(error)) from error
