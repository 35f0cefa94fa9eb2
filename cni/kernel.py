"""I/O: netlink. Host routes of Pod addresses, and the routed veth of the main plugin `netmgr`.

pyroute2's plain IPRoute blocks: call it in `asyncio.to_thread` (0.9 cannot share uvloop's loop). Namespaces are entered with
setns(2), which concerns the calling thread only.
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

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from cni.errors import KernelRefused
from cni.lookup import SOCKET_FAMILY
from cni.result import DEFAULTS, GATEWAYS, Link
from ipam.prefix import Address, AddressFamily

PROTOCOL = 80
"""Route protocol of the host routes that are ours: `ip route show proto 80`."""
CLONE_NEWNET = 0x40000000
FORWARDING = {
    AddressFamily.IPV4: Path("/proc/sys/net/ipv4/ip_forward"),
    AddressFamily.IPV6: Path("/proc/sys/net/ipv6/conf/all/forwarding"),
}
SIOCGIFHWADDR = 0x8927
WITHOUT_LINK_LOCAL = {"IFLA_AF_SPEC": {"attrs": [["AF_INET6", {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", 1]]}]]}}
HOME = "the node's own"
_libc = ctypes.CDLL(None, use_errno=True)


def link_name(container_id: str, ifname: str) -> str:
    """The host end's name: 15 characters at most, the same for every call about this attachment."""
    return "nm" + hashlib.sha256(f"{container_id}.{ifname}".encode()).hexdigest()[:12]


def make_link(name: str, netns: str, ifname: str, mtu: int, addresses: Sequence[Address]) -> tuple[Link, Link]:
    """The veth between host and Pod with addresses and routes in the Pod, but no host route yet. Replaces what is there.

    One netlink socket on each side, opened in its namespace; names and MACs are asked for by system call, since a look-up by
    pyroute2 dumps all links (1 ms each).
    """
    _forward({address.family for address in addresses})
    with _netlink(f"link {name}") as host, _namespace_file(netns) as pod_file:
        _delete_link(host, name)
        with _entered(netns) as where, _netlink(f"interface {ifname}") as pod:
            _delete_link(pod, ifname)
            host.link("add", ifname=name, kind="veth", mtu=mtu, peer={"ifname": ifname, "mtu": mtu, "net_ns_fd": pod_file})
            with where.outside():
                host_mac = _dress_host(host, name, addresses)
            pod_mac = _dress(pod, ifname, host_mac, addresses)
    return Link(name=name, mac=host_mac), Link(name=ifname, mac=pod_mac, sandbox=netns)


def _dress_host(host: IPRoute, name: str, addresses: Sequence[Address]) -> str:
    """The host end, up; for IPv6 with the link-local gateway that Pods know. Its MAC."""
    index = _index(name)
    host.link("set", index=index, **WITHOUT_LINK_LOCAL)  # before it is up: in one message the kernel does it after
    host.link("set", index=index, state="up")
    if any(address.family is AddressFamily.IPV6 for address in addresses):
        host.addr("replace", index=index, address=GATEWAYS[AddressFamily.IPV6], prefixlen=64, flags=0x02)
    return _mac(name)


def _dress(pod: IPRoute, ifname: str, host_mac: str, addresses: Sequence[Address]) -> str:
    """Addresses, permanent neighbour entries and default routes inside the Pod; the interface's MAC."""
    index = _index(ifname)
    if any(address.family is AddressFamily.IPV6 for address in addresses):
        _write_sysctl(Path(f"/proc/sys/net/ipv6/conf/{ifname}/disable_ipv6"), "0")
    pod.link("set", index=_index("lo"), state="up")
    pod.link("set", index=index, **WITHOUT_LINK_LOCAL)  # before it is up: in one message the kernel does it after
    pod.link("set", index=index, state="up")
    for address in addresses:
        family = address.family
        gateway, number = GATEWAYS[family], SOCKET_FAMILY[family]
        flags = {"flags": 0x02} if family is AddressFamily.IPV6 else {}
        pod.addr("replace", index=index, address=str(address), prefixlen=family.width, **flags)
        pod.neigh("replace", family=number, dst=gateway, lladdr=host_mac, ifindex=index, state=0x80)
        if family is AddressFamily.IPV4:
            pod.route("replace", family=number, dst=f"{gateway}/32", oif=index, scope=253)
        pod.route("replace", family=number, dst=DEFAULTS[family], gateway=gateway, oif=index)
    return _mac(ifname)


def add_host_route(address: Address, link: str) -> None:
    """The host route, in place of one to another link: it is the announcement, so it comes last."""
    with _netlink(f"address {address}") as host:
        family = address.family
        scope = {"scope": 253} if family is AddressFamily.IPV4 else {}
        if family is AddressFamily.IPV6:
            _delete_routes(host, address, "")
        host.route(
            "replace",
            family=SOCKET_FAMILY[family],
            dst=f"{address}/{family.width}",
            oif=_index(link),
            proto=PROTOCOL,
            **scope,
        )


def remove_host_route(address: Address, link: str = "") -> None:
    """Take the exact host route away, only if it leads to `link` where that is given; nothing where there is none."""
    with _netlink(f"address {address}") as host:
        _delete_routes(host, address, link)


def remove_link(name: str) -> None:
    """Take a host end away, and with it the Pod's end; nothing where there is none."""
    with _netlink(f"link {name}") as host:
        _delete_link(host, name)


def link_exists(name: str) -> bool:
    """Whether the node has a link of this name."""
    return Path("/sys/class/net", name).exists() or name in {interface for _, interface in socket.if_nameindex()}


def namespace_with(address: Address, folder: Path = Path("/run/netns")) -> str | None:
    """The namespace file in which an interface has the address, if any: what an empty state directory cannot tell."""
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            with _entered(str(file)), _netlink(f"namespace {file}") as inside:
                if any(inside.get_addr(family=SOCKET_FAMILY[address.family], address=str(address))):
                    return str(file)
        except (OSError, KernelRefused):
            continue
    return None


@contextmanager
def _netlink(subject: str) -> Iterator[IPRoute]:
    """A netlink socket in the thread's namespace; netlink's refusals become KernelRefused."""
    try:
        with IPRoute() as route:
            yield route
    except NetlinkError as error:
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


def _delete_link(route: IPRoute, name: str) -> None:
    """Take a link of the thread's namespace away; nothing where there is none."""
    try:
        route.link("del", index=socket.if_nametoindex(name))
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise
    except OSError:
        return


def _delete_routes(route: IPRoute, address: Address, link: str) -> None:
    given: dict[str, int] = {}
    if link:
        try:
            given = {"oif": socket.if_nametoindex(link)}
        except OSError:
            return
    wildcard = {"proto": 0, "scope": 255}  # pyroute2's own defaults would match no IPv4 route of scope link
    while True:
        try:
            family = address.family
            route.route("del", family=SOCKET_FAMILY[family], dst=f"{address}/{family.width}", table=254, **wildcard, **given)
        except NetlinkError as error:
            if error.code in {errno.ESRCH, errno.ENOENT}:
                return
            raise
