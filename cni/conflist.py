"""I/O: netmgr's CNI configuration and plugin binaries on the host. Written only once ADD can be answered.

The runtime takes the first file of the folder in byte order, so ours is `05-netmgr.conflist`. Every file is written aside
and renamed: the runtime watches the folder and never sees half a file. Removal touches our names only.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from cni.config import IPAM_PLUGIN, MAIN_PLUGIN

FILE = "05-netmgr.conflist"
BINARIES = (MAIN_PLUGIN, IPAM_PLUGIN)


def render(socket: Path, mtu: int = 1500) -> bytes:
    """The configuration: our main plugin, then portmap for hostPort."""
    plugins = [
        {"type": MAIN_PLUGIN, "socket": str(socket), "mtu": mtu},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    content = {"cniVersion": "1.0.0", "name": "netmgr", "plugins": plugins}
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def install(conf_dir: Path, bin_dir: Path, plugin_dir: Path, socket: Path) -> list[Path]:
    """Binaries first, then the configuration that names them; the files that were not there or were different."""
    wanted = [(bin_dir / name, (plugin_dir / name).read_bytes(), 0o755) for name in BINARIES]
    wanted.append((conf_dir / FILE, render(socket), 0o644))
    return [file for file, content, mode in wanted if _write(file, content, mode)]


def remove(conf_dir: Path, bin_dir: Path) -> list[Path]:
    """Take our files away, configuration first; those that were there."""
    gone = [file for file in (conf_dir / FILE, *(bin_dir / name for name in BINARIES)) if file.exists()]
    for file in gone:
        file.unlink()
    return gone


def _write(file: Path, content: bytes, mode: int) -> bool:
    if file.is_file() and file.read_bytes() == content:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.netmgr")
    aside.write_bytes(content)
    aside.chmod(mode)
    aside.rename(file)
    return True
