"""I/O: attachments that another IPAM plugin answers for: whom to hand a call over to, and the interface where we make it.

The plugin runs on the host, so it is the C program that calls it; here is only said who, and kept until its DEL has succeeded.

| attachment | ADD | DEL | CHECK | GC |
| --- | --- | --- | --- | --- |
| of a Pod that the controller delegated | record, hand over | hand over, then forget | hand over | DEL, if unlisted |
| unknown, and there is a fallback plugin (from before netmgr, or ended) | | hand over | hand over | |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from cni import kernel
from cni.attachments import Grant, GrantedRoute
from cni.config import AttachmentKey, Call
from cni.delegated import Delegated, DelegatedStore
from cni.errors import BadConfig, KernelRefused, StateLost, TryLater
from cni.lookup import RouteLookup
from cni.protocol import HandOver
from cni.result import main_result
from ipam.errors import IpamError, quoted
from ipam.prefix import Address, parse_address
from netmgr.agent.allocations import Sandbox
from netmgr.agent.wiring import in_thread, unwire, wire


class ResultAddress(msgspec.Struct, frozen=True):
    """One entry of `ips` in a CNI result."""

    address: str
    gateway: str = ""


class Result(msgspec.Struct, frozen=True):
    """What an IPAM plugin prints; the rest of it does not concern the interface that we make."""

    ips: list[ResultAddress] = []
    routes: list[GrantedRoute] | None = None


class Delegating:
    """`plugin` is the installation's; empty: there is none, and only what is on record is handed over."""

    def __init__(self, store: DelegatedStore, routes: RouteLookup, plugin: str, held: Callable[[Address], bool]) -> None:
        self._store, self._routes, self._plugin, self._held = store, routes, plugin, held

    def knows(self, key: AttachmentKey) -> bool:
        """Whether the attachment is another plugin's."""
        return key in self._store.records

    def sandbox_of(self, key: AttachmentKey) -> Sandbox | None:
        """Whose attachment it is; None where it is no other plugin's."""
        known = self._store.records.get(key)
        return None if known is None else (known.pod_uid, key.ifname)

    async def add(self, call: Call) -> bytes | HandOver:
        """Who answers this ADD; the second time the answer itself, where we are the main plugin."""
        known = self._store.records.get(call.key)
        if call.delegated is not None and known is not None:
            return await self._wire(call, known, call.delegated)
        if call.delegated is not None:
            raise TryLater(f"attachment {call.key}: it was deleted while {self._plugin} answered for it")
        if not call.config.ipam.type:
            raise BadConfig(
                f"Pod {call.pod_namespace}/{call.pod_name}: fallback delegate:{self._plugin} answers for it, but network "
                f"{call.key.network} has no ipam section; add one for {self._plugin} to the CNI configuration"
            )
        link = kernel.link_name(call.key.container_id, call.key.ifname) if call.is_main else ""
        network, container, ifname = call.key.network, call.key.container_id, call.key.ifname
        one = Delegated(network, container, ifname, self._plugin, self._store.boot, call.pod_uid, link)
        self._store.put(one)
        return HandOver(self._plugin, reports=call.is_main)

    async def delete(self, call: Call) -> bytes | HandOver:
        """Who is told of the end; the second time it has been told."""
        known = self._store.records.get(call.key)
        if known is not None and call.delegated is None:
            await self._unwire(known)
            return HandOver(known.plugin, reports=True)
        if known is not None:
            await self.ended(call.key)
        elif call.delegated is None and self._answers_unknown(call):
            return HandOver(self._plugin)
        return b""

    async def ended(self, key: AttachmentKey) -> None:
        """The delegate has heard of its end (so it has before a DEL is spooled): only our part is left."""
        known = self._store.records.get(key)
        if known is not None:
            await self._unwire(known)
            self._store.forget(key)

    async def check(self, call: Call) -> HandOver:
        """Who checks it; StateLost where nobody knows of it, or our part of it is gone."""
        known = self._store.records.get(call.key)
        for text in known.addresses if known is not None else ():
            found = self._routes.link_of(parse_address(text))
            if known is not None and found != known.link:
                raise StateLost(f"attachment {call.key}: route of {text} is over {found}, not {known.link}; delete the Pod")
        if known is None and not self._answers_unknown(call):
            raise StateLost(f"attachment {call.key}: this node has no record of it; delete the Pod to have it made again")
        return HandOver(known.plugin if known is not None else self._plugin)

    def unlisted(self, network: str, keep: set[tuple[str, str]]) -> tuple[tuple[str, AttachmentKey], ...]:
        """Attachments of a network that the runtime has forgotten, each with its plugin."""
        records = self._store.records.items()
        gone = ((key, one) for key, one in records if key.network == network and (key.container_id, key.ifname) not in keep)
        return tuple((one.plugin, key) for key, one in gone)

    def _answers_unknown(self, call: Call) -> bool:
        return bool(self._plugin and call.config.ipam.type)

    async def _wire(self, call: Call, known: Delegated, printed: str) -> bytes:
        grants = grants_of(printed, known.plugin)
        addresses = [parse_address(grant.address) for grant in grants]
        for address in addresses:
            if self._held(address):
                raise KernelRefused(
                    f"address {address}: {known.plugin} gave it out, but a Pod of this node has it from a SpiderIPPool; take the "
                    f"pool's ranges out of what {known.plugin} may use"
                )
        self._store.put(msgspec.structs.replace(known, addresses=tuple(map(str, addresses))))
        links = await in_thread(wire, call, known.link, grants)
        return main_result(call.config, grants, links)

    async def _unwire(self, known: Delegated) -> None:
        if known.link:
            await in_thread(unwire, known.link, [parse_address(text) for text in known.addresses])


def grants_of(printed: str, plugin: str) -> Sequence[Grant]:
    """The addresses in a CNI result; BadConfig where it is none."""
    try:
        result = msgspec.json.decode(printed, type=Result)
        pairs = [(parse_address(one.address.partition("/")[0]), one) for one in result.ips]
        return [
            Grant(
                name="",
                uid="",
                address=str(address),
                prefix_length=int(one.address.partition("/")[2] or address.family.width),
                gateway=one.gateway,
            )
            for address, one in pairs
        ]
    except (msgspec.MsgspecError, IpamError, ValueError) as error:
        raise BadConfig(
            f"IPAM plugin {plugin} printed {quoted(printed)}, which is no result ({error}); look at its version"
        ) from error
