"""What a Pod asks for and which pools may serve it, with the reasons for each: decided before anything is written.

Reads the copies; a request goes out only when an owner chain first leads to a third party's kind. All interfaces and families of a
Pod are decided together, so that a full pool on one of them takes no address of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ipam import selection
from ipam.annotations import AddressRequest, InterfaceRequest, Source, parse_request
from ipam.application import Application
from ipam.errors import AnnotationError
from ipam.prefix import AddressFamily
from ipam.selection import Candidate
from netmgr.api.allocation import IPAllocation
from netmgr.api.meta import ObjectReference
from netmgr.api.workload import Pod
from netmgr.controller import codec
from netmgr.controller.auto_pools import pools_for
from netmgr.controller.claims import Slot
from netmgr.controller.kinds import MACHINES
from netmgr.controller.owners import Unfollowed, Unproved, controller_of, top_owner
from netmgr.controller.third_party import has_template
from netmgr.controller.waiting import for_application, for_pool
from netmgr.controller.world import World

IDENTIFIED = MACHINES | {"StatefulSet"}
"""Kinds of any group whose Pods have an identity of their own: their owner matters without an auto pool too."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a Pod has no address: `reason` is a word, `message` a sentence; `quiet` while it is only a matter of moments.

    `application` is told too where it is its author who has to act. `hopes` are what could help (see `waiting`).
    """

    reason: str
    message: str
    quiet: bool = False
    application: ObjectReference | None = None
    hopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """One address to be claimed: from the usable candidates in order, or the one that the ordinal holds already."""

    slot: Slot
    owner: Application | None
    candidates: tuple[Candidate, ...] = ()
    kept: IPAllocation | None = None

    @property
    def usable(self) -> list[str]:
        """Pools to try."""
        return [one.pool for one in self.candidates if one.usable]


class Choosing:
    """`choose` for a Pod. The answer lists every candidate: it is what `netmgr why` prints."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def choose(self, pod: Pod, missing: Callable[[str, AddressFamily], bool]) -> list[Chosen] | Refusal:
        """What to claim for each interface and family that is `missing`; a refusal if any of them cannot be served."""
        found = await self.weigh(pod, missing)
        if isinstance(found, Refusal):
            return found
        return next((self.nothing_left(one) for one in found if one.kept is None and not one.usable), found)

    async def weigh(self, pod: Pod, missing: Callable[[str, AddressFamily], bool]) -> list[Chosen] | Refusal:
        """Every candidate for each interface and family, usable or not; a refusal where the Pod's wish itself is at fault."""
        namespace = self.world.namespaces.store.get(pod.metadata.namespace)
        try:
            request = parse_request(pod.metadata.annotations, namespace.metadata.annotations if namespace else None)
        except AnnotationError as error:
            return Refusal("BadAnnotation", str(error))
        owner = await self._owner(pod, request)
        if isinstance(owner, Refusal):
            return owner
        slots = self._slots(pod, owner, request)
        if isinstance(slots, Refusal):
            return slots
        return [self._choose(pod, owner, slot) for slot in slots if missing(slot.interface, slot.family)]

    async def _owner(self, pod: Pod, request: AddressRequest) -> Application | Refusal | None:
        """The verified application; one that cannot be read matters only where the address depends on it."""
        while isinstance(owner := top_owner(pod, self.world.live_workloads), Unfollowed):
            direct = controller_of(pod.metadata)
            matters = request.wants_auto_pool or (direct is not None and direct.kind in IDENTIFIED)
            problem = await self.world.third_party.follow(owner.kind) if matters else "not needed"
            if problem and request.wants_auto_pool:
                return Refusal("OwnerUnreadable", f"Pod {pod.metadata.name}: {problem}")
            if problem:
                return None
        if isinstance(owner, Unproved):
            return Refusal("OwnerUnproved", f"Pod {pod.metadata.name}: {owner.why}", quiet=True)
        return owner

    def _slots(self, pod: Pod, owner: Application | None, request: AddressRequest) -> list[Slot] | Refusal:
        """What has to be claimed, with the pools for each."""
        if not request.interfaces:
            return self._default_slots()
        slots: list[Slot] = []
        for one in request.interfaces:
            for family in one.names:
                pools = self._named(pod, one, family, owner)
                if isinstance(pools, Refusal):
                    return pools
                slots.append(Slot(one.interface, family, tuple(pools), len(one.names), f"{one.source.value} named by annotation"))
        return slots

    def _default_slots(self) -> list[Slot] | Refusal:
        found = {family: self.world.views.defaults(family) for family in AddressFamily}
        families = [family for family, pools in found.items() if pools]
        if not families:
            words = (
                "no rule gives this Pod an address: it has no ipam.spidernet.io annotation, its namespace names no pool, "
                "and no SpiderIPPool has spec.default; add the annotation or set spec.default on a pool"
            )
            return Refusal("NoRule", words)
        return [Slot("eth0", family, found[family], len(families), "default pool") for family in families]

    def _named(self, pod: Pod, one: InterfaceRequest, family: AddressFamily, owner: Application | None) -> list[str] | Refusal:
        """Pools for one interface and family."""
        names = one.names[family]
        if one.source is not Source.SUBNET:
            pools = selection.named_pools(names, family, self.world.views)
            if pools:
                return pools
            return Refusal(
                "NoUsablePool", f"no {family.word} address for {one.interface}: no SpiderIPPool matches {', '.join(names)}"
            )
        if owner is None:
            words = "a Pod without a controller cannot have a pool of its own; use ipam.spidernet.io/ippool, or a Deployment"
            return Refusal("NoController", words)
        made = pools_for(owner, one.interface, family, names, self.world.pools_of(owner.book_key))
        if made:
            return [pool.metadata.name for pool in made]
        self._ask(pod, owner)
        problem = self.world.problems.get(owner.book_key)
        words = f"a pool for {one.interface} in {' or '.join(names)} is being made for {owner}"
        hopes = (for_application(owner.book_key),)
        return Refusal("PoolPending", problem.message if problem else words, quiet=problem is None, hopes=hopes)

    def _ask(self, pod: Pod, owner: Application) -> None:
        """An application without a template is known by its Pods: what they want is what it wants."""
        workload = self.world.live_workloads[owner.kind_key].get(f"{owner.namespace}/{owner.name}")
        asked = pod.metadata.annotations or {}
        if workload is not None and not has_template(workload) and self.world.asked.get(owner.book_key) != asked:
            self.world.asked[owner.book_key] = asked
            self.world.queue.add(("app", owner.book_key), urgent=True)

    def _choose(self, pod: Pod, owner: Application | None, slot: Slot) -> Chosen:
        """The ordinal's own address in one of the pools, or each pool with the rule that refuses it."""
        kept = self._retained(pod, owner, slot)
        if kept is not None:
            return Chosen(slot, owner, kept=kept)
        node = self.world.nodes.store.get(pod.spec.node_name)
        namespace = self.world.namespaces.store.get(pod.metadata.namespace)
        view = codec.pod_view(pod, owner, node.metadata if node else None, namespace.metadata if namespace else None)
        return Chosen(slot, owner, tuple(selection.candidates(slot.pools, slot.family, self.world.views, view)))

    def _retained(self, pod: Pod, owner: Application | None, slot: Slot) -> IPAllocation | None:
        """The allocation that this ordinal holds already."""
        ordinal = codec.ordinal_of(pod, owner)
        if owner is None or ordinal is None:
            return None
        held = self.world.holders((owner.uid, ordinal, slot.interface, slot.family))
        return next((one for one in held if one.spec.pool in slot.pools), None)

    def nothing_left(self, chosen: Chosen) -> Refusal:
        """No candidate can serve the Pod, with the reason of each, and what the application's author may do about it."""
        reasons = "; ".join(f"SpiderIPPool {one.pool} {one.refusal or 'has no free address'}" for one in chosen.candidates)
        slot, owner = chosen.slot, chosen.owner
        hint = self.world.hints.get(owner.book_key, "") if owner is not None else ""
        words = f"no {slot.family.word} address for {slot.interface}: {reasons or 'no pool is named'}"
        about = codec.application_reference(owner) if owner is not None and hint else None
        hopes = [for_pool(one.pool) for one in chosen.candidates] + ([for_application(owner.book_key)] if owner is not None else [])
        return Refusal("NoUsablePool", f"{words}; {hint}" if hint else words, application=about, hopes=tuple(hopes))
