"""I/O: the routed veth of an attachment and its host routes, in the order that announces last and withdraws first.

All of it blocks: call it by `in_thread`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from cni import kernel
from cni.attachments import Grant
from cni.config import Call
from cni.result import Link
from ipam.prefix import Address, parse_address

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """As asyncio.to_thread; but who is cancelled meanwhile waits for the end, since nothing stops the thread."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise


def wire(call: Call, link: str, grants: Sequence[Grant]) -> tuple[Link, Link]:
    """Host end and Pod end; the host routes come when both are dressed."""
    addresses = [parse_address(grant.address) for grant in grants]
    made = kernel.make_link(link, call.netns, call.key.ifname, call.config.mtu, grants)
    for address in addresses:
        kernel.add_host_route(address, link)
    return made


def unwire(link: str, addresses: Sequence[Address]) -> None:
    """Routes, then the link; nothing where they are gone."""
    for address in addresses:
        kernel.remove_host_route(address, link)
    kernel.remove_link(link)
