"""Whatever somebody writes into an annotation: a request or a refusal that names key and remedy, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ipam.annotations import (
    NAMESPACE_DEFAULTS,
    NUMBER,
    POOL,
    POOLS,
    PREFIX,
    RECLAIM,
    SUBNET,
    SUBNETS,
    AddressRequest,
    parse_request,
)
from ipam.errors import AnnotationError
from tests.cases import fuzzed

NAMES = st.one_of(st.sampled_from(["s", "pool-a", "*", "a[", "A", "", "a\nb", "x" * 300, "é", "\u0000"]), st.text(max_size=12))
LISTS = st.one_of(st.lists(NAMES, max_size=4), NAMES, st.none(), st.integers(), st.booleans())
ENTRIES = st.dictionaries(
    st.sampled_from(["ipv4", "ipv6", "interface", "cleangateway", "ipv5", ""]),
    st.one_of(LISTS, st.sampled_from(["eth0", "net1", "e/0"])),
)
JSONS: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
ROUTES = st.lists(st.fixed_dictionaries({"dst": st.text(max_size=20), "gw": st.text(max_size=20)}), max_size=3)
VALUES = st.one_of(
    st.one_of(ENTRIES, st.lists(ENTRIES, max_size=3), st.lists(NAMES, max_size=3), ROUTES, JSONS).map(json.dumps),
    st.text(max_size=40),
    st.sampled_from(["[" * 5000, '{"ipv4":' * 900, "1" * 5000, "NaN", "Infinity", "+", "+3", "7", "true", "-1", "٣"]),
)
KEYS = st.one_of(
    st.sampled_from([SUBNET, SUBNETS, POOL, POOLS, NUMBER, RECLAIM, PREFIX + "routes", *NAMESPACE_DEFAULTS.values()]),
    st.text(max_size=8).map(lambda tail: PREFIX + tail),
)
ANNOTATIONS = st.dictionaries(KEYS, VALUES, max_size=5)


def parsed(pod: dict[str, str], namespace: dict[str, str]) -> AddressRequest | AnnotationError:
    """What came of it; anything but these two fails the test."""
    try:
        return parse_request(pod, namespace)
    except AnnotationError as refused:
        return refused


@fuzzed()
@given(ANNOTATIONS, ANNOTATIONS)
def test_any_annotations_are_understood_or_refused_by_key_with_a_remedy(pod: dict[str, str], namespace: dict[str, str]) -> None:
    answer = parsed(pod, namespace)
    refused_well = (
        isinstance(answer, AnnotationError) and answer.key in str(answer) and bool(answer.remedy) and len(str(answer)) < 1024
    )
    assert isinstance(answer, AddressRequest) or refused_well


@fuzzed()
@given(ANNOTATIONS)
def test_a_request_names_only_what_may_be_the_name_of_an_object(pod: dict[str, str]) -> None:
    answer = parsed(pod, {})
    interfaces = answer.interfaces if isinstance(answer, AddressRequest) else ()
    names = [name for one in interfaces for listed in one.names.values() for name in listed]
    assert all(name.isascii() and name == name.strip() and not set(name) & set("\"'\\\n{}/ ") for name in names)
