"""`netmgr controller`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ipam.fallback import Fallback
from netmgr.commands.options import fallback_option


@click.command()
@click.option("--kubeconfig", type=click.Path(path_type=Path, exists=True), help="How to reach the API server.")
@click.option(
    "--namespace",
    default=lambda: os.environ.get("POD_NAMESPACE", "kube-system"),
    help="Where Leases live [$POD_NAMESPACE, else kube-system].",
)
@click.option("--identity", default="", help="Name in the leader Lease; unique to this process [host, Pod and process id].")
@click.option(
    "--spider-endpoints/--no-spider-endpoints",
    default=False,
    show_default=True,
    help="Show each Pod's addresses as a SpiderEndpoint too: one more write at a Pod's start and at its end.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Answer /metrics, /healthz and /readyz on this port of 127.0.0.1; 0: nowhere.",
)
@click.option(
    "--repair-every",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Compare everything with live reads so often, and put right what events missed; 0: never.",
)
@click.option("--webhook-address", default="127.0.0.1", show_default=True, help="Where the admission webhook listens.")
@click.option("--webhook-port", type=click.IntRange(0, 65535), default=0, help="Its port; without one there is no webhook.")
@fallback_option
@click.option(
    "--default-network",
    envvar="MULTUS_CLUSTER_NETWORK",
    default="",
    metavar="[NAMESPACE/]NAME",
    help="NetworkAttachmentDefinition of eth0 where a Pod names none, for pools with spec.multusName [$MULTUS_CLUSTER_NETWORK].",
)
def command(
    kubeconfig: Path | None,
    namespace: str,
    identity: str,
    spider_endpoints: bool,
    metrics_port: int,
    repair_every: float,
    webhook_address: str,
    webhook_port: int,
    fallback: Fallback,
    default_network: str,
) -> None:
    """Decide pools and addresses for the whole cluster.

    Several may run; one leads (Lease `netmgr-controller`), the others keep warm copies. Ends with 0 at SIGTERM, after its writes in
    flight, and with 1 when it lost the Lease: start it again.
    """
    import uvloop

    from netmgr import log
    from netmgr.controller.process import Options, run

    log.configure()
    options = Options(
        spider_endpoints=spider_endpoints,
        metrics_port=metrics_port,
        repair_seconds=repair_every,
        webhook_address=webhook_address,
        webhook_port=webhook_port,
        fallback=fallback,
        default_network=default_network,
    )
    sys.exit(uvloop.run(run(kubeconfig, namespace, identity, options)))
