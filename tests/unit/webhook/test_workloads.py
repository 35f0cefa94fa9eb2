"""Whatever annotations say, there is an answer: a refusal that names the key, or none."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from netmgr.webhook.review import LONGEST_MESSAGE, AdmissionRequest, GroupVersionKind, response
from netmgr.webhook.workloads import READ_ON_NAMESPACES, READ_ON_PODS, Known, judge

NOTHING = Known(subnet=lambda _: None, pool=lambda _: None)
MULTUS = ("k8s.v1.cni.cncf.io/networks", "v1.multus-cni.io/default-network")
KEYS = sorted({*READ_ON_PODS, *READ_ON_NAMESPACES, *MULTUS, "ipam.spidernet.io/x"})
ROUTES = '[{"dst":"10.0.0.0/8","gw":"10.1.0.1"}]'
VALUES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(['{"ipv4":["a"]}', '[{"ipv4":["a"]},{"ipv6":["b"]}]', "+3", "true", "net1", ROUTES]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["ipv4", "ipv6", "interface", "dst", "gw"]), inner)
        ),
        max_leaves=8,
    ).map(json.dumps),
)
ANNOTATIONS = st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=4)


def about(kind: str, body: Any) -> AdmissionRequest:
    raw = msgspec.Raw(json.dumps(body).encode())
    return AdmissionRequest(uid="u", kind=GroupVersionKind(kind=kind), operation="CREATE", name="a", namespace="n", object=raw)


@given(annotations=ANNOTATIONS)
def test_annotations_of_any_kind_are_answered(annotations: dict[str, str]) -> None:
    template = {"metadata": {"annotations": annotations}}
    for kind, body in (
        ("Pod", template),
        ("Namespace", template),
        ("Deployment", {"metadata": {}, "spec": {"template": template}}),
        ("CronJob", {"metadata": {}, "spec": {"jobTemplate": {"spec": {"template": template}}}}),
    ):
        answer = judge(about(kind, body), NOTHING)
        told = response(about(kind, body), answer)["response"]
        assert told["allowed"] == (not answer.refusals)
        assert len(told.get("status", {}).get("message", "")) <= LONGEST_MESSAGE
        assert all(len(warning) <= 250 for warning in told.get("warnings", []))


@given(
    body=st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda one: st.dictionaries(st.sampled_from(["metadata", "spec", "template", "annotations", "jobTemplate"]), one),
        max_leaves=10,
    )
)
def test_objects_of_any_form_are_answered(body: Any) -> None:
    assert judge(about("CronJob", body), NOTHING).refusals == ()


def test_a_mistake_is_refused_with_place_and_key() -> None:
    template = {"metadata": {"annotations": {"ipam.spidernet.io/ippool": "x"}}}
    refused = judge(about("Deployment", {"metadata": {}, "spec": {"template": template}}), NOTHING)
    assert refused.refusals[0].startswith("Deployment n/a, Pod template: annotation ipam.spidernet.io/ippool: 'x' is not JSON")
