"""The answer of an ADD, shaped for who asked. Pure; CNI specification section 5, and what each main plugin accepts.

| caller (`type` in the configuration) | address | gateway | routes | interfaces |
| --- | --- | --- | --- | --- |
| `calico` | /32, /128 | none | none | none (Calico would point at the wrong one) |
| `ptp`, `bridge` with isGateway | subnet's length | the pool's, else the subnet's first or last host | default, pool's | none |
| `bridge` with isDefaultGateway | subnet's length | as above | the pool's only: bridge adds the default itself | none |
| `macvlan`, `bridge`, others | subnet's length | the pool's, if any | default if there is a gateway, pool's | none |
| `netmgr` (ourselves) | /32, /128 | 169.254.1.1, fe80::1 | default, pool's | host end, Pod end |

With `clean_gateway` there is no default route in any of them; `bridge` with isDefaultGateway would add one and is refused.
Debian's ptp 1.1.1 fails on an IPv4 /32 and on a gateway outside the mask; on IPv6 it accepts /128 with fe80::1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from cni.attachments import Grant
from cni.config import NetworkConfig
from cni.errors import BadConfig
from ipam.prefix import Address, AddressFamily, parse_address

GATEWAYS = {AddressFamily.IPV4: "169.254.1.1", AddressFamily.IPV6: "fe80::1"}
DEFAULTS = {AddressFamily.IPV4: "0.0.0.0/0", AddressFamily.IPV6: "::/0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One interface of the result; `sandbox` is empty for the host's end."""

    name: str
    mac: str
    sandbox: str = ""


def ipam_result(config: NetworkConfig, grants: Sequence[Grant]) -> bytes:
    """The answer of `netmgr-ipam` to the main plugin of this configuration."""
    ips: list[dict[str, Any]] = []
    routes: list[dict[str, str]] = []
    for grant in grants:
        address = parse_address(grant.address)
        length, gateway = _shape(config, grant, address)
        ips.append(_ip(config, address, length, gateway))
        if config.type != "calico":
            given = [{"dst": route.dst, **({"gw": route.gw} if route.gw else {})} for route in grant.routes]
            default = DEFAULTS[address.family]
            own_default = config.type == "bridge" and config.is_default_gateway  # it adds the route itself, and fails on a second
            if own_default and grant.clean_gateway:
                raise BadConfig(
                    f"network {config.name}: isDefaultGateway makes bridge add a default route, but address {grant.address} is to "
                    "come without one; set isGateway instead, or take cleangateway away"
                )
            wanted = gateway and not own_default and not grant.clean_gateway
            if wanted and not any(route["dst"] == default for route in given):
                given.insert(0, {"dst": default})
            routes += given
    return _encode(config, {"ips": ips, "routes": routes})


def main_result(config: NetworkConfig, grants: Sequence[Grant], links: tuple[Link, Link]) -> bytes:
    """The answer of the main plugin `netmgr`: host end first, Pod end second."""
    ips, routes = [], []
    for grant in grants:
        family = parse_address(grant.address).family
        ips.append(_ip(config, parse_address(grant.address), family.width, GATEWAYS[family]) | {"interface": 1})
        routes += [{"dst": dst, "gw": GATEWAYS[family]} for dst in destinations(grant)]
    interfaces = [{"name": link.name, "mac": link.mac, **({"sandbox": link.sandbox} if link.sandbox else {})} for link in links]
    return _encode(config, {"interfaces": interfaces, "ips": ips, "routes": routes})


def destinations(grant: Grant) -> list[str]:
    """Where our own interface leads: everywhere, unless without default route; then where its routes say."""
    default = DEFAULTS[parse_address(grant.address).family]
    own = [route.dst for route in grant.routes if route.dst != default]
    return own if grant.clean_gateway else [default, *own]


def error_result(version: str, code: int, message: str, details: str = "") -> bytes:
    """An error as the runtime prints it in the Pod's events."""
    return msgspec.json.encode({"cniVersion": version, "code": code, "msg": f"netmgr: {message}", "details": details})


def _shape(config: NetworkConfig, grant: Grant, address: Address) -> tuple[int, str]:
    """Prefix length and gateway (empty: none) for this caller."""
    family = address.family
    if config.type == "calico":
        return family.width, ""
    needs_gateway = config.type == "ptp" or (config.type == "bridge" and (config.is_gateway or config.is_default_gateway))
    if grant.gateway or not needs_gateway:
        return grant.prefix_length, grant.gateway
    if config.type == "ptp" and family is AddressFamily.IPV6:
        return family.width, GATEWAYS[family]
    return grant.prefix_length, _host_of_subnet(address, grant.prefix_length)


def _host_of_subnet(address: Address, length: int) -> str:
    """The subnet's first host, or its last where the Pod itself has the first; /31 has a partner only."""
    size = 1 << (address.family.width - length)
    network = address.value & ~(size - 1)
    first, last = (network, network + 1) if size == 2 else (network + 1, network + size - 2)
    return str(Address(address.number, last if address.value == first else first))


def _ip(config: NetworkConfig, address: Address, length: int, gateway: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"address": f"{address}/{length}"}
    if config.cni_version.startswith("0."):
        entry["version"] = str(address.number)
    if gateway:
        entry["gateway"] = gateway
    return entry


def _encode(config: NetworkConfig, members: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"cniVersion": config.cni_version, **members, "dns": {}})
