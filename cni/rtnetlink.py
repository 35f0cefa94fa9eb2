"""Messages of rtnetlink(7) as bytes: links, addresses, neighbours and routes. Pure.

Only what a routed veth and a host route need. Layouts are those of linux/rtnetlink.h, if_link.h, if_addr.h and neighbour.h,
in the machine's byte order; names in capitals are the kernel's own.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ipam.prefix import Address, AddressFamily, Prefix

RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_GETADDR = 16, 17, 20, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE, RTM_NEWNEIGH = 24, 25, 26, 28
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300
REPLACE = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF
IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_AF_SPEC, IFLA_NET_NS_FD = 3, 4, 18, 26, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE = 8, 1
IFA_ADDRESS, IFA_LOCAL, IFA_F_NODAD = 1, 2, 0x02
NDA_DST, NDA_LLADDR, NUD_PERMANENT = 1, 2, 0x80
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RT_TABLE_MAIN, RTN_UNICAST, RTPROT_STATIC = 254, 1, 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_NOWHERE = 0, 253, 255
RTM_F_FIB_MATCH = 0x2000
IFF_UP = 1
FAMILY = {AddressFamily.IPV4: socket.AF_INET, AddressFamily.IPV6: socket.AF_INET6}


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent behind netlink's own header, and with which type and flags."""

    kind: int
    flags: int
    body: bytes


def new_veth(name: str, mtu: int, peer: str, peer_namespace: int) -> Message:
    """A veth whose other end is born as `peer` in the namespace of that open file."""
    other = _link(0) + _text(IFLA_IFNAME, peer) + _number(IFLA_MTU, mtu) + _number(IFLA_NET_NS_FD, peer_namespace)
    kind = _text(IFLA_INFO_KIND, "veth") + _nested(IFLA_INFO_DATA, _nested(VETH_INFO_PEER, other))
    body = _link(0) + _text(IFLA_IFNAME, name) + _number(IFLA_MTU, mtu) + _nested(IFLA_LINKINFO, kind)
    return Message(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, body)


def link_up(index: int) -> Message:
    """The link is to be up."""
    return Message(RTM_NEWLINK, NLM_F_ACK, _link(index, IFF_UP, IFF_UP))


def no_link_local(index: int) -> Message:
    """The kernel is to give the link no fe80:: address of its own choice."""
    mode = _attribute(IFLA_INET6_ADDR_GEN_MODE, bytes((IN6_ADDR_GEN_MODE_NONE,)))
    return Message(RTM_NEWLINK, NLM_F_ACK, _link(index) + _nested(IFLA_AF_SPEC, _nested(socket.AF_INET6, mode)))


def no_link(index: int) -> Message:
    """The link is to go."""
    return Message(RTM_DELLINK, NLM_F_ACK, _link(index))


def address_on(index: int, address: Address, length: int) -> Message:
    """An address on a link; an IPv6 one serves at once, without the wait for duplicates."""
    flags = IFA_F_NODAD if address.family is AddressFamily.IPV6 else 0
    head = struct.pack("=BBBBI", FAMILY[address.family], length, flags, RT_SCOPE_UNIVERSE, index)
    packed = _packed(address)
    return Message(RTM_NEWADDR, REPLACE, head + _attribute(IFA_LOCAL, packed) + _attribute(IFA_ADDRESS, packed))


def addresses_of(family: AddressFamily) -> Message:
    """Ask for all addresses of the namespace."""
    return Message(RTM_GETADDR, NLM_F_DUMP, struct.pack("=BBBBI", FAMILY[family], 0, 0, 0, 0))


def neighbour(index: int, address: Address, mac: str) -> Message:
    """A permanent neighbour entry."""
    head = struct.pack("=BBHiHBB", FAMILY[address.family], 0, 0, index, NUD_PERMANENT, 0, 0)
    link_layer = _attribute(NDA_LLADDR, bytes.fromhex(mac.replace(":", "")))
    return Message(RTM_NEWNEIGH, REPLACE, head + _attribute(NDA_DST, _packed(address)) + link_layer)


def host_route(address: Address, index: int, protocol: int = RTPROT_STATIC) -> Message:
    """The /32 or /128 to a link: no gateway behind it."""
    scope = RT_SCOPE_LINK if address.family is AddressFamily.IPV4 else RT_SCOPE_UNIVERSE
    head = _route(address.family, address.family.width, protocol, scope, RTN_UNICAST)
    return Message(RTM_NEWROUTE, REPLACE, head + _attribute(RTA_DST, _packed(address)) + _number(RTA_OIF, index))


def route_by(destination: Prefix, gateway: Address, index: int) -> Message:
    """A route by way of a gateway on a link; a prefix of length 0 is the default route."""
    head = _route(gateway.family, destination.length, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RTN_UNICAST)
    where = _attribute(RTA_DST, _packed(Address(destination.family.number, destination.value))) if destination.length else b""
    return Message(RTM_NEWROUTE, REPLACE, head + where + _attribute(RTA_GATEWAY, _packed(gateway)) + _number(RTA_OIF, index))


def no_host_route(address: Address, index: int = 0) -> Message:
    """One /32 or /128 is to go, whoever made it; 0: to whichever link it leads."""
    head = _route(address.family, address.family.width, 0, RT_SCOPE_NOWHERE, RTN_UNICAST)
    link = _number(RTA_OIF, index) if index else b""
    return Message(RTM_DELROUTE, NLM_F_ACK, head + _attribute(RTA_DST, _packed(address)) + link)


def best_route(address: Address) -> Message:
    """Ask which entry of the routing table the kernel uses for an address."""
    family = address.family
    head = struct.pack("=BBBBBBBBI", FAMILY[family], family.width, 0, 0, 0, 0, 0, 0, RTM_F_FIB_MATCH)
    return Message(RTM_GETROUTE, 0, head + _attribute(RTA_DST, _packed(address)))


def attributes(payload: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute behind the fixed part of a message."""
    while offset + 4 <= len(payload):
        length, kind = struct.unpack_from("=HH", payload, offset)
        if length < 4:
            return
        yield kind & NLA_TYPE_MASK, payload[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _link(index: int, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BBHiII", socket.AF_UNSPEC, 0, 0, index, flags, change)


def _route(family: AddressFamily, length: int, protocol: int, scope: int, kind: int) -> bytes:
    return struct.pack("=BBBBBBBBI", FAMILY[family], length, 0, 0, RT_TABLE_MAIN, protocol, scope, kind, 0)


def _packed(address: Address) -> bytes:
    return address.value.to_bytes(address.family.width // 8, "big")


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | NLA_F_NESTED, value)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")
