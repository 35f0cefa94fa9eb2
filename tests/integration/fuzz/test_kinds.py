"""Every field of every kind: the real API server refuses it with a message, or the product understands what it let in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipam.acceptance import Acceptance, accept_subnets, understand
from ipam.prefix import AddressFamily
from netmgr.api.definitions import definitions
from netmgr.api.meta import Json
from netmgr.api.spider import SpiderIPPool, SpiderReservedIP, SpiderSubnet
from netmgr.controller import codec
from netmgr.kube.client import Api, Call
from netmgr.kube.config import load
from netmgr.kube.errors import BadRequest, Invalid
from tests.cases import fuzzed
from tests.integration.apiserver import ApiServer

KINDS = {one["spec"]["names"]["kind"]: one for one in definitions()}
IPV4 = ["10.9.0.0/16", "10.9.0.1", "10.9.0.1-10.9.0.9", "10.9.0.9-10.9.0.1", "10.9.0.0/33", "0.0.0.0/0"]
IPV6 = ["fd00::/64", "fd00::1", "fd00::1-fd00::9", "::ffff:10.9.0.1", "10.9.0.1-fd00::1"]
OTHER = ["", "node-a", "eth0", "65000:1", "a" * 400, "é\n"]
TEXTS = st.one_of(st.sampled_from([*IPV4, *IPV6, *OTHER]), st.text(max_size=10))


def values_of(schema: Json) -> st.SearchStrategy[Any]:
    """Values of a field: mostly of its type, sometimes of none."""
    kind = schema.get("type")
    if "enum" in schema:
        return st.sampled_from([*schema["enum"], "other"])
    if kind == "object":
        named_ = {key: values_of(one) for key, one in schema.get("properties", {}).items()}
        if not named_:
            return st.dictionaries(st.text(max_size=6), TEXTS, max_size=2)
        return st.fixed_dictionaries({}, optional=named_)
    if kind == "array":
        return st.lists(values_of(schema["items"]), max_size=3)
    right = {"integer": st.one_of(st.integers(-2, 70000), st.just(2**40)), "boolean": st.booleans()}.get(str(kind), TEXTS)
    return st.one_of(right, right, right, st.none(), TEXTS)


class Asking:
    """One client for thousands of dry runs."""

    def __init__(self, server: ApiServer) -> None:
        self.loop = asyncio.new_event_loop()
        self.api = Api(load(server.kubeconfig), user_agent="fuzz")
        self.loop.run_until_complete(self.api.__aenter__())

    def create(self, collection: str, body: Json) -> bytes | str:
        """What the server would store, or its words of refusal; anything else fails the test."""
        try:
            return self.loop.run_until_complete(self.api._send(Call("create", collection, query={"dryRun": "All"}, body=body)))
        except (Invalid, BadRequest) as refused:
            return refused.message

    def close(self) -> None:
        self.loop.run_until_complete(self.api.__aexit__(None, None, None))
        self.loop.close()


@pytest.fixture(scope="module")
def asking(api_server: ApiServer) -> Iterator[Asking]:
    one = Asking(api_server)
    yield one
    one.close()


def stored(asking: Asking, kind: str, spec: Json) -> bytes | str:
    """A dry run of an object of a kind with this spec."""
    definition = KINDS[kind]["spec"]
    version = definition["versions"][0]["name"]
    group = f"{definition['group']}/{version}"
    home = "/namespaces/default" if definition["scope"] == "Namespaced" else ""
    collection = f"/apis/{group}{home}/{definition['names']['plural']}"
    return asking.create(collection, {"apiVersion": group, "kind": kind, "metadata": {"name": "fuzz"}, "spec": spec})


def schema_of(kind: str) -> Json:
    found: Json = KINDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].get("spec", {"type": "object"})
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_any_spec_is_stored_or_refused_with_words(asking: Asking, kind: str) -> None:
    @fuzzed()
    @given(values_of(schema_of(kind)))
    def property_(spec: Json) -> None:
        answer = stored(asking, kind, spec)
        assert isinstance(answer, bytes) or len(answer) > 10

    property_()


PLAUSIBLE = st.fixed_dictionaries(
    {"subnet": st.sampled_from(["10.9.0.0/16", "fd00::/64", "10.9.0.0/30", "0.0.0.0/0", "::/0"])},
    optional={
        "ips": st.lists(TEXTS, max_size=3),
        "excludeIPs": st.lists(TEXTS, max_size=2),
        "gateway": TEXTS,
        "routes": st.lists(st.fixed_dictionaries({"dst": TEXTS, "gw": TEXTS}), max_size=2),
    },
)
READERS: dict[str, Any] = {"SpiderSubnet": SpiderSubnet, "SpiderIPPool": SpiderIPPool}


@pytest.mark.parametrize("kind", sorted(READERS))
def test_what_the_api_server_lets_in_the_controller_accepts_or_says_why(asking: Asking, kind: str) -> None:
    @fuzzed()
    @given(PLAUSIBLE)
    def property_(spec: Json) -> None:
        answer = stored(asking, kind, spec)
        if isinstance(answer, bytes):
            declared = codec.declared(msgspec.json.decode(answer, type=READERS[kind]))
            verdict = understand(kind, declared)
            assert not isinstance(verdict, Acceptance) or verdict.message
            assert all(one.accepted or one.message for one in accept_subnets([declared]).values())

    property_()


def test_a_reservation_that_is_let_in_can_be_read(asking: Asking) -> None:
    @fuzzed()
    @given(st.fixed_dictionaries({"ips": st.lists(TEXTS, max_size=3)}))
    def property_(spec: Json) -> None:
        answer = stored(asking, "SpiderReservedIP", spec)
        if isinstance(answer, bytes):
            one = msgspec.json.decode(answer, type=SpiderReservedIP)
            for family in AddressFamily:
                assert codec.reserved_in(family, [one]).size >= 0

    property_()
