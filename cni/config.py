"""Network configuration and environment of a CNI call, parsed once at the door (CNI specification 1.1.0, sections 1 and 2).

| value | allowed |
| --- | --- |
| network name, container id | letter or digit, then letters, digits and `_ . -`, at most 111 |
| interface | as the kernel: 1 to 15 characters, no space, `/` or `:`, neither `.` nor `..`; here also no quotes |
| K8S_POD_UID | letters, digits and dashes |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from cni.errors import BadConfig, BadRequest

VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,110}")
INTERFACE = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,15}")
POD_UID = re.compile(r"[A-Za-z0-9-]{1,64}")
MAIN_PLUGIN = "netmgr"
IPAM_PLUGIN = "netmgr-ipam"


class IpamConfig(msgspec.Struct, frozen=True):
    """The `ipam` member."""

    type: str = ""
    socket: str = ""


class ValidAttachment(msgspec.Struct, frozen=True, rename={"container_id": "containerID"}):
    """One entry of GC's list of attachments that are to stay."""

    container_id: str
    ifname: str


class NetworkConfig(msgspec.Struct, frozen=True, rename="camel"):
    """What the plugin gets on stdin; unknown members are other plugins'."""

    cni_version: str = "0.3.1"
    name: str = ""
    type: str = ""
    ipam: IpamConfig = IpamConfig()
    mtu: int = 1500
    is_gateway: bool = False
    is_default_gateway: bool = False
    valid_attachments: list[ValidAttachment] | None = msgspec.field(default=None, name="cni.dev/valid-attachments")


@dataclass(frozen=True, slots=True, order=True)
class AttachmentKey:
    """What names one attachment, as the CNI specification says: network, container id, interface."""

    network: str
    container_id: str
    ifname: str

    def __str__(self) -> str:
        return f"{self.network}.{self.container_id}.{self.ifname}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One CNI call. `pod_uid` and the Pod's name are empty where the runtime is not a kubelet's.

    `delegated` is there when the IPAM plugin that we named has done its part: what it printed at ADD, empty at DEL.
    """

    command: str
    plugin: str
    key: AttachmentKey
    netns: str
    pod_uid: str
    pod_namespace: str
    pod_name: str
    config: NetworkConfig
    delegated: str | None = None

    @property
    def is_main(self) -> bool:
        """Whether we make the interface ourselves (called as `netmgr`) or only give addresses."""
        return self.plugin == MAIN_PLUGIN


_decoder = msgspec.json.Decoder(NetworkConfig)


def parse_call(environment: dict[str, str], stdin: bytes) -> Call:
    """A checked call; BadConfig or BadRequest where a value is malformed."""
    command = environment.get("CNI_COMMAND", "")
    config = _parse_config(stdin)
    whole_network = command in ("GC", "STATUS")
    arguments = _arguments(environment.get("CNI_ARGS", ""))
    key = AttachmentKey(
        _allowed(NAME, "network name", config.name, "rename the network in the CNI configuration"),
        "" if whole_network else _allowed(NAME, "CNI_CONTAINERID", environment.get("CNI_CONTAINERID", ""), "the runtime sets it"),
        "" if whole_network else _allowed(INTERFACE, "CNI_IFNAME", environment.get("CNI_IFNAME", ""), "the runtime sets it"),
    )
    pod_uid = arguments.get("K8S_POD_UID", "")
    if pod_uid:
        _allowed(POD_UID, "K8S_POD_UID", pod_uid, "the runtime sets it")
    return Call(
        command=command,
        plugin=environment.get("NETMGR_PLUGIN", IPAM_PLUGIN),
        key=key,
        netns=environment.get("CNI_NETNS", ""),
        pod_uid=pod_uid,
        pod_namespace=arguments.get("K8S_POD_NAMESPACE", ""),
        pod_name=arguments.get("K8S_POD_NAME", ""),
        config=config,
        delegated=environment.get("NETMGR_DELEGATED"),
    )


def _parse_config(stdin: bytes) -> NetworkConfig:
    try:
        config = _decoder.decode(stdin)
    except msgspec.MsgspecError as error:
        raise BadConfig(f"network configuration: {error}; correct the file in /etc/cni/net.d") from error
    if config.cni_version not in VERSIONS:
        known = ", ".join(VERSIONS)
        raise BadConfig(f"network {config.name}: cniVersion {config.cni_version!r} is not one of {known}; set one of them")
    return config


def _allowed(pattern: re.Pattern[str], what: str, value: str, remedy: str) -> str:
    """The value; BadRequest unless the whole of it is allowed (it becomes part of a file name)."""
    if not pattern.fullmatch(value):
        raise BadRequest(f"{what} {value!r} is malformed: it must match {pattern.pattern}; {remedy}")
    return value


def _arguments(text: str) -> dict[str, str]:
    """CNI_ARGS: `K=V;K=V`; Calico prepends a second IgnoreUnknown, so repeats are taken as they come."""
    return dict(part.split("=", 1) for part in text.split(";") if "=" in part)
