"""What happens to Pods that no rule covers: the installation's setting `fallback`.

| text | meaning |
| --- | --- |
| `none` | they get no address, and are told why |
| `pool:NAME`, `pool:NAME4,NAME6` | these pools are everybody's; IPv4 and IPv6 ones may be named |
| `delegate:TYPE` | another IPAM plugin answers: `calico-ipam`, `host-local`, ... |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ipam.errors import IpamError, quoted

PLUGIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
POOL = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
OURS = frozenset({"netmgr", "netmgr-ipam", "spiderpool"})
"""Names under which a configuration calls netmgr's plugin; the last is what manifests written for Spiderpool say."""


class FallbackError(IpamError):
    """The setting cannot be understood."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """The setting: pools, or the type of another IPAM plugin, or neither."""

    pools: tuple[str, ...] = ()
    plugin: str = ""

    def __str__(self) -> str:
        if self.plugin:
            return f"delegate:{self.plugin}"
        return f"pool:{','.join(self.pools)}" if self.pools else "none"


NO_FALLBACK = Fallback()


def parse_fallback(text: str) -> Fallback:
    """The setting; FallbackError on anything that the table does not show."""
    word, _, rest = text.partition(":")
    names = tuple(rest.split(","))
    if text == "none":
        return Fallback()
    if word == "pool" and all(POOL.fullmatch(name) for name in names) and len(set(names)) == len(names):
        return Fallback(pools=names)
    if word == "delegate" and PLUGIN.fullmatch(rest):
        if rest in OURS:
            raise FallbackError(f"fallback {quoted(text)} would be netmgr itself; write delegate:calico-ipam, say")
        return Fallback(plugin=rest)
    raise FallbackError(f"fallback {quoted(text)} is not understood; write none, pool:NAME or delegate:TYPE")
