"""What statuses show of the truth: counts and JSON strings in Spiderpool's format, rebuilt from allocations, never read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LARGEST_TEXT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Held:
    """One address in use, for a pool's projection."""

    address: str
    pod: str
    pod_uid: str


def allocated_ips(held: Iterable[Held]) -> tuple[str | None, bool]:
    """`{"<ip>":{"pod":"ns/name","podUid":"uid"}}` in address order, cut at 256 KiB; nothing when empty. And whether it was cut."""
    entries: list[str] = []
    length = 2
    for one in sorted(held, key=lambda h: h.address):
        entry = f"{json.dumps(one.address)}:{json.dumps({'pod': one.pod, 'podUid': one.pod_uid}, separators=(',', ':'))}"
        length += len(entry) + 1
        if length > LARGEST_TEXT:
            return "{" + ",".join(entries) + "}", True
        entries.append(entry)
    return ("{" + ",".join(entries) + "}" if entries else None), False


def controlled_pools(book: Mapping[str, tuple[list[str], str]]) -> str | None:
    """A subnet's book: pool name to (ranges, application key), as JSON; nothing when empty."""
    if not book:
        return None
    entries = {
        name: {"ips": ranges, **({"application": application} if application else {})}
        for name, (ranges, application) in sorted(book.items())
    }
    return json.dumps(entries, separators=(",", ":"))
