"""What a probe saw at one address, and what to think of it. Pure."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address

import msgspec

SERVER_ERROR = 500


class Source(StrEnum):
    """Whether the Pod saw the vantage point's own address."""

    PRESERVED = "preserved"
    CHANGED = "changed"
    UNKNOWN = "unknown"


class Sighting(msgspec.Struct, frozen=True, rename="camel"):
    """One address as seen from the vantage point. Times are in milliseconds; -1: it did not come to that.

    `own` is the address that our packets carried, `seen` the one that the Pod said it saw (empty: it did not say).
    """

    address: str
    connect_ms: float = -1.0
    status: int = 0
    answer_ms: float = -1.0
    own: str = ""
    seen: str = ""
    error: str = ""

    @property
    def source(self) -> Source:
        """Whether the source address arrived unchanged."""
        if not self.seen or not self.own:
            return Source.UNKNOWN
        return Source.PRESERVED if ip_address(self.seen) == ip_address(self.own) else Source.CHANGED

    def reached(self, *, http: bool) -> bool:
        """Whether the address counts as reached: connected, answered if that was asked, and with the source kept."""
        answered = not http or 0 < self.status < SERVER_ERROR
        return not self.error and self.connect_ms >= 0 and answered and self.source is not Source.CHANGED


def seen_in(body: str) -> str:
    """The address that a `/whoami` page begins with; empty where the page begins otherwise.

    >>> seen_in("192.0.2.10 10.244.100.1")
    '192.0.2.10'
    >>> seen_in("<!DOCTYPE html>")
    ''
    """
    first = body[:64].split(maxsplit=1)
    try:
        found = ip_address(first[0]) if first else None
    except ValueError:
        return ""
    return str(getattr(found, "ipv4_mapped", None) or found) if found else ""
