"""Conditions as they are written, and which of them deserve an Event."""

from __future__ import annotations

import pytest

from ipam.conditions import Told
from netmgr.api.meta import Condition
from netmgr.controller.standing import conditions, news

THEN, NOW = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"
FULL = Told("Exhausted", True, "NoFreeAddress", "all 4 addresses are taken")
FREE = Told("Exhausted", False, "AddressesFree")
REFUSED = Told("Accepted", False, "Overlap", "belongs to another")


def present(one: Told, status: str | None = None) -> Condition:
    return Condition(one.type, status or str(one.status), one.reason, one.message, THEN, 1)


@pytest.mark.parametrize(("before", "since"), [("True", THEN), ("False", NOW)])
def test_a_transition_time_moves_only_with_its_status(before: str, since: str) -> None:
    (written,) = conditions([present(FULL, before)], [FULL], 2, NOW)
    assert (written["lastTransitionTime"], written["observedGeneration"]) == (since, 2)


def test_another_reason_of_the_same_status_is_no_transition() -> None:
    cooling = Told("Exhausted", True, "AllCooling", "rests")
    (written,) = conditions([present(FULL)], [cooling], 1, NOW)
    assert (written["reason"], written["lastTransitionTime"]) == ("AllCooling", THEN)


def test_conditions_of_others_stay_as_they_are() -> None:
    others = Condition("example.org/Checked", "True", "Fine", "", THEN, 1)
    assert [one["type"] for one in conditions([others], [FREE], 1, NOW)] == ["Exhausted", "example.org/Checked"]


@pytest.mark.parametrize(
    ("before", "told", "own_pool", "reasons"),
    [
        ([], [FULL], False, ["NoFreeAddress"]),
        ([], [FULL], True, []),
        ([], [FREE], False, []),
        ([present(FULL)], [FULL], False, []),
        ([], [REFUSED], True, ["Overlap"]),
        ([present(REFUSED)], [REFUSED], True, []),
        ([], [Told("Accepted", True, "PartlyAccepted", "10.0.0.1 belongs to another")], False, ["PartlyAccepted"]),
        ([], [Told("Ready", False, "Disabled", "spec.disable is set")], False, []),
    ],
)
def test_only_what_is_wrong_and_new_becomes_an_event(
    before: list[Condition], told: list[Told], own_pool: bool, reasons: list[str]
) -> None:
    assert [one.reason for one in news(before, told, own_pool=own_pool)] == reasons
