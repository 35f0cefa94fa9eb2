"""`netmgr agent`: the process on each node that answers CNI calls."""

from __future__ import annotations

from pathlib import Path

import click

from ipam.fallback import Fallback
from netmgr import log
from netmgr.commands.options import fallback_option

FILE = click.Path(path_type=Path)


@click.command()
@click.option("--kubeconfig", type=FILE, help="How to reach the API server; without it the Pod's service account.")
@click.option("--node-name", envvar="NODE_NAME", required=True, help="The node whose allocations are watched.")
@click.option(
    "--socket", type=FILE, default=Path("/run/netmgr/cni.sock"), show_default=True, help="Where the plugin finds the agent."
)
@click.option("--state-dir", type=FILE, default=Path("/run/netmgr/state"), show_default=True, help="Attachment records; on tmpfs.")
@click.option(
    "--namespace", envvar="POD_NAMESPACE", default="kube-system", show_default=True, help="Namespace of the agent's Lease."
)
@click.option("--add-deadline", type=float, default=60.0, show_default=True, help="Seconds that ADD waits for an allocation.")
@fallback_option
@click.option("--cni-conf-dir", type=FILE, help="Install the CNI configuration here once ADD can be answered.")
@click.option(
    "--cni-bin-dir", type=FILE, default=Path("/opt/cni/bin"), show_default=True, help="Where the plugin binaries go then."
)
@click.option("--plugin-dir", type=FILE, default=Path("/usr/libexec/netmgr"), show_default=True, help="Where they come from.")
@click.option(
    "--ipam-only", is_flag=True, help="Install the binaries alone: another main plugin's configuration names netmgr-ipam."
)
@click.option(
    "--ipam-as", default="", metavar="NAME", help="Install netmgr-ipam under this name too: for configurations that say it."
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port on loopback for /metrics, /healthz and /readyz; 0: none.",
)
@click.option("--cleanup", is_flag=True, help="Remove what --cni-conf-dir installed, and exit.")
def command(
    kubeconfig: Path | None,
    node_name: str,
    socket: Path,
    state_dir: Path,
    namespace: str,
    add_deadline: float,
    fallback: Fallback,
    cni_conf_dir: Path | None,
    cni_bin_dir: Path,
    plugin_dir: Path,
    ipam_only: bool,
    ipam_as: str,
    metrics_port: int,
    cleanup: bool,
) -> None:
    """Answer CNI calls of one node from memory.

    Watches the node's allocations, keeps a record of each attachment and reports its end. Without --cni-conf-dir it
    changes nothing on the host but what CNI calls ask for.
    """
    log.configure()
    if cleanup:
        from cni import conflist

        if cni_conf_dir is None:
            raise click.UsageError("--cleanup needs --cni-conf-dir: the folder that was installed to")
        for file in conflist.remove(cni_conf_dir, cni_bin_dir, plugin_dir):
            click.echo(f"removed {file}")
        return
    import uvloop

    from cni.conflist import Mode
    from netmgr.agent.process import AgentSettings, run_agent

    settings = AgentSettings(
        kubeconfig=kubeconfig,
        node=node_name,
        socket=socket,
        state_dir=state_dir,
        namespace=namespace,
        deadline=add_deadline,
        fallback=fallback,
        conf_dir=cni_conf_dir,
        bin_dir=cni_bin_dir,
        plugin_dir=plugin_dir,
        mode=Mode(ipam_only=ipam_only, ipam_as=ipam_as),
        metrics_port=metrics_port,
    )
    uvloop.run(run_agent(settings))
