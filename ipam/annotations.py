"""What a Pod asks for: the `ipam.spidernet.io/*` annotations, parsed strictly. Annotations are untrusted input.

Precedence (the first source that says anything wins completely): `subnets`, `subnet`, `ippools`, `ippool`, the namespace's
`default-ipv4-ippool`/`default-ipv6-ippool`, the NetworkAttachmentDefinition's pools, pools with `spec.default`.

| `ippool-ip-number` | verdict |
| --- | --- |
| `"5"` | five addresses, whatever the replicas |
| `"+3"` | replicas + 3 |
| `"-1"`, `"3+2"`, `"++1"`, `"five"`, `""` | refused |
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ipam.errors import AddressError, AnnotationError, quoted
from ipam.prefix import AddressFamily, parse_address, parse_prefix
from ipam.route import PodRoute

PREFIX = "ipam.spidernet.io/"
SUBNET, SUBNETS = PREFIX + "subnet", PREFIX + "subnets"
POOL, POOLS = PREFIX + "ippool", PREFIX + "ippools"
NUMBER, RECLAIM = PREFIX + "ippool-ip-number", PREFIX + "ippool-reclaim"
RETAIN_ORDINALS = "netmgr.io/retain-ordinals"
ROUTES, DEFAULT_ROUTE_NIC = PREFIX + "routes", PREFIX + "default-route-nic"
MOST_ROUTES = 100
NAMESPACE_DEFAULTS = {
    AddressFamily.IPV4: PREFIX + "default-ipv4-ippool",
    AddressFamily.IPV6: PREFIX + "default-ipv6-ippool",
}
DEFAULT_INTERFACE = "eth0"
INTERFACE_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}")
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
LARGEST_POOL = 65536


class Source(Enum):
    """Which rule chose the pools."""

    SUBNET = "subnet"
    POOL = "pool"
    NAMESPACE = "namespace"
    NETWORK = "network"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class IpNumber:
    """Size of an auto pool: `count` addresses, or replicas + `count` where `flexible`."""

    count: int
    flexible: bool

    def __str__(self) -> str:
        return f"+{self.count}" if self.flexible else str(self.count)


@dataclass(frozen=True, slots=True)
class InterfaceRequest:
    """Names of subnets or pools for one interface, per family, in the user's order; `clean_gateway`: no default route there."""

    interface: str
    source: Source
    names: Mapping[AddressFamily, tuple[str, ...]]
    clean_gateway: bool = False


@dataclass(frozen=True, slots=True)
class AddressRequest:
    """Everything the annotations say. No interfaces: default pools decide."""

    interfaces: tuple[InterfaceRequest, ...] = ()
    number: IpNumber | None = None
    reclaim: bool = True
    retain_ordinals: bool = False

    @property
    def wants_auto_pool(self) -> bool:
        """Whether a subnet is named, so that the application gets pools of its own."""
        return any(one.source is Source.SUBNET for one in self.interfaces)


def parse_request(
    annotations: Mapping[str, str] | None, namespace: Mapping[str, str] | None = None, interfaces: Sequence[str] = ()
) -> AddressRequest:
    """The request of a Pod (or Pod template) in its namespace; AnnotationError on what cannot be understood.

    `interfaces` are the Pod's, in order, for lists that do not name them (`ipam.networks.interface_names`).
    """
    pod = annotations or {}
    number = parse_number(pod[NUMBER]) if NUMBER in pod else None
    reclaim = parse_bool(RECLAIM, pod[RECLAIM]) if RECLAIM in pod else True
    retain = parse_bool(RETAIN_ORDINALS, pod[RETAIN_ORDINALS]) if RETAIN_ORDINALS in pod else False
    rules = AddressRequest(number=number, reclaim=reclaim, retain_ordinals=retain)
    for plural, single, source in ((SUBNETS, SUBNET, Source.SUBNET), (POOLS, POOL, Source.POOL)):
        if plural in pod:
            return replace(rules, interfaces=parse_list(plural, pod[plural], source, interfaces))
        if single in pod:
            entry = parse_entry(single, pod[single], decode(single, pod[single]), source)
            return replace(rules, interfaces=(entry,))
    return replace(rules, interfaces=namespace_defaults(namespace or {}))


def parse_number(text: str) -> IpNumber:
    """`N` or `+N`."""
    match = re.fullmatch(r"(\+?)([0-9]{1,6})", text)
    if not match or int(match[2]) > LARGEST_POOL:
        raise AnnotationError(NUMBER, text, "is not a number of addresses", f'write "5" or "+3" (up to {LARGEST_POOL})')
    if not match[1] and int(match[2]) == 0:
        raise AnnotationError(NUMBER, text, "would be an empty pool", 'write at least "1"')
    return IpNumber(int(match[2]), flexible=bool(match[1]))


def parse_bool(key: str, text: str) -> bool:
    """Go's strconv.ParseBool: the forms that Spiderpool accepts."""
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise AnnotationError(key, text, "is neither true nor false", 'write "true" or "false"')


def decode(key: str, text: str) -> object:
    """JSON, or AnnotationError with the position; a plain ValueError is a repeated key, or a number of over 4,300 digits."""
    try:
        value: object = json.loads(text, object_pairs_hook=without_repeats)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(key, text, f"is not JSON ({error})", 'write it as \'{"ipv4":["NAME"]}\'') from error
    return value


def without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object; ValueError on a repeated key, of which json would silently keep the last."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is written twice")
    return fields


def parse_list(key: str, text: str, source: Source, interfaces: Sequence[str] = ()) -> tuple[InterfaceRequest, ...]:
    """The plural annotations: a list of objects, one per interface, all named or all unnamed.

    Unnamed ones are the Pod's `interfaces` in their order, as far as these are known, then `netN` by position (eth0, net1, net2).
    """
    value = decode(key, text)
    if not isinstance(value, list) or not value:
        raise AnnotationError(key, text, "is not a list of objects", 'write it as \'[{"ipv4":["NAME"]}]\'')
    named = [isinstance(one, dict) and "interface" in one for one in value]
    if any(named) and not all(named):
        raise AnnotationError(key, text, "names some interfaces and not others", "name all of them or none")
    entries = tuple(parse_entry(key, text, one, source, _name_at(i, interfaces)) for i, one in enumerate(value))
    if len({entry.interface for entry in entries}) != len(entries):
        raise AnnotationError(key, text, "names an interface twice", "give each interface one entry")
    if source is Source.SUBNET:
        for family in AddressFamily:
            subnets = [name for entry in entries for name in entry.names.get(family, ())]
            if len(set(subnets)) != len(subnets):
                raise AnnotationError(key, text, "names a subnet for two interfaces", "give each interface a subnet of its own")
    return entries


def _name_at(position: int, interfaces: Sequence[str]) -> str:
    """The name of the interface at that position, as Multus gives it."""
    if position < len(interfaces):
        return interfaces[position]
    return f"net{position}" if position else DEFAULT_INTERFACE


def parse_entry(key: str, text: str, value: object, source: Source, interface: str = DEFAULT_INTERFACE) -> InterfaceRequest:
    """One object with `ipv4`, `ipv6` and `interface`."""
    if not isinstance(value, dict):
        raise AnnotationError(key, text, "is not an object", 'write it as \'{"ipv4":["NAME"]}\'')
    if unknown := set(value) - {"ipv4", "ipv6", "interface", "cleangateway"}:
        raise AnnotationError(key, text, f"has unknown keys {quoted(sorted(unknown))}", "use ipv4, ipv6 and interface")
    chosen = value.get("interface", interface)
    if not isinstance(chosen, str) or not INTERFACE_NAME.fullmatch(chosen):
        raise AnnotationError(key, text, "has an interface that is no interface name", 'write "eth0"')
    if not isinstance(value.get("cleangateway", False), bool):
        raise AnnotationError(key, text, "has a cleangateway that is neither true nor false", "write true or false, unquoted")
    names = {
        family: parse_names(key, text, value.get(f"ipv{family.number}"), wildcards=source is Source.POOL)
        for family in AddressFamily
    }
    present = {family: listed for family, listed in names.items() if listed}
    if not present:
        raise AnnotationError(key, text, "names nothing", 'name at least one in "ipv4" or "ipv6"')
    return InterfaceRequest(chosen, source, present, value.get("cleangateway", False))


def parse_names(key: str, text: str, value: object, *, wildcards: bool) -> tuple[str, ...]:
    """A list of object names; pools may be wildcards."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise AnnotationError(key, text, "has something else where a list of names belongs", 'write ["NAME"]')
    for name in value:
        plain = re.sub(r"[*?\[\]]", "a", name) if isinstance(name, str) and wildcards else name
        if not isinstance(plain, str) or not OBJECT_NAME.fullmatch(plain):
            raise AnnotationError(key, text, f"names {quoted(name)}, which is no object name", "use the name kubectl shows")
    if len(set(value)) != len(value):
        raise AnnotationError(key, text, "names one twice", "name each once, in order of preference")
    return tuple(value)


def parse_routes(text: str) -> tuple[PodRoute, ...]:
    """`[{"dst":"10.0.0.0/8","gw":"10.6.0.1"}]`: prefix and gateway of one family; a default route is no route, it is a gateway."""
    value = decode(ROUTES, text)
    if not isinstance(value, list) or len(value) > MOST_ROUTES:
        raise AnnotationError(ROUTES, text, f"is not a list of at most {MOST_ROUTES} routes", ROUTE_FORM)
    routes = tuple(_route(text, one) for one in value)
    if len({one.dst for one in routes}) != len(routes):
        raise AnnotationError(ROUTES, text, "names a destination twice", "give each destination one gateway")
    return routes


ROUTE_FORM = 'write it as \'[{"dst":"10.0.0.0/8","gw":"10.6.0.1"}]\''


def _route(text: str, value: object) -> PodRoute:
    if not isinstance(value, dict) or set(value) != {"dst", "gw"} or not all(isinstance(word, str) for word in value.values()):
        raise AnnotationError(ROUTES, text, f"has {quoted(value)} where a route belongs", ROUTE_FORM)
    try:
        route = PodRoute(parse_prefix(value["dst"]), parse_address(value["gw"]))
    except AddressError as error:
        raise AnnotationError(ROUTES, text, f"has a route that cannot be read: {error}", ROUTE_FORM) from error
    if route.dst.family is not route.gw.family:
        raise AnnotationError(ROUTES, text, f"has the route {route}, of two families", "give it a gateway of its own family")
    if route.dst.length == 0:
        raise AnnotationError(ROUTES, text, f"has the default route {route}", f"choose its interface with {DEFAULT_ROUTE_NIC}")
    return route


def parse_default_route(text: str) -> str:
    """The interface whose default route is the Pod's."""
    if not INTERFACE_NAME.fullmatch(text):
        raise AnnotationError(DEFAULT_ROUTE_NIC, text, "is no interface name", 'write "eth0" or "net1"')
    return text


def namespace_defaults(annotations: Mapping[str, str]) -> tuple[InterfaceRequest, ...]:
    """Pools that the namespace names for its Pods."""
    names: dict[AddressFamily, tuple[str, ...]] = {}
    for family, key in NAMESPACE_DEFAULTS.items():
        if key in annotations:
            value = decode(key, annotations[key])
            if value is None:
                raise AnnotationError(key, annotations[key], "names nothing", 'write ["NAME"], or remove the annotation')
            names[family] = parse_names(key, annotations[key], value, wildcards=True)
    present = {family: listed for family, listed in names.items() if listed}
    return (InterfaceRequest(DEFAULT_INTERFACE, Source.NAMESPACE, present),) if present else ()
