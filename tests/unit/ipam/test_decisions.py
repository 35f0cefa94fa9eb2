"""Acceptance, selection, release, names and projections: tables of rules."""

from __future__ import annotations

import json

import pytest

from ipam.acceptance import Declared, accept_subnets
from ipam.accepted_pools import accept_pools
from ipam.application import Application, auto_pool_name
from ipam.prefix import AddressFamily
from ipam.projection import Held, allocated_ips
from ipam.release import PodState, Report, Verdict, decide, report_of
from ipam.selection import PodView, PoolView, Selector, candidates, named_pools

V4 = AddressFamily.IPV4
APP = Application(group_version="apps/v1", kind="Deployment", namespace="default", name="nginx", uid="a-b-c-d-452e737e5e12")


def subnet(name: str, prefix: str, *ips: str, created: str = "2026-01-01T00:00:00Z") -> Declared:
    return Declared(name=name, created=created, subnet=prefix, ips=ips)


def test_the_older_of_two_overlapping_subnets_is_accepted_then_the_lesser_name() -> None:
    older = subnet("z", "10.0.0.0/16", created="2025-01-01T00:00:00Z")
    verdicts = accept_subnets([subnet("a", "10.0.1.0/24"), older, subnet("b", "10.1.0.0/16"), subnet("c", "10.1.0.0/16")])
    assert {name: one.accepted for name, one in verdicts.items()} == {"z": True, "a": False, "b": True, "c": False}
    assert "SpiderSubnet z" in verdicts["a"].message


def test_exclusions_are_taken_off() -> None:
    one = Declared(name="s", created="", subnet="10.0.0.0/24", ips=("10.0.0.1-10.0.0.9",), exclude_ips=("10.0.0.3",))
    verdict = accept_subnets([one])["s"]
    assert verdict.ranges is not None
    assert verdict.ranges.texts() == ["10.0.0.1-10.0.0.2", "10.0.0.4-10.0.0.9"]


def test_the_gateway_is_never_a_pods_address() -> None:
    one = Declared(name="s", created="", subnet="10.0.0.0/24", ips=("10.0.0.1-10.0.0.9",), gateway="10.0.0.1")
    verdict = accept_subnets([one])["s"]
    assert verdict.ranges is not None
    assert verdict.ranges.texts() == ["10.0.0.2-10.0.0.9"]


def test_ranges_of_a_pool_are_accepted_one_by_one() -> None:
    subnets = accept_subnets([subnet("s", "10.0.0.0/24", "10.0.0.1-10.0.0.20")])
    first = subnet("a", "10.0.0.0/24", "10.0.0.1-10.0.0.5")
    second = subnet("b", "10.0.0.0/24", "10.0.0.4-10.0.0.8", "10.0.0.30", created="2026-02-01T00:00:00Z")
    verdict = accept_pools([first, second], subnets)["b"]
    assert verdict.ranges is not None
    assert verdict.ranges.texts() == ["10.0.0.6-10.0.0.8"]
    assert verdict.reason == "PartlyAccepted"
    assert "10.0.0.4-10.0.0.5 belongs to SpiderIPPool a" in verdict.message
    assert "10.0.0.30 is not in spec.ips of SpiderSubnet s" in verdict.message


LIVES, GOING, DONE, GONE = PodState.LIVES, PodState.TERMINATING, PodState.FINISHED, PodState.GONE


@pytest.mark.parametrize(
    ("pod", "report", "retained", "verdict"),
    [
        (LIVES, Report.NONE, False, Verdict.KEEP),
        (LIVES, Report.DETACHED, False, Verdict.KEEP),
        (LIVES, Report.ASKED, False, Verdict.KEEP),
        (GOING, Report.NONE, False, Verdict.KEEP),
        (GOING, Report.ASKED, False, Verdict.KEEP),
        (GOING, Report.DETACHED, False, Verdict.FREE),
        (GONE, Report.NONE, False, Verdict.ASK),
        (DONE, Report.NONE, False, Verdict.ASK),
        (GONE, Report.ASKED, False, Verdict.KEEP),
        (GONE, Report.DETACHED, False, Verdict.FREE),
        (DONE, Report.DETACHED, False, Verdict.FREE),
        (GONE, Report.DETACHED, True, Verdict.RETAIN),
        (GONE, Report.COOLED, False, Verdict.FREE),
    ],
)
def test_nothing_is_freed_without_two_proofs(pod: PodState, report: Report, retained: bool, verdict: Verdict) -> None:
    assert decide(pod, report, retained=retained).verdict is verdict


@pytest.mark.parametrize(
    ("report", "verdict"), [(Report.NONE, Verdict.ASK), (Report.ASKED, Verdict.KEEP), (Report.DETACHED, Verdict.FREE)]
)
def test_a_living_pods_second_address_is_freed_once_the_agent_says_it_is_not_attached(report: Report, verdict: Verdict) -> None:
    assert decide(PodState.LIVES, report, retained=False, surplus=True).verdict is verdict


def test_a_pool_with_a_cooldown_cools_first() -> None:
    assert decide(GONE, Report.DETACHED, retained=False, cooldown=True).verdict is Verdict.COOL


def test_a_report_about_another_holder_is_void() -> None:
    assert report_of(phase="Detached", reported_pod="old", holder="new") is Report.NONE
    assert report_of(phase="Detached", reported_pod="new", holder="new") is Report.DETACHED


POD = PodView(namespace="default", labels={}, node="n1", node_labels={}, namespace_labels={}, application=APP.book_key)


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        (PoolView(name="p", family=V4, free=1), ""),
        (PoolView(name="p", family=V4, free=0), "no free address"),
        (PoolView(name="p", family=V4, free=1, disabled=True), "disabled"),
        (PoolView(name="p", family=V4, free=1, terminating=True), "being deleted"),
        (PoolView(name="p", family=V4, free=1, accepted=False), "not accepted"),
        (PoolView(name="p", family=AddressFamily.IPV6, free=1), "not IPv4"),
        (PoolView(name="p", family=V4, free=1, application="apps_v1_Deployment_x_y"), "another application"),
        (PoolView(name="p", family=V4, free=1, application=APP.book_key), ""),
        (PoolView(name="p", family=V4, free=1, node_names=frozenset({"n2"})), "node n1"),
        (PoolView(name="p", family=V4, free=1, namespaces=frozenset({"other"})), "namespace default"),
        (PoolView(name="p", family=V4, free=1, pod_selector=Selector()), ""),
    ],
)
def test_each_pool_that_is_refused_says_why(pool: PoolView, words: str) -> None:
    answer = candidates(["p"], V4, {"p": pool}, POD)[0]
    assert answer.usable == (words == "")
    assert words in answer.refusal


def test_the_users_order_is_kept_and_wildcards_are_expanded_by_name() -> None:
    pools = {name: PoolView(name=name, family=V4, free=1) for name in ("app-b", "app-a", "z")}
    assert named_pools(["z", "app-*", "app-b", "missing"], V4, pools) == ["z", "app-a", "app-b", "missing"]


def test_an_auto_pool_is_named_by_application_family_interface_and_uid() -> None:
    assert auto_pool_name(APP, V4, "eth0") == "auto-nginx-v4-eth0-452e737e5e12"


def test_a_long_application_name_is_cut_to_the_longest_object_name() -> None:
    long = Application(group_version="apps/v1", kind="Deployment", namespace="d", name="n" * 253, uid="x-452e737e5e12")
    assert len(auto_pool_name(long, V4, "eth0")) == 253


def test_the_projection_is_cut_and_says_so() -> None:
    text, cut = allocated_ips(Held(f"10.0.{i >> 8}.{i & 255}", "default/pod", "u" * 36) for i in range(5000))
    assert cut
    assert text is not None
    assert len(text) <= 256 * 1024
    assert len(json.loads(text)) > 1000


def test_an_empty_projection_is_absent() -> None:
    assert allocated_ips([]) == (None, False)
