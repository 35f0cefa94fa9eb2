"""The strict reader of containerlab topology files (`*.clab.yml`). Pure.

Owns the subset of containerlab's format (manual: containerlab.dev/manual/topo-def-file) that the labs and nearly every public
FRR or Kubernetes lab need. Anything else is an error with line and key, never ignored: a lab that silently lacks a link proves
nothing. Does not run anything; `topology.runtime` does.

Inheritance is node > group > kind > defaults. Scalars: most specific wins; mappings merge; `exec` is joined, least specific first;
`binds` and `volumes` are joined by destination.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from topology.document import Value, parse, substitute
from topology.errors import TopologyError

KINDS = frozenset({"linux", "bridge", "host", "ext-container"})
DEFAULT_MTU = 9500  # containerlab's
INTERFACE_LENGTH = 15

SCALARS: dict[str, Callable[[Value], object]] = {
    "kind": Value.text,
    "group": Value.text,
    "image": Value.text,
    "cmd": Value.text,
    "entrypoint": Value.text,
    "network-mode": Value.text,
    "mgmt-ipv4": Value.text,
    "mgmt-ipv6": Value.text,
    "startup-config": Value.text,
    "startup-delay": Value.number,
    "privileged": Value.boolean,
}
MAPPINGS = frozenset({"env", "labels", "sysctls"})
BY_DESTINATION = frozenset({"binds", "volumes"})
LISTS = frozenset({"exec", "cap-add", "env-files"})
NODE_KEYS = frozenset(SCALARS) | MAPPINGS | BY_DESTINATION | LISTS
LINK_KEYS = frozenset({"type", "endpoints", "mtu", "labels", "vars", "ipv4", "ipv6"})
ENDPOINT_KEYS = frozenset({"node", "interface", "mac"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A file or folder of the machine that a node sees at `target`."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine of the lab, with everything inherited resolved."""

    name: str
    kind: str = "linux"
    group: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    exec: tuple[tuple[str, ...], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[Bind, ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()
    network_mode: str = ""
    startup_delay: int = 0

    @property
    def network_of(self) -> str:
        """The node whose network namespace this one uses: another one's under `network-mode: container:X`."""
        return self.network_mode.removeprefix("container:") if self.network_mode.startswith("container:") else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One end of a link."""

    node: str
    interface: str
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A cable between two interfaces."""

    ends: tuple[Endpoint, Endpoint]
    mtu: int = DEFAULT_MTU


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A whole file."""

    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]


def read(path: Path, folder: Path, environment: Mapping[str, str]) -> Topology:
    """The topology of a file; `folder / <lab's name>` is what `__clabDir__` stands for."""
    if not path.is_file():
        raise TopologyError(f"{path}: no such file; give the name of a lab or the path of a *.clab.yml file")
    return parse_topology(path.read_text(), path, folder, environment)


def parse_topology(text: str, path: Path, folder: Path, environment: Mapping[str, str]) -> Topology:
    """The topology of a text; `path` gives relative binds their start and errors their file."""
    top = parse(substitute(text, environment), path.name).entries(frozenset({"name", "prefix", "mgmt", "topology"}))
    for key in ("name", "topology"):
        if key not in top:
            raise TopologyError(f"{path.name}:1: {key}: missing; a lab needs a name and a topology")
    name = top["name"].text()
    body = top["topology"].entries(frozenset({"nodes", "groups", "kinds", "defaults", "links"}))
    if "mgmt" in top:
        top["mgmt"].entries(frozenset({"network", "ipv4-subnet", "ipv6-subnet", "bridge", "mtu"}))
    nodes = read_nodes(body, Places(lab=name, file=path.parent, folder=folder / name))
    return Topology(name=name, nodes=nodes, links=read_links(body, {node.name: node for node in nodes}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What relative paths and the magic words of a file stand for."""

    lab: str
    file: Path
    folder: Path

    def expand(self, text: str, node: str) -> str:
        """Replace containerlab's magic words, known in `binds` and `exec`."""
        words = {
            "__clabNodeName__": node,
            "__clabLabName__": self.lab,
            "__clabNodeDir__": str(self.folder / node),
            "__clabDir__": str(self.folder),
        }
        for word, meaning in words.items():
            text = text.replace(word, meaning)
        return text


def read_nodes(body: Mapping[str, Value], places: Places) -> tuple[Node, ...]:
    """All nodes, with what they inherit."""
    layers = {name: body[name].entries() for name in ("groups", "kinds", "nodes") if name in body}
    defaults = read_layer(body["defaults"]) if "defaults" in body else {}
    nodes = []
    for name, value in layers.get("nodes", {}).items():
        own = read_layer(value)
        group = own.get("group", defaults.get("group", ""))
        if group and group not in layers.get("groups", {}):
            raise value.error(f"group {group!r} is not defined; add it under topology.groups")
        of_group = read_layer(layers["groups"][group]) if group else {}
        kind = own.get("kind") or of_group.get("kind") or defaults.get("kind") or "linux"
        if kind not in KINDS:
            raise value.error(f"kind {kind!r} is not supported; use one of {', '.join(sorted(KINDS))}")
        of_kind = read_layer(layers["kinds"][kind]) if kind in layers.get("kinds", {}) else {}
        settings = inherit(defaults, of_kind, of_group, own)
        nodes.append(node_of(name, kind, settings, places, value))
    return tuple(nodes)


def read_layer(value: Value) -> dict[str, Any]:
    """One level of settings, decoded."""
    found: dict[str, Any] = {}
    for key, one in value.entries(NODE_KEYS).items():
        if key in SCALARS:
            found[key] = SCALARS[key](one)
        elif key in MAPPINGS:
            found[key] = one.pairs()
        elif key in BY_DESTINATION:
            found[key] = {destination(item): item.text() for item in one.items()}
        else:
            found[key] = one.texts()
    return found


def destination(item: Value) -> str:
    """Second part of `source:destination[:options]`."""
    parts = item.text().split(":")
    if len(parts) not in {2, 3} or not parts[1].startswith("/"):
        raise item.error(f"{item.text()!r} is not source:/destination or source:/destination:ro; write it so")
    if len(parts) == 3 and parts[2] not in {"ro", "rw"}:
        raise item.error(f"option {parts[2]!r} is not supported; use ro or rw")
    return parts[1]


def inherit(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Join levels, least specific first."""
    joined: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if key in MAPPINGS | BY_DESTINATION:
                joined[key] = {**joined.get(key, {}), **value}
            elif key in LISTS:
                joined[key] = (*joined.get(key, ()), *value)
            else:
                joined[key] = value
    return joined


def node_of(name: str, kind: str, settings: Mapping[str, Any], places: Places, value: Value) -> Node:
    """A node from its joined settings."""
    mode = settings.get("network-mode", "")
    if mode not in {"", "none", "bridge"} and not mode.startswith("container:"):
        raise value.error(f"network-mode {mode!r} is not supported; use none or container:NODE")
    try:
        command = (*shlex.split(settings.get("entrypoint", "")), *shlex.split(settings.get("cmd", "")))
        commands = tuple(tuple(shlex.split(places.expand(line, name))) for line in settings.get("exec", ()))
    except ValueError as error:
        raise value.error(f"a command cannot be split: {error}; close its quotes") from error
    return Node(
        name=name,
        kind=kind,
        group=settings.get("group", ""),
        image=settings.get("image", ""),
        command=command,
        exec=commands,
        env=settings.get("env", {}),
        sysctls=settings.get("sysctls", {}),
        labels=settings.get("labels", {}),
        binds=tuple(bind_of(places.expand(text, name), places) for text in settings.get("binds", {}).values()),
        volumes=tuple(tuple(text.split(":")[:2]) for text in settings.get("volumes", {}).values()),
        network_mode=mode,
        startup_delay=settings.get("startup-delay", 0),
    )


def bind_of(text: str, places: Places) -> Bind:
    """`source:target[:ro]`; a relative source starts at the file."""
    source, target, *options = text.split(":")
    return Bind(source=places.file / source, target=target, read_only="ro" in options)


def read_links(body: Mapping[str, Value], nodes: Mapping[str, Node]) -> tuple[Link, ...]:
    """All links; each interface is used once."""
    used: set[tuple[str, str]] = set()
    links = []
    for value in body["links"].items() if "links" in body else []:
        entries = value.entries(LINK_KEYS)
        if "type" in entries and entries["type"].text() != "veth":
            raise entries["type"].error(f"{entries['type'].text()!r} is not supported; use veth")
        ends = [read_endpoint(one, nodes) for one in entries["endpoints"].items()] if "endpoints" in entries else []
        if len(ends) != 2:
            raise value.error(f"a link has two endpoints, not {len(ends)}; write endpoints: [a:eth1, b:eth1]")
        for end in ends:
            if (end.node, end.interface) in used:
                raise value.error(f"{end.node}:{end.interface} is used by another link; choose another interface")
            used.add((end.node, end.interface))
        mtu = entries["mtu"].number() if "mtu" in entries else DEFAULT_MTU
        links.append(Link(ends=(ends[0], ends[1]), mtu=mtu))
    return tuple(links)


def read_endpoint(value: Value, nodes: Mapping[str, Node]) -> Endpoint:
    """`node:interface`, or a mapping of the two and a MAC address."""
    if hasattr(value.node, "value") and isinstance(value.node.value, str):
        node, _, interface = value.text().partition(":")
        end = Endpoint(node=node, interface=interface)
    else:
        end = Endpoint(**{key: one.text() for key, one in value.entries(ENDPOINT_KEYS).items()})
    if end.node not in nodes:
        raise value.error(f"no node {end.node!r}; nodes: {', '.join(sorted(nodes))}")
    if not 1 <= len(end.interface) <= INTERFACE_LENGTH:
        raise value.error(f"interface {end.interface!r} needs 1 to {INTERFACE_LENGTH} characters; shorten it")
    return end
