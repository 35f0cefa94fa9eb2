"""The node's own routes: its default gateway, and the address it uses towards a neighbor.

I/O: runs `ip -j route`.
"""

from __future__ import annotations

import json
import subprocess

from ipam.prefix import Address, AddressFamily, parse_address


def default_gateway(family: AddressFamily) -> Address | None:
    """Next hop of the default route with the lowest metric."""
    routes = _ip(family, "route", "show", "default")
    gateways = [(one.get("metric", 0), one["gateway"]) for one in routes if "gateway" in one]
    return parse_address(min(gateways)[1]) if gateways else None


def source_towards(neighbor: Address) -> Address | None:
    """The address that packets to the neighbor carry."""
    routes = _ip(neighbor.family, "route", "get", str(neighbor))
    return parse_address(routes[0]["prefsrc"]) if routes and "prefsrc" in routes[0] else None


def _ip(family: AddressFamily, *arguments: str) -> list[dict[str, str]]:
    command = ["ip", "-j", f"-{family.number}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    found: list[dict[str, str]] = json.loads(done.stdout) if done.stdout.strip() else []
    return found
