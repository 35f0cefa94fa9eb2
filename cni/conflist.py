"""I/O: netmgr's CNI configuration and plugin binaries on the host. Written only once ADD can be answered.

The runtime takes the first file of the folder in byte order, so ours is `05-netmgr.conflist`. Every file is written aside
and renamed: the runtime watches the folder and never sees half a file. Removal touches our names only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cni.config import IPAM_PLUGIN, MAIN_PLUGIN

FILE = "05-netmgr.conflist"
BINARIES = (MAIN_PLUGIN, IPAM_PLUGIN)
HOST_LOCAL = "host-local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """What the node gets. `ipam_only`: no configuration, another main plugin's names us; `ipam_as`: a further name that it uses.

    `fallback` is the IPAM plugin for Pods that no rule covers, `ranges` the node's prefixes, which host-local has to be told.
    """

    ipam_only: bool = False
    ipam_as: str = ""
    fallback: str = ""
    ranges: tuple[str, ...] = ()


def render(socket: Path, mode: Mode, mtu: int = 1500) -> bytes:
    """The configuration: our main plugin, with what the fallback plugin needs, then portmap for hostPort."""
    plugins = [
        {"type": MAIN_PLUGIN, "socket": str(socket), "mtu": mtu, **ipam_of(mode)},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    content = {"cniVersion": "1.0.0", "name": "netmgr", "plugins": plugins}
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def ipam_of(mode: Mode) -> dict[str, Any]:
    """The `ipam` section, in which the fallback plugin finds its settings; none where it could not work with it."""
    if mode.fallback == HOST_LOCAL:
        return {"ipam": {"type": HOST_LOCAL, "ranges": [[{"subnet": one}] for one in mode.ranges]}} if mode.ranges else {}
    return {"ipam": {"type": mode.fallback}} if mode.fallback else {}


def install(conf_dir: Path, bin_dir: Path, plugin_dir: Path, socket: Path, mode: Mode = Mode()) -> list[Path]:
    """Binaries first, then the configuration that names them; the files that were not there or were different."""
    wanted = [(bin_dir / name, (plugin_dir / name).read_bytes(), 0o755) for name in BINARIES]
    if mode.ipam_as:
        wanted.append((bin_dir / mode.ipam_as, (plugin_dir / IPAM_PLUGIN).read_bytes(), 0o755))
    if not mode.ipam_only:
        wanted.append((conf_dir / FILE, render(socket, mode), 0o644))
    return [file for file, content, access in wanted if _write(file, content, access)]


def remove(conf_dir: Path, bin_dir: Path, plugin_dir: Path) -> list[Path]:
    """Take our files away, configuration first, and our program under whatever name; those that were there."""
    names = [bin_dir / name for name in BINARIES]
    ours = plugin_dir / IPAM_PLUGIN
    if ours.is_file() and bin_dir.is_dir():
        content = ours.read_bytes()
        names += [file for file in sorted(bin_dir.iterdir()) if file not in names and _is(file, content)]
    gone = [file for file in (conf_dir / FILE, *names) if file.exists()]
    for file in gone:
        file.unlink()
    return gone


def _is(file: Path, content: bytes) -> bool:
    return file.is_file() and file.stat().st_size == len(content) and file.read_bytes() == content


def _write(file: Path, content: bytes, mode: int) -> bool:
    if file.is_file() and file.read_bytes() == content:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.netmgr")
    aside.write_bytes(content)
    aside.chmod(mode)
    aside.rename(file)
    return True
