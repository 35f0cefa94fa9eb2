"""SpiderSubnets, SpiderIPPools and SpiderReservedIPs: defaults before they are stored, then the comparison with all others.

Pure over the controller's copies. The rules are `ipam.admission`; what a stale copy lets through, the controller sorts out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ipam import admission
from ipam.admission import Holding
from ipam.prefix import AddressFamily, address_of_name
from netmgr.api.meta import Json
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.controller import codec
from netmgr.controller.defaults import operations, owner_of, pool_defaults, reserved_defaults, subnet_defaults
from netmgr.controller.world import World
from netmgr.webhook.review import AdmissionRequest, Answer, decoded

TYPES = {"SpiderSubnet": SpiderSubnet, "SpiderIPPool": SpiderIPPool, "SpiderReservedIP": SpiderReservedIP}


class Objects:
    """Judges our own kinds by the controller's copies."""

    def __init__(self, world: World) -> None:
        self.world = world

    def complete(self, request: AdmissionRequest) -> Answer:
        """Defaults, as a patch. What cannot be read is left to the schema."""
        one = self._object(request)
        if one is None or one.metadata.deletion_timestamp:
            return Answer()
        return Answer(patch=operations(self._defaults(one), has_labels=one.metadata.labels is not None))

    def judge(self, request: AdmissionRequest) -> Answer:
        """Refusals and warnings."""
        if request.operation == "DELETE":
            return self._deletion(request)
        new, old = self._object(request), decoded(request.old_object, TYPES.get(request.kind.kind))
        if new is None or new.metadata.deletion_timestamp:
            return Answer()  # a finalizer may always be taken off
        if isinstance(new, SpiderReservedIP):
            return self._reserved(new)
        if old is not None and essence(old) == essence(new):
            return Answer()
        return self._subnet(new, old) if isinstance(new, SpiderSubnet) else self._pool(new, old)

    def _object(self, request: AdmissionRequest) -> Any:  # noqa: ANN401 - one of TYPES
        type_ = TYPES.get(request.kind.kind)
        return decoded(request.object, type_) if type_ is not None else None

    def _defaults(self, one: SpiderSubnet | SpiderIPPool | SpiderReservedIP) -> Json:
        if isinstance(one, SpiderIPPool):
            return pool_defaults(one, owner_of(one, self.world.subnets.store, self.world.verdicts()[0]))
        return subnet_defaults(one) if isinstance(one, SpiderSubnet) else reserved_defaults(one)

    def _subnet(self, new: SpiderSubnet, old: SpiderSubnet | None) -> Answer:
        name = new.metadata.name
        subnets, pools = self.world.verdicts()
        others = {other: verdict for other, verdict in subnets.items() if other != name}
        before = codec.declared(old) if old is not None else None
        return Answer(tuple(admission.subnet_problems(codec.declared(new), before, others, pools)))

    def _pool(self, new: SpiderIPPool, old: SpiderIPPool | None) -> Answer:
        name, before = new.metadata.name, codec.declared(old) if old is not None else None
        if old is not None and (owner := application_of(old)) and ranges(old) != ranges(new):
            words = f"its ranges follow {owner}; change ipam.spidernet.io/ippool-ip-number or the replicas there"
            return Answer((f"SpiderIPPool {name} is an automatic pool: {words}",))
        subnets, pools = self.world.verdicts()
        others = {other: verdict for other, verdict in pools.items() if other != name}
        held = list(self._held_of(name))
        return Answer(tuple(admission.pool_problems(codec.declared(new), before, subnets, others, held)))

    def _held_of(self, pool: str) -> Iterator[Holding]:
        for name, one in self.world.by_pool.get(pool, {}).items():
            yield Holding(address_of_name(name).value, codec.held_by(one))

    def _reserved(self, new: SpiderReservedIP) -> Answer:
        """An address in use is kept until its Pod ends: its author is told, the reservation stands."""
        warnings = []
        for family in AddressFamily:
            reserved = codec.reserved_in(family, [new])
            held = (
                Holding(address_of_name(name).value, codec.held_by(one))
                for name, one in self.world.allocations.store.items()
                if codec.family_of(one.spec.address) is family
            )
            if reserved.spans and (words := admission.reserved_in_use(new.metadata.name, reserved, held)):
                warnings.append(words)
        return Answer(warnings=tuple(warnings))

    def _deletion(self, request: AdmissionRequest) -> Answer:
        one = decoded(request.old_object, TYPES.get(request.kind.kind))
        if one is None or one.metadata.deletion_timestamp or isinstance(one, SpiderReservedIP):
            return Answer()
        name = one.metadata.name  # a request to delete a whole collection names none
        if isinstance(one, SpiderSubnet):
            words = admission.subnet_in_use(name, sorted(self._pools_of(one)))
            return Answer((words,) if words else ())
        held = [f"{a.spec.address} ({codec.held_by(a)})" for _, a in sorted(self.world.by_pool.get(name, {}).items())]
        if words := admission.pool_in_use(name, application_of(one), held):
            return Answer((words,))
        return Answer()

    def _pools_of(self, subnet: SpiderSubnet) -> Iterator[str]:
        """Pools with addresses of a subnet that counts."""
        subnets, pools = self.world.verdicts()
        mine = subnets.get(subnet.metadata.name)
        if mine is None or not mine.accepted:
            return
        for name, pool in self.world.pools.store.items():
            verdict = pools.get(name)
            if pool.spec.subnet == subnet.spec.subnet and verdict is not None and verdict.size:
                yield name


def essence(one: SpiderSubnet | SpiderIPPool) -> tuple[object, ...]:
    """The fields that are compared with other objects."""
    return (one.spec.subnet, one.spec.gateway, *ranges(one))


def ranges(one: SpiderSubnet | SpiderIPPool) -> tuple[object, ...]:
    """What an object declares to be its addresses."""
    return (one.spec.ips or [], one.spec.exclude_ips or [])


def application_of(pool: SpiderIPPool) -> str:
    """`Kind namespace/name` of an automatic pool's application; empty for a pool made by hand."""
    parts = (pool.metadata.annotations or {}).get(codec.APPLICATION, "").split("_")
    return f"{parts[-3]} {parts[-2]}/{parts[-1]}" if len(parts) >= 4 else ""
