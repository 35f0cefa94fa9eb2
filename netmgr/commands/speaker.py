"""`netmgr speaker`."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command(short_help="Keep FRR on this node at what the API says.")
@click.option("--kubeconfig", type=click.Path(path_type=Path, exists=True), help="How to reach the API server.")
@click.option("--node-name", required=True, help="This node's name; NodeBGPState has the same.")
@click.option(
    "--frr-run-dir", type=click.Path(path_type=Path), default=Path("/var/run/frr"), show_default=True, help="FRR's sockets."
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    default=Path("/var/lib/netmgr/frr"),
    show_default=True,
    help="The last good configuration.",
)
def command(kubeconfig: Path | None, node_name: str, frr_run_dir: Path, state_dir: Path) -> None:
    """Keep FRR on this node at what BGPNeighbor, PoolAdvertisement and the accepted pools say.

    Configuration changes are entered as a delta with one vtysh call; sessions and announced prefixes are read back into the
    NodeBGPState of this node. Ends with 0 at SIGTERM and leaves FRR running.
    """
    import uvloop

    from netmgr import log
    from netmgr.speaker.process import run

    log.configure()
    sys.exit(uvloop.run(run(kubeconfig, node_name, frr_run_dir, state_dir)))
