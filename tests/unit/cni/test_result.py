from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cni.attachments import Grant, GrantedRoute
from cni.config import NetworkConfig
from cni.errors import BadConfig
from cni.result import ipam_result

V4, V6 = "10.6.0.9", "fd00::9"


def answer(config: dict[str, Any], address: str, length: int, gateway: str = "") -> dict[str, Any]:
    wanted = msgspec.convert({"cniVersion": "1.0.0", "name": "net", **config}, NetworkConfig)
    grant = Grant(name=address, uid="u", address=address, prefix_length=length, gateway=gateway)
    result: dict[str, Any] = msgspec.json.decode(ipam_result(wanted, [grant]))
    return result


@pytest.mark.parametrize(
    ("config", "address", "length", "gateway", "ip", "routes"),
    [
        ({"type": "calico"}, V4, 16, "10.6.0.1", {"address": "10.6.0.9/32"}, []),
        ({"type": "calico"}, V6, 64, "", {"address": "fd00::9/128"}, []),
        ({"type": "ptp"}, V4, 16, "10.6.0.1", {"address": "10.6.0.9/16", "gateway": "10.6.0.1"}, [{"dst": "0.0.0.0/0"}]),
        ({"type": "ptp"}, V4, 16, "", {"address": "10.6.0.9/16", "gateway": "10.6.0.1"}, [{"dst": "0.0.0.0/0"}]),
        ({"type": "ptp"}, "10.6.0.1", 16, "", {"address": "10.6.0.1/16", "gateway": "10.6.255.254"}, [{"dst": "0.0.0.0/0"}]),
        ({"type": "ptp"}, V6, 64, "", {"address": "fd00::9/128", "gateway": "fe80::1"}, [{"dst": "::/0"}]),
        ({"type": "macvlan"}, V4, 16, "", {"address": "10.6.0.9/16"}, []),
        ({"type": "bridge", "isDefaultGateway": True}, V4, 16, "", {"address": "10.6.0.9/16", "gateway": "10.6.0.1"}, []),
        (
            {"type": "ptp", "cniVersion": "0.4.0"},
            V6,
            64,
            "",
            {"address": "fd00::9/128", "version": "6", "gateway": "fe80::1"},
            [{"dst": "::/0"}],
        ),
    ],
)
def test_the_answer_has_the_shape_its_caller_needs(
    config: dict[str, Any], address: str, length: int, gateway: str, ip: dict[str, str], routes: list[dict[str, str]]
) -> None:
    result = answer(config, address, length, gateway)

    assert (result["ips"], result["routes"], "interfaces" in result) == ([ip], routes, False)


def grant(address: str, gateway: str, *routes: str) -> Grant:
    return Grant(
        name=address,
        uid="u",
        address=address,
        prefix_length=16,
        gateway=gateway,
        routes=tuple(GrantedRoute(dst, gateway) for dst in routes),
        clean_gateway=True,
    )


@pytest.mark.parametrize("plugin", ["ptp", "macvlan", "bridge"])
def test_an_interface_without_default_route_keeps_its_gateway_and_its_routes(plugin: str) -> None:
    wanted = NetworkConfig(name="net", type=plugin, cni_version="1.0.0")

    result = msgspec.json.decode(ipam_result(wanted, [grant("10.6.0.9", "10.6.0.1", "192.168.0.0/16")]))

    assert result["ips"] == [{"address": "10.6.0.9/16", "gateway": "10.6.0.1"}]
    assert result["routes"] == [{"dst": "192.168.0.0/16", "gw": "10.6.0.1"}]


def test_a_bridge_that_adds_a_default_route_by_itself_cannot_go_without() -> None:
    with pytest.raises(BadConfig, match="isDefaultGateway"):
        ipam_result(NetworkConfig(name="net", type="bridge", is_default_gateway=True), [grant("10.6.0.9", "10.6.0.1")])
