"""What a Pod asks for and which pools may serve it, with the reasons for each: decided before anything is written.

Reads the copies; a request goes out only when an owner chain first leads to a third party's kind. All interfaces and families of a
Pod are decided together, so that a full pool on one of them takes no address of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ipam import selection
from ipam.annotations import DEFAULT_INTERFACE, ROUTES, Source
from ipam.application import Application
from ipam.errors import AnnotationError
from ipam.interfaces import NicRequest, PodRequest, parse_pod
from ipam.prefix import AddressFamily, Prefix, parse_prefix
from ipam.route import unmatched
from ipam.selection import Candidate, PodView
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


TURN = 2.0
"""Seconds between two looks at an application whose Pods ask for different things: each look may wake them all."""
WHY = {
    Source.SUBNET: "subnet named by annotation",
    Source.POOL: "pool named by annotation",
    Source.NAMESPACE: "namespace named by annotation",
    Source.NETWORK: "pool named by the NetworkAttachmentDefinition",
}


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


@dataclass(frozen=True, slots=True)
class Choice:
    """What to claim, and whether another IPAM plugin is to answer for eth0."""

    claims: list[Chosen]
    delegate: bool = False


class Choosing:
    """`choose` for a Pod. The answer lists every candidate: it is what `netmgr why` prints."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def choose(self, pod: Pod, missing: Callable[[str, AddressFamily], bool]) -> Choice | Refusal:
        """What to claim for each interface and family that is `missing`; a refusal if any of them cannot be served."""
        found = await self.weigh(pod, missing)
        if isinstance(found, Refusal):
            return found
        return next((self.nothing_left(one) for one in found.claims if one.kept is None and not one.usable), found)

    async def weigh(self, pod: Pod, missing: Callable[[str, AddressFamily], bool]) -> Choice | Refusal:
        """Every candidate for each interface and family, usable or not; a refusal where the Pod's wish itself is at fault."""
        namespace = self.world.namespaces.store.get(pod.metadata.namespace)
        try:
            notes = namespace.metadata.annotations if namespace else None
            networks = self.world.networks.attachments
            request = parse_pod(pod.metadata.annotations, pod.metadata.namespace, notes, networks)
        except AnnotationError as error:
            return Refusal("BadAnnotation", str(error))
        if refusal := self._unspoken(request):
            return refusal
        owner = await self._owner(pod, request)
        if isinstance(owner, Refusal):
            return owner
        slots: list[Slot] = []
        delegate = False
        for nic in request.nics:
            wanted = self._slots(pod, owner, nic)
            if isinstance(wanted, Refusal):
                return wanted
            delegate = delegate or wanted is None
            slots += wanted or ()
        concerned = [slot for slot in slots if request.routes or missing(slot.interface, slot.family)]
        routed = self._with_routes(request, [self._choose(pod, owner, slot) for slot in concerned])
        if isinstance(routed, Refusal):
            return routed
        return Choice([one for one in routed if missing(one.slot.interface, one.slot.family)], delegate)

    def _unspoken(self, request: PodRequest) -> Refusal | None:
        """An interface that the Pod's list lacks (eth0 may be another plugin's), or a network that cannot be understood."""
        if absent := [name for name in request.absent if name != DEFAULT_INTERFACE]:
            words = f"annotation {request.listed_in} has no entry for {', '.join(absent)}; add one for each interface of the Pod"
            return Refusal("InterfaceMissing", words)
        problems = self.world.networks.problems
        return next((Refusal("BadNetwork", problems[one]) for one in request.unknown if one in problems), None)

    def _with_routes(self, request: PodRequest, chosen: list[Chosen]) -> list[Chosen] | Refusal:
        """Each route with the first interface whose subnet holds its gateway; one that no interface can use is refused."""
        if not request.routes:
            return chosen
        subnets = [(one, self._subnets(one)) for one in chosen]
        lost = unmatched(request.routes, [prefix for _, many in subnets for prefix in many])
        if lost:
            where = ", ".join(sorted({str(prefix) for _, many in subnets for prefix in many})) or "none"
            words = f"route {lost[0]}: its gateway lies in no subnet of the Pod's interfaces ({where}); correct annotation {ROUTES}"
            return Refusal("RouteUnmatched", words)
        routed: list[Chosen] = []
        left = request.routes
        for one, many in subnets:
            routed.append(replace(one, slot=replace(one.slot, routes=left)))
            left = tuple(route for route in left if route.gw not in many[0]) if many else left
        return routed

    def _subnets(self, one: Chosen) -> list[Prefix]:
        """The prefixes that the address may come from, the likeliest first."""
        possible = [*one.usable, *(other.pool for other in one.candidates)]
        names = [one.kept.spec.pool] if one.kept is not None else list(dict.fromkeys(possible))
        found = (self.world.pools.store.get(name) for name in names)
        return [parse_prefix(pool.spec.subnet) for pool in found if pool is not None]

    async def _owner(self, pod: Pod, request: PodRequest) -> Application | Refusal | None:
        """The verified application; one that cannot be read matters only where the address depends on it."""
        while isinstance(owner := top_owner(pod, self.world.live_workloads), Unfollowed):
            matters = request.wants_auto_pool or has_identity(pod)
            problem = await self.world.third_party.follow(owner.kind) if matters else "not needed"
            if problem and request.wants_auto_pool:
                return Refusal("OwnerUnreadable", f"Pod {pod.metadata.name}: {problem}")
            if problem:
                return None
        if isinstance(owner, Unproved) and not request.wants_auto_pool and not has_identity(pod):
            return None  # nothing depends on it: an orphan is served as a Pod of its own
        if isinstance(owner, Unproved):
            return Refusal("OwnerUnproved", f"Pod {pod.metadata.name}: {owner.why}", quiet=True)
        return owner

    def _slots(self, pod: Pod, owner: Application | None, nic: NicRequest) -> list[Slot] | Refusal | None:
        """What has to be claimed for an interface, with the pools for each family; None: another plugin answers for it."""
        if nic.source is Source.DEFAULT:
            return self._default_slots(pod, owner, nic)
        slots: list[Slot] = []
        for family in nic.names:
            pools = self._named(pod, nic, family, owner)
            if isinstance(pools, Refusal):
                return pools
            slots.append(slot_of(nic, family, tuple(pools), len(nic.names), WHY[nic.source]))
        return slots

    def _default_slots(self, pod: Pod, owner: Application | None, nic: NicRequest) -> list[Slot] | Refusal | None:
        """Default pools that are meant for the Pod; without any, the fallback."""
        fallback = self.world.fallback
        found = {family: self.world.views.defaults(family) for family in AddressFamily}
        if fallback.pools or fallback.plugin:
            view = self._view(pod, owner, nic.network)
            views = self.world.views
            found = {f: tuple(n for n in names if not selection.affinity_refusal(views[n], view)) for f, names in found.items()}
        if any(found.values()):
            return [slot_of(nic, f, pools, sum(map(bool, found.values())), "default pool") for f, pools in found.items() if pools]
        if nic.interface == DEFAULT_INTERFACE and fallback.pools:
            return self._fallback_slots(nic, fallback.pools)
        if nic.interface == DEFAULT_INTERFACE and fallback.plugin and not nic.network:
            return None
        words = (
            f"no rule gives {nic.interface} of this Pod an address: it has no ipam.spidernet.io annotation, its namespace and its "
            "network name no pool, and no SpiderIPPool has spec.default; add the annotation or set spec.default on a pool"
        )
        return Refusal("NoRule", words)

    def _fallback_slots(self, nic: NicRequest, names: tuple[str, ...]) -> list[Slot] | Refusal:
        """The pools that the installation names for everybody."""
        views = self.world.views
        if absent := [name for name in names if name not in views]:
            words = (
                f"the installation's fallback is SpiderIPPool {absent[0]}, which does not exist; create it or change the setting"
            )
            return Refusal("NoUsablePool", words)
        pools = {family: tuple(name for name in names if views[name].family is family) for family in AddressFamily}
        return [
            slot_of(nic, family, some, sum(map(bool, pools.values())), "fallback pool") for family, some in pools.items() if some
        ]

    def _named(self, pod: Pod, one: NicRequest, family: AddressFamily, owner: Application | None) -> list[str] | Refusal:
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
        """An application without a template wants what its Pods want; where these differ, they take turns."""
        workload = self.world.live_workloads[owner.kind_key].get(f"{owner.namespace}/{owner.name}")
        asked, key, world = pod.metadata.annotations or {}, owner.book_key, self.world
        if workload is None or has_template(workload) or key in world.asking or world.asked.get(key) == asked:
            return
        if key in world.asked:
            world.queue.add_after(("app", key), TURN)
        else:
            world.queue.add(("app", key), urgent=True)
        world.asking.add(key)
        world.asked[key] = asked

    def _choose(self, pod: Pod, owner: Application | None, slot: Slot) -> Chosen:
        """The ordinal's own address in one of the pools, or each pool with the rule that refuses it."""
        kept = self._retained(pod, owner, slot)
        if kept is not None:
            return Chosen(slot, owner, kept=kept)
        view = self._view(pod, owner, slot.network)
        return Chosen(slot, owner, tuple(selection.candidates(slot.pools, slot.family, self.world.views, view)))

    def _view(self, pod: Pod, owner: Application | None, network: str) -> PodView:
        node = self.world.nodes.store.get(pod.spec.node_name)
        namespace = self.world.namespaces.store.get(pod.metadata.namespace)
        spellings = self.world.spellings(network)
        return codec.pod_view(pod, owner, node.metadata if node else None, namespace.metadata if namespace else None, spellings)

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


def slot_of(nic: NicRequest, family: AddressFamily, pools: tuple[str, ...], siblings: int, why: str) -> Slot:
    """One address of an interface."""
    return Slot(nic.interface, family, pools, siblings, why, nic.network, nic.clean_gateway)


def has_identity(pod: Pod) -> bool:
    """Whether the Pod says that it is one of several that can be told apart."""
    direct = controller_of(pod.metadata)
    return direct is not None and direct.kind in IDENTIFIED
