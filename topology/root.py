"""The private root of a lab node, as the script its first process runs. Pure: text in, text out.

The machine's files lie below (overlay), the node's own writes above (tmpfs), with a /run, /tmp, /proc and /sys of its own; the
machine's cgroups are bound back, since the kubelet needs them. Everything a program sees is then as in a container: /etc/frr,
ports, host name. The script ends by becoming the node's command, as process 1 of the node's PID namespace.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from topology.clab import Bind, Node

READY = "/run/lab-node-ready"
IDLE = ("sleep", "infinity")
UPPER_SIZE = "1g"


def init_script(node: Node, work: Path, visible: Sequence[Path], volumes: Path) -> str:
    """The script of one node.

    `work` is an empty folder for mounts. `visible` are folders that the node sees where they are, read-only, even where its
    private /tmp or /run would hide them. `volumes` holds the node's volumes, which are on disk and not on the overlay.
    """
    root = work / "root"
    lines = [
        "set -e",
        "mount --make-rprivate /",
        f"mount -t tmpfs -o mode=755,size={UPPER_SIZE} lab {quote(str(work))}",
        f"cd {quote(str(work))}",
        "mkdir upper work root",
        f"mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work {quote(node.name)} root",
        "mkdir -p root/.machine root/run root/tmp",
        "mount --rbind /dev root/dev",
        "mount -t sysfs sysfs root/sys",
        "mount --rbind /sys/fs/cgroup root/sys/fs/cgroup",
        "mount -t proc proc root/proc",
        "mount -t tmpfs -o mode=755 run root/run",
        "mkdir -p root/run/lock root/run/netns",
        "mount -t tmpfs -o mode=1777 tmp root/tmp",
        *(line for folder in visible for line in mount(Bind(source=folder, target=str(folder), read_only=True), root)),
        *(line for name, target in node.volumes for line in volume(volumes / name, target, root)),
        *(line for bind in node.binds for line in mount(bind, root)),
        "cd root",
        "pivot_root . .machine",
        "umount -l /.machine",
        "rmdir /.machine",
        "cd /",
        "mount --make-rshared /",
        f"hostname {quote(node.name)}",
        f"printf '127.0.0.1 localhost %s\\n::1 localhost\\n' {quote(node.name)} > /etc/hosts",
        *(f"sysctl -qw {quote(f'{key}={value}')}" for key, value in node.sysctls.items()),
        f"touch {READY}",
        f"exec {' '.join(quote(word) for word in node.command or IDLE)}",
    ]
    return "\n".join(lines) + "\n"


def mount(bind: Bind, root: Path) -> list[str]:
    """Lines that make a file or folder of the machine visible in the node."""
    source, target = quote(str(bind.source)), quote(f"{root}{bind.target}")
    lines = [
        f"if [ -d {source} ]; then mkdir -p {target}; else mkdir -p $(dirname {target}); [ -e {target} ] || : > {target}; fi",
        f"mount --bind {source} {target}",
    ]
    return [*lines, f"mount -o remount,bind,ro {target}"] if bind.read_only else lines


def volume(source: Path, target: str, root: Path) -> list[str]:
    """Lines that give the node a folder on disk."""
    return [f"mkdir -p {quote(str(source))}", *mount(Bind(source=source, target=target), root)]
