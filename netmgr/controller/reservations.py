"""Reserving an address that is in use takes it from nobody: its owner is told who has it.

I/O: Events.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipam.prefix import Address, AddressFamily, allocation_name
from netmgr.api import spider
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import ObjectReference
from netmgr.api.spider import SpiderReservedIP
from netmgr.controller import codec
from netmgr.controller.world import World
from netmgr.kube.events import EventRecorder

MOST_TOLD = 20


class Reservations:
    """Handler of the key "reservation": a SpiderReservedIP."""

    def __init__(self, world: World, events: EventRecorder) -> None:
        self.world, self.events = world, events

    async def warn(self, name: str) -> float | None:
        """Say which of its addresses are in use, each in an Event of its own, the first 20 of them."""
        one = self.world.reservations.store.get(name)
        if one is None:
            return None
        about = ObjectReference(kind="SpiderReservedIP", api_version=spider.GROUP_VERSION, name=name, uid=one.metadata.uid)
        for _, held in zip(range(MOST_TOLD), self._held(one), strict=False):
            words = (
                f"{held.spec.address} is in use by Pod {codec.held_by(held)} (SpiderIPPool {held.spec.pool}) and kept until that "
                "Pod ends; restart it to have the address given back"
            )
            self.events.record(about, "Warning", "ReservedAddressHeld", words)
        return None

    def _held(self, one: SpiderReservedIP) -> Iterator[IPAllocation]:
        """Allocations of its addresses."""
        for family in AddressFamily:
            reserved = codec.reserved_in(family, [one])
            if not reserved.spans:
                continue
            for name in list(self.world.pools.store):
                ledger = self.world.ledger(name)
                if ledger is None or ledger.addresses.family is not family:
                    continue
                for value in sorted(value for value in ledger.held if value in reserved):
                    found = self.world.by_pool.get(name, {}).get(allocation_name(Address(family.number, value)))
                    if found is not None:
                        yield found
