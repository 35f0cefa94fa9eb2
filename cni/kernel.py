"""I/O: the kernel. Host routes of Pod addresses, and the routed veth of the main plugin `netmgr`.

All of it blocks: call it in `asyncio.to_thread`. Namespaces are entered with setns(2), which concerns the calling thread only.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cni import rtnetlink
from cni.attachments import Grant
from cni.errors import KernelRefused
from cni.netlink import Netlink, NetlinkError
from cni.result import GATEWAYS, Link, destinations
from ipam.prefix import Address, AddressFamily, parse_address, parse_prefix

PROTOCOL = 80
"""Route protocol of the host routes that are ours: `ip route show proto 80`."""
CLONE_NEWNET = 0x40000000
FORWARDING = {
    AddressFamily.IPV4: Path("/proc/sys/net/ipv4/ip_forward"),
    AddressFamily.IPV6: Path("/proc/sys/net/ipv6/conf/all/forwarding"),
}
SIOCGIFHWADDR = 0x8927
GATEWAY = {family: parse_address(text) for family, text in GATEWAYS.items()}
IFADDRMSG = 8
HOME = "the node's own"
_libc = ctypes.CDLL(None, use_errno=True)


def link_name(container_id: str, ifname: str) -> str:
    """The host end's name: 15 characters at most, the same for every call about this attachment."""
    return "nm" + hashlib.sha256(f"{container_id}.{ifname}".encode()).hexdigest()[:12]


def make_link(name: str, netns: str, ifname: str, mtu: int, grants: Sequence[Grant]) -> tuple[Link, Link]:
    """The veth between host and Pod with addresses and routes in the Pod, but no host route yet. Replaces what is there.

    One netlink socket on each side, opened in its namespace.
    """
    addresses = [parse_address(grant.address) for grant in grants]
    _forward({address.family for address in addresses})
    with _netlink(f"link {name}") as host, _namespace_file(netns) as pod_file:
        _delete_link(host, name)
        with _entered(netns) as where, _netlink(f"interface {ifname}") as pod:
            _delete_link(pod, ifname)
            host.ask(rtnetlink.new_veth(name, mtu, ifname, pod_file))
            with where.outside():
                host_mac = _dress_host(host, name, addresses)
            pod_mac = _dress(pod, ifname, host_mac, grants)
    return Link(name=name, mac=host_mac), Link(name=ifname, mac=pod_mac, sandbox=netns)


def _dress_host(host: Netlink, name: str, addresses: Sequence[Address]) -> str:
    """The host end, up; for IPv6 with the link-local gateway that Pods know. Its MAC."""
    index = _index(name)
    host.ask(rtnetlink.no_link_local(index))  # before it is up: in one message the kernel does it after
    host.ask(rtnetlink.link_up(index))
    if any(address.family is AddressFamily.IPV6 for address in addresses):
        host.ask(rtnetlink.address_on(index, GATEWAY[AddressFamily.IPV6], 64))
    return _mac(name)


def _dress(pod: Netlink, ifname: str, host_mac: str, grants: Sequence[Grant]) -> str:
    """Addresses, permanent neighbour entries and routes inside the Pod; the interface's MAC."""
    index = _index(ifname)
    addresses = [parse_address(grant.address) for grant in grants]
    if any(address.family is AddressFamily.IPV6 for address in addresses):
        _write_sysctl(Path(f"/proc/sys/net/ipv6/conf/{ifname}/disable_ipv6"), "0")
    pod.ask(rtnetlink.link_up(_index("lo")))
    pod.ask(rtnetlink.no_link_local(index))  # before it is up: in one message the kernel does it after
    pod.ask(rtnetlink.link_up(index))
    for address, grant in zip(addresses, grants, strict=True):
        gateway = GATEWAY[address.family]
        pod.ask(rtnetlink.address_on(index, address, address.family.width))
        pod.ask(rtnetlink.neighbour(index, gateway, host_mac))
        if address.family is AddressFamily.IPV4:
            pod.ask(rtnetlink.host_route(gateway, index))
        for destination in destinations(grant):
            pod.ask(rtnetlink.route_by(parse_prefix(destination), gateway, index))
    return _mac(ifname)


def add_host_route(address: Address, link: str) -> None:
    """The host route, in place of one to another link: it is the announcement, so it comes last."""
    with _netlink(f"address {address}") as host:
        if address.family is AddressFamily.IPV6:
            _delete_routes(host, address, "")
        host.ask(rtnetlink.host_route(address, _index(link), PROTOCOL))


def remove_host_route(address: Address, link: str = "") -> None:
    """Take the exact host route away, only if it leads to `link` where that is given; nothing where there is none."""
    with _netlink(f"address {address}") as host:
        _delete_routes(host, address, link)


def remove_link(name: str) -> None:
    """Take a host end away, and with it the Pod's end; nothing where there is none."""
    with _netlink(f"link {name}") as host:
        _delete_link(host, name)


def link_exists(name: str) -> bool:
    """Whether the thread's namespace has a link of this name: two system calls, so it may be asked without a thread."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def namespace_with(address: Address, folder: Path = Path("/run/netns")) -> str | None:
    """The namespace file in which an interface has the address, if any: what an empty state directory cannot tell.

    KernelRefused where one of them cannot be looked into: an address is not proved free by a look that failed.
    """
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not _is_namespace(file):
            continue
        with _entered(str(file)), _netlink(f"namespace {file}") as inside:
            if _has(inside, address):
                return str(file)
    return None


def _is_namespace(file: Path) -> bool:
    """Whether a namespace is bound to the file: one that is being made or taken away is a plain file."""
    try:
        with _namespace_file(str(file)) as opened:
            return os.fstat(opened).st_dev == Path("/proc/self/ns/net").stat().st_dev
    except KernelRefused:
        if file.exists():
            raise
        return False


def _has(inside: Netlink, address: Address) -> bool:
    """Whether a link of the socket's namespace has the address."""
    packed = address.value.to_bytes(address.family.width // 8, "big")
    ours = {rtnetlink.IFA_LOCAL, rtnetlink.IFA_ADDRESS}
    found = inside.dump(rtnetlink.addresses_of(address.family))
    return any(kind in ours and value == packed for one in found for kind, value in rtnetlink.attributes(one, IFADDRMSG))


@contextmanager
def _netlink(subject: str) -> Iterator[Netlink]:
    """A netlink socket in the thread's namespace; netlink's refusals become KernelRefused."""
    try:
        with Netlink() as opened:
            yield opened
    except (NetlinkError, TimeoutError) as error:
        raise KernelRefused(f"{subject}: netlink refused ({error}); look at `ip link` and `ip route` on the node") from error


@contextmanager
def _namespace_file(netns: str) -> Iterator[int]:
    try:
        handle = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelRefused(f"namespace {netns!r}: {error.strerror}; the agent must see the node's /run/netns") from error
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _entered(netns: str) -> Iterator[_Namespaces]:
    """This thread is in the namespace while the block runs, except where the block steps `outside`."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _namespace_file(netns) as there:
            _setns(there, netns)
            try:
                yield _Namespaces(home, there)
            finally:
                _setns(home, HOME)
    finally:
        os.close(home)


@dataclass(frozen=True, slots=True)
class _Namespaces:
    """Open files of the node's namespace and of the one that a thread has entered."""

    home: int
    there: int

    @contextmanager
    def outside(self) -> Iterator[None]:
        """The thread is back in the node's namespace while the block runs."""
        _setns(self.home, HOME)
        try:
            yield
        finally:
            _setns(self.there, "the Pod's")


def _setns(handle: int, what: str) -> None:
    if _libc.setns(handle, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise KernelRefused(f"namespace {what}: cannot enter ({os.strerror(code)}); the agent needs CAP_SYS_ADMIN")


def _forward(families: set[AddressFamily]) -> None:
    for family in families:
        _write_sysctl(FORWARDING[family], "1")


def _write_sysctl(file: Path, value: str) -> None:
    """Set a sysctl of the thread's namespace, unless it is so already (/proc/sys may be read-only)."""
    try:
        if file.read_text().strip() != value:
            file.write_text(value)
    except OSError as error:
        raise KernelRefused(f"sysctl {file}: cannot set to {value} ({error.strerror}); set it on the node") from error


def _index(name: str) -> int:
    """A link's index in the thread's namespace."""
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        raise KernelRefused(f"link {name}: does not exist; was it removed by somebody else?") from error


def _mac(name: str) -> str:
    """A link's hardware address in the thread's namespace (netdevice(7), SIOCGIFHWADDR)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        answer = fcntl.ioctl(any_socket, SIOCGIFHWADDR, struct.pack("256s", name.encode()))
    return answer[18:24].hex(":")


def _delete_link(where: Netlink, name: str) -> None:
    """Take a link of the thread's namespace away; nothing where there is none."""
    try:
        index = socket.if_nametoindex(name)
    except OSError:
        return
    try:
        where.ask(rtnetlink.no_link(index))
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise


def _delete_routes(where: Netlink, address: Address, link: str) -> None:
    index = 0
    if link:
        try:
            index = socket.if_nametoindex(link)
        except OSError:
            return
    while True:
        try:
            where.ask(rtnetlink.no_host_route(address, index))
        except NetlinkError as error:
            if error.code in {errno.ESRCH, errno.ENOENT}:
                return
            raise
