"""What must never be seen in a cluster, whatever happens to it: looked for at every write and after every step.

A decision and its write are moments apart: what changed within `MOMENTS` seconds before a write does not count against it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ipam.prefix import AddressFamily, RangeSet, parse_address
from netmgr.api import allocation, spider
from netmgr.api.meta import Json
from netmgr.controller.process import Controller
from tests.twins import ApiTwin, Change, TwinApi
from tests.unit.lives.node import Node, Sandbox

FAMILY = AddressFamily.IPV4
MOMENTS = 5.0


@dataclass
class Invariants:
    """`violations` collects what was seen; `controllers` gives each writing controller by its client's name."""

    twin: ApiTwin
    nodes: Mapping[str, Node]
    controllers: Callable[[], Mapping[str, tuple[TwinApi, Controller]]]
    violations: list[str] = field(default_factory=list)
    was_split: bool = False
    reserved_at: dict[str, float] = field(default_factory=dict)
    ranges: defaultdict[str, list[tuple[float, Sequence[str]]]] = field(default_factory=lambda: defaultdict(list))

    def sandboxes(self) -> list[Sandbox]:
        """Of every node: the truth about which address is in use."""
        return [one for node in self.nodes.values() for one in node.sandboxes.values()]

    def look(self) -> None:
        """No address is in use twice, and each belongs to the Pod that uses it."""
        users: dict[str, set[str]] = {}
        held = {one["spec"]["address"]: one["spec"]["pod"]["uid"] for one in self.twin.of(allocation.ALLOCATIONS)}
        for sandbox in self.sandboxes():
            for address in sandbox.addresses:
                users.setdefault(address, set()).add(sandbox.pod_uid)
                if held.get(address) != sandbox.pod_uid:
                    self.violations.append(f"{address} is in use by {sandbox.pod_uid}, and held by {held.get(address)}")
        self.violations += [f"{address} is used by {uids}" for address, uids in users.items() if len(uids) > 1]
        assert self.violations == [], self.violations

    def watch(self, change: Change) -> None:
        """One write, by anybody."""
        now = self.twin.clock()
        if change.collection == spider.RESERVED and change.new is not None:
            self.reserved_at[change.new["metadata"]["uid"]] = now
        if change.collection == spider.POOLS and change.old is not None:
            self.ranges[change.old["metadata"]["name"]].append((now, change.old["spec"].get("ips", [])))
        if change.collection in {spider.SUBNETS, spider.POOLS}:
            self._books()
        if change.collection == allocation.ALLOCATIONS:
            self._ended(change)
            if change.old is None and change.new is not None and change.by in self.controllers():
                self._given(change.new["spec"], *self.controllers()[change.by])

    def _ended(self, change: Change) -> None:
        """Nothing is freed, handed on or called unused while its holder uses it."""
        stays = change.new is not None and change.old is not None and change.old["spec"]["pod"] == change.new["spec"]["pod"]
        phase = (change.new or {}).get("status", {}).get("phase", "")
        if change.old is None or (stays and phase not in {allocation.DETACHED, allocation.COOLING}):
            return
        address, holder = change.old["spec"]["address"], change.old["spec"]["pod"]
        if any(address in one.addresses and one.pod_uid == holder["uid"] for one in self.sandboxes()):
            self.violations.append(f"{address} was freed, handed on or called unused while {holder['name']} used it")

    def _given(self, spec: Json, client: TwinApi, controller: Controller) -> None:
        """What is given out is not reserved, as far as the controller was told, and is of its pool."""
        address, now = parse_address(spec["address"]), self.twin.clock()
        known = client.seen.get(spider.RESERVED, 0)
        for one in self.twin.of(spider.RESERVED):
            meta = one["metadata"]
            told = int(meta["resourceVersion"]) <= known and now - self.reserved_at[meta["uid"]] > MOMENTS
            if told and address.value in RangeSet.parse(FAMILY, one["spec"]["ips"]):
                self.violations.append(f"{address} is reserved by {meta['name']} and was given out")
        pool = spec["pool"]
        texts = [ranges for until, ranges in self.ranges[pool] if now - until < MOMENTS]
        there = self.twin.objects.get((spider.POOLS, "", pool))
        texts += [there["spec"].get("ips", [])] if there is not None else []
        copy = controller.world.pools.store.get(pool)
        texts += [copy.spec.ips or []] if copy is not None else []
        if not any(address.value in RangeSet.parse(FAMILY, ranges) for ranges in texts):
            self.violations.append(f"{address} is outside pool {pool}")

    def _books(self) -> None:
        """No two auto pools are booked one address, and none has an address that is not booked for it.

        The second holds for one leader at a time: of two, one may take from the book what the other is about to give to the pool.
        Then acceptance and the addresses' own objects keep order, and `at_rest` wants book and pools to be equal again.
        """
        self.was_split = self.was_split or len(self.controllers()) > 1
        booked: dict[str, RangeSet] = {}
        for subnet in self.twin.of(spider.SUBNETS):
            text = subnet.get("status", {}).get("controlledIPPools")
            for name, entry in (json.loads(text) if text else {}).items():
                if entry.get("application"):
                    ranges = RangeSet.parse(FAMILY, entry["ips"])
                    twice = [other for other, theirs in booked.items() if other != name and theirs.intersect(ranges).spans]
                    self.violations += [f"{name} and {other} are booked the same addresses" for other in twice]
                    booked[name] = booked[name].union(ranges) if name in booked else ranges
        for pool in self.twin.of(spider.POOLS):
            name = pool["metadata"]["name"]
            if name.startswith("auto-") and "deletionTimestamp" not in pool["metadata"]:
                outside = RangeSet.parse(FAMILY, pool["spec"]["ips"]).subtract(booked.get(name, RangeSet(FAMILY)))
                if outside.spans and not self.was_split:
                    self.violations.append(f"{name} has {outside.texts()}, which is not booked for it")
