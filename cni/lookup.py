"""I/O: rtnetlink. Which link the kernel's host route of an address leads to.

The question is on ADD's path, so its socket stays open: 9 us.
"""

from __future__ import annotations

import errno
import socket
from threading import Lock

from cni.errors import KernelRefused
from cni.netlink import Netlink, NetlinkError
from cni.rtnetlink import RTA_OIF, RTM_NEWROUTE, attributes, best_route
from ipam.prefix import Address

NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ESRCH, errno.EINVAL, errno.EACCES}
ROUTE_HEADER = 12


class RouteLookup:
    """One netlink socket for one question: which link does the kernel's /32 or /128 for this address lead to."""

    def __init__(self) -> None:
        self._socket = Netlink()
        self._lock = Lock()

    def link_of(self, address: Address) -> str | None:
        """Name of the link that the exact host route leads to; None where there is no such route."""
        try:
            with self._lock:
                kind, route = self._socket.ask(best_route(address))
        except NetlinkError as error:
            if error.code in NO_ROUTE:
                return None
            raise KernelRefused(f"address {address}: route lookup failed ({error}); see the node's kernel log") from error
        if kind != RTM_NEWROUTE or route[1] != address.family.width:
            return None
        return _link_name(dict(attributes(route, ROUTE_HEADER)).get(RTA_OIF))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _link_name(index: bytes | None) -> str | None:
    """A link's name by its index, as it is now."""
    if index is None:
        return None
    try:
        return socket.if_indextoname(int.from_bytes(index, "little"))
    except OSError:
        return None
