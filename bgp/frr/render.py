"""A node's policy as FRR configuration. Pure.

Every interpolated token is a number, an address or a prefix that was parsed: no text of a user reaches the template, so none can
add a line to it. The template has loops and presence tests only. FRR 8.4: `no zebra nexthop kernel enable` (ZEBRA) keeps ECMP next
hops after a link flap; a daemon's own file is loaded with -f, since `vtysh -b` delays the first session by four seconds.
"""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from bgp.policy import Neighbor, NodePolicy, cover
from ipam.prefix import AddressFamily

ZEBRA = "frr defaults datacenter\nno zebra nexthop kernel enable\n"
SUFFIX = {AddressFamily.IPV4: "", AddressFamily.IPV6: "-6"}


def render(policy: NodePolicy) -> str:
    """The whole configuration of bgpd."""
    environment = Environment(  # noqa: S701 - not HTML; every token is typed
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string((files(__package__) / "bgpd.conf.j2").read_text())
    return template.render(
        router_id=str(policy.router_id),
        local_asn=policy.local_asn,
        neighbors=[neighbor_values(one) for one in policy.neighbors],
        families=[family_values(policy, family) for family in AddressFamily],
    )


def neighbor_values(one: Neighbor) -> dict[str, object]:
    """A neighbor's tokens."""
    return {"address": str(one.address), "asn": one.asn, "timers": one.timers, "multihop": one.multihop}


def family_values(policy: NodePolicy, family: AddressFamily) -> dict[str, object]:
    """A family's tokens. The inbound list denies everything unless the neighbor may teach us the pools."""
    suffix = SUFFIX[family]
    return {
        "word": family.frr,
        "suffix": suffix,
        "width": family.width,
        "kind": family.word.lower(),
        "cover": [str(prefix) for prefix in policy.cover(family)],
        "neighbors": [
            {
                "address": str(one.address),
                "inbound": ("NETMGR-POOLS" if one.import_pools else "NETMGR-NONE") + suffix,
                "only": None if one.only is None else [str(prefix) for prefix in cover(one.only, family)],
            }
            for one in policy.neighbors
            if family in one.families
        ],
    }
