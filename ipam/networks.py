"""Which networks a Pod is attached to beside the cluster's own: Multus' annotations, and what a NetworkAttachmentDefinition says.

Interfaces are named as Multus names them: `eth0` for the cluster's network, then `net1`, `net2`, ... by position in the list.

| `k8s.v1.cni.cncf.io/networks` | networks |
| --- | --- |
| `a`, `a@lan0` | `<Pod's namespace>/a` as net1, as lan0 |
| `ns/a, b` | `ns/a` as net1, `<Pod's namespace>/b` as net2 |
| `[{"name":"a","namespace":"ns","interface":"lan0"}]` | `ns/a` as lan0; further keys are Multus' own |
| empty | none |
| `a/b/c`, `A`, `a,,b`, `[{}]`, `[{"name":3}]`, `a@lan0,b@lan0` | refused |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ipam.annotations import DEFAULT_INTERFACE, INTERFACE_NAME, OBJECT_NAME, decode, parse_names
from ipam.errors import AnnotationError, quoted
from ipam.fallback import OURS
from ipam.prefix import AddressFamily

NETWORKS = "k8s.v1.cni.cncf.io/networks"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
MULTUS_NAMESPACE = "kube-system"
"""Where Multus looks for a default network that names no namespace."""
ENTRY = re.compile(r"\s*(?:([^\s/@,]+)/)?([^\s/@,]+)(?:@([^\s/@,]+))?\s*")


@dataclass(frozen=True, slots=True)
class Network:
    """One attachment: the definition's namespace and name, and the Pod's interface."""

    namespace: str
    name: str
    interface: str

    @property
    def reference(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a NetworkAttachmentDefinition says: whether its addresses are ours, and from which pools unless a Pod says otherwise."""

    ours: bool
    pools: Mapping[AddressFamily, tuple[str, ...]] = field(default_factory=dict)
    clean_gateway: bool = False


def parse_networks(annotations: Mapping[str, str] | None, namespace: str) -> tuple[Network, ...]:
    """The networks of a Pod of this namespace, in order; AnnotationError on what Multus would not understand either."""
    text = (annotations or {}).get(NETWORKS, "")
    found = _parse(NETWORKS, text, namespace)
    taken = [one.interface for one in found]
    if len({DEFAULT_INTERFACE, *taken}) != len(taken) + 1:
        raise AnnotationError(NETWORKS, text, "gives two networks one interface", "give each network an interface of its own")
    return found


def interface_names(annotations: Mapping[str, str] | None) -> list[str]:
    """The interfaces of a Pod, eth0 first; AnnotationError as `parse_networks`."""
    return [DEFAULT_INTERFACE, *(one.interface for one in parse_networks(annotations, ""))]


def parse_default_network(annotations: Mapping[str, str] | None) -> Network | None:
    """The network of eth0 where the Pod has one of its own choice."""
    text = (annotations or {}).get(DEFAULT_NETWORK, "")
    found = _parse(DEFAULT_NETWORK, text, MULTUS_NAMESPACE)
    if len(found) > 1:
        raise AnnotationError(DEFAULT_NETWORK, text, "names more than one network", "name one; further ones belong in " + NETWORKS)
    return Network(found[0].namespace, found[0].name, DEFAULT_INTERFACE) if found else None


def parse_attachment(reference: str, config: str) -> Attachment:
    """The definition's CNI configuration, or the first plugin of a list; AnnotationError where its `ipam` cannot be understood."""
    key = f"{reference} (NetworkAttachmentDefinition)"
    value = decode(key, config) if config.strip() else {}
    plugins = value.get("plugins") if isinstance(value, dict) else None
    main = plugins[0] if isinstance(plugins, list) and plugins else value
    ipam = main.get("ipam") if isinstance(main, dict) else None
    if not isinstance(main, dict) or not (main.get("type") == "netmgr" or (isinstance(ipam, dict) and ipam.get("type") in OURS)):
        return Attachment(ours=False)
    said = ipam if isinstance(ipam, dict) else {}
    clean = said.get("clean_gateway", False)
    if not isinstance(clean, bool):
        raise AnnotationError(key, config, "has a clean_gateway that is neither true nor false", "write true or false, unquoted")
    pools = {
        family: parse_names(key, config, said.get(f"default_ipv{family.number}_ippool"), wildcards=True) for family in AddressFamily
    }
    return Attachment(ours=True, pools={family: names for family, names in pools.items() if names}, clean_gateway=clean)


def _parse(key: str, text: str, namespace: str) -> tuple[Network, ...]:
    if not text.strip():
        return ()
    if any(mark in text for mark in '[{"'):
        entries = _from_json(key, text)
    else:
        entries = [_from_word(key, text, word) for word in text.split(",")]
    return tuple(
        Network(where or namespace, name, interface or f"net{number}") for number, (where, name, interface) in enumerate(entries, 1)
    )


def _from_word(key: str, text: str, word: str) -> tuple[str, str, str]:
    found = ENTRY.fullmatch(word)
    if found is None:
        raise AnnotationError(key, text, f"has the entry {quoted(word)}, which is no network", "write [NAMESPACE/]NAME[@INTERFACE]")
    return _checked(key, text, found[1] or "", found[2], found[3] or "")


def _from_json(key: str, text: str) -> list[tuple[str, str, str]]:
    value = decode(key, text)
    listed = value if isinstance(value, list) else [value]
    objects = [one for one in listed if isinstance(one, dict)]
    if len(objects) != len(listed):
        raise AnnotationError(key, text, "has an entry that is no object", 'write [{"name":"NAME"}]')
    return [_checked(key, text, one.get("namespace", ""), one.get("name", ""), one.get("interface", "")) for one in objects]


def _checked(key: str, text: str, namespace: object, name: object, interface: object) -> tuple[str, str, str]:
    """The three words, each a legal one; namespace and interface may be empty."""
    words = {"namespace": (namespace, OBJECT_NAME), "name": (name, OBJECT_NAME), "interface": (interface, INTERFACE_NAME)}
    for what, (word, legal) in words.items():
        if not isinstance(word, str) or not (legal.fullmatch(word) or (word == "" and what != "name")):
            raise AnnotationError(key, text, f"has {quoted(word)} as a network's {what}", f"write a legal {what}")
    return str(namespace), str(name), str(interface)
