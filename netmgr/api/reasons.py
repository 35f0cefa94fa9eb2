"""Every reason that netmgr records in an Event or writes into a condition: one list, with what it is about. Pure.

`docs/events.md` explains each to people; tests compare it with this list, and this list with the code, both ways. Reasons are
stable: alerts and scripts match them. The agents and speakers record no Events: they speak through conditions and CNI errors.
"""

from __future__ import annotations

POD = "Pod"
APPLICATION = "application"
POOL = "SpiderIPPool"
SUBNET = "SpiderSubnet"
RESERVED = "SpiderReservedIP"

EVENTS: dict[str, frozenset[str]] = {
    "NoAgent": frozenset({POD}),
    "OwnerUnproved": frozenset({POD}),
    "OwnerUnreadable": frozenset({POD}),
    "BadAnnotation": frozenset({POD, APPLICATION}),
    "NoRule": frozenset({POD}),
    "NoController": frozenset({POD}),
    "NoUsablePool": frozenset({POD, APPLICATION}),
    "PoolPending": frozenset({POD}),
    "WaitsForRelease": frozenset({POD}),
    "InterfaceMissing": frozenset({POD}),
    "BadNetwork": frozenset({POD}),
    "RouteUnmatched": frozenset({POD}),
    "SizeUnknown": frozenset({APPLICATION}),
    "SubnetFull": frozenset({APPLICATION}),
    "SubnetChanged": frozenset({APPLICATION}),
    "UnknownSubnet": frozenset({APPLICATION}),
    "SubnetNotAccepted": frozenset({APPLICATION}),
    "WrongFamily": frozenset({APPLICATION}),
    "Overlap": frozenset({POOL, SUBNET}),
    "Invalid": frozenset({POOL, SUBNET}),
    "PartlyAccepted": frozenset({POOL}),
    "NoFreeAddress": frozenset({POOL, SUBNET}),
    "AllCooling": frozenset({POOL}),
    "ReservedAddressHeld": frozenset({POOL, RESERVED}),
    "ReleaseWaits": frozenset({POOL}),
    "AddressElsewhere": frozenset({POOL}),
    "ReleasedWithoutAgent": frozenset({POOL}),
    "Repaired": frozenset({POD, POOL, SUBNET}),
    "NotRepaired": frozenset({POOL}),
}
"""Reasons of Events, and the kinds of objects they are recorded on."""

CONDITIONS: dict[str, dict[str, frozenset[str]]] = {
    "Accepted": {
        "True": frozenset({"Accepted", "PartlyAccepted"}),
        "False": frozenset({"Overlap", "Invalid"}),
    },
    "Ready": {
        "True": frozenset({"Ready"}),
        "False": frozenset({"NotAccepted", "Terminating", "Disabled", "NoAddresses"}),
    },
    "Exhausted": {
        "True": frozenset({"NoFreeAddress", "AllCooling"}),
        "False": frozenset({"AddressesFree", "NoAddresses"}),
    },
    "ReservedInUse": {"True": frozenset({"ReservedAddressHeld"}), "False": frozenset({"NoneHeld"})},
}
"""Conditions of SpiderSubnets and SpiderIPPools: type, status, reasons."""
