"""What the node's CNI folders get, and what is left of it afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cni.conflist import Mode, install, remove, render

SOCKET = Path("/run/netmgr/cni.sock")
HOST_LOCAL = {"type": "host-local", "ranges": [[{"subnet": "10.9.1.0/24"}], [{"subnet": "fd09::/64"}]]}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Configuration, binaries (with somebody else's), and where ours come from."""
    conf, binaries, plugins = (tmp_path / name for name in ("net.d", "bin", "plugins"))
    for folder in (conf, binaries, plugins):
        folder.mkdir()
    for name in ("netmgr", "netmgr-ipam"):
        (plugins / name).write_text("ours")
    (binaries / "spiderpool").write_text("Spiderpool's")
    (binaries / "calico").write_text("else")
    return conf, binaries, plugins


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_the_main_plugin_is_named_by_a_configuration_of_ours(folders: tuple[Path, Path, Path]) -> None:
    install(*folders, SOCKET)
    assert (names(folders[0]), names(folders[1])) == (["05-netmgr.conflist"], ["calico", "netmgr", "netmgr-ipam", "spiderpool"])
    assert (folders[1] / "spiderpool").read_text() == "Spiderpool's"


def test_another_main_plugin_keeps_its_configuration_and_finds_us_under_the_name_it_uses(folders: tuple[Path, Path, Path]) -> None:
    mode = Mode(ipam_only=True, ipam_as="spiderpool")
    assert names(folders[0]) == []
    assert folders[1] / "spiderpool" in install(*folders, SOCKET, mode)
    assert ((folders[1] / "spiderpool").read_text(), names(folders[0])) == ("ours", [])
    assert install(*folders, SOCKET, mode) == []


def test_what_is_removed_is_ours_under_whatever_name(folders: tuple[Path, Path, Path]) -> None:
    install(*folders, SOCKET, Mode(ipam_as="spiderpool"))
    remove(*folders)
    assert (names(folders[0]), names(folders[1])) == ([], ["calico"])


def test_a_plugin_that_its_owner_put_back_stays(folders: tuple[Path, Path, Path]) -> None:
    install(*folders, SOCKET, Mode(ipam_as="spiderpool"))
    (folders[1] / "spiderpool").write_text("Spiderpool's")
    remove(*folders)
    assert names(folders[1]) == ["calico", "spiderpool"]


@pytest.mark.parametrize(
    ("mode", "section"),
    [
        (Mode(), None),
        (Mode(fallback="calico-ipam"), {"type": "calico-ipam"}),
        (Mode(fallback="host-local", ranges=("10.9.1.0/24", "fd09::/64")), HOST_LOCAL),
        (Mode(fallback="host-local"), None),
    ],
)
def test_the_configuration_has_what_the_fallback_plugin_needs(mode: Mode, section: dict[str, object] | None) -> None:
    assert json.loads(render(SOCKET, mode))["plugins"][0].get("ipam") == section
