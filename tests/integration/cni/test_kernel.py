"""Netlink against the real kernel, in a namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni import kernel, rtnetlink
from cni.errors import KernelRefused
from cni.netlink import Netlink, NetlinkError
from ipam.prefix import parse_address, parse_prefix


@pytest.fixture
def namespace() -> Iterator[str]:
    """A namespace's name; its loopback has 10.77.0.9 and fd00:77::9."""
    name = f"nmk-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "-n", name, "addr", "add", "10.77.0.9/32", "dev", "lo"], check=True)
        subprocess.run(["ip", "-n", name, "addr", "add", "fd00:77::9/128", "dev", "lo"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.parametrize("address", ["10.77.0.9", "fd00:77::9"])
def test_the_namespace_that_has_an_address_is_found(namespace: str, address: str) -> None:
    assert kernel.namespace_with(parse_address(address)) == f"/run/netns/{namespace}"


@pytest.mark.parametrize("address", ["10.77.0.8", "fd00:77::8"])
def test_an_address_that_no_namespace_has_is_found_nowhere(namespace: str, address: str) -> None:
    assert kernel.namespace_with(parse_address(address)) is None


def test_a_refusal_carries_the_kernels_own_words(namespace: str) -> None:
    with kernel._entered(f"/run/netns/{namespace}"), Netlink() as socket, pytest.raises(NetlinkError) as refused:
        socket.ask(rtnetlink.route_by(parse_prefix("0.0.0.0/0"), parse_address("10.99.0.1"), 1))

    assert str(refused.value) == "Network is unreachable: Nexthop has invalid gateway"


def test_a_dump_of_many_addresses_comes_whole(namespace: str, tmp_path: Path) -> None:
    batch = tmp_path / "batch"
    batch.write_text("".join(f"addr add 10.78.{number // 250}.{number % 250 + 1}/32 dev lo\n" for number in range(2000)))
    subprocess.run(["ip", "-n", namespace, "-batch", str(batch)], check=True)

    with kernel._entered(f"/run/netns/{namespace}"), Netlink() as socket:
        found = socket.dump(rtnetlink.addresses_of(parse_address("10.78.0.1").family))

    assert len(found) == 2002  # with the two that loopback had


def test_a_file_that_is_no_namespace_any_more_does_not_hide_the_others(namespace: str, tmp_path: Path) -> None:
    (tmp_path / "a-left-over").touch()
    (tmp_path / "b").symlink_to(f"/run/netns/{namespace}")

    assert kernel.namespace_with(parse_address("10.77.0.9"), tmp_path) == str(tmp_path / "b")


def test_a_namespace_that_cannot_be_looked_into_is_no_proof(tmp_path: Path) -> None:
    (tmp_path / "of-another-kind").symlink_to("/proc/self/ns/uts")  # setns(2) refuses it as a network namespace

    with pytest.raises(KernelRefused):
        kernel.namespace_with(parse_address("10.77.0.9"), tmp_path)
