"""What counts as reached from outside."""

from __future__ import annotations

import pytest

from netmgr.reach.targets import Choice, NoTargetError, chosen
from netmgr.reach.verdict import Sighting, Source, seen_in
from tests.unit.netmgr.test_findings import allocation

GOOD = {"address": "10.0.0.1", "connect_ms": 1.0, "status": 200, "answer_ms": 2.0, "own": "192.0.2.10", "seen": "192.0.2.10"}


@pytest.mark.parametrize(
    ("changes", "reached", "source"),
    [
        ({}, True, Source.PRESERVED),
        ({"seen": ""}, True, Source.UNKNOWN),
        ({"status": 404, "seen": ""}, True, Source.UNKNOWN),
        ({"seen": "172.30.0.101"}, False, Source.CHANGED),
        ({"status": 502, "seen": ""}, False, Source.UNKNOWN),
        ({"status": 0, "seen": "", "error": "HTTP: no answer within 3 s"}, False, Source.UNKNOWN),
        ({"connect_ms": -1.0, "status": 0, "seen": "", "error": "TCP: refused"}, False, Source.UNKNOWN),
        ({"own": "2001:db8:2::10", "seen": "2001:db8:2:0::10"}, True, Source.PRESERVED),
    ],
)
def test_verdict(changes: dict[str, object], reached: bool, source: Source) -> None:
    seen = Sighting(**{**GOOD, **changes})  # type: ignore[arg-type] # fields by name
    assert (seen.reached(http=True), seen.source) == (reached, source)


def test_tcp_alone_needs_no_http() -> None:
    assert Sighting(address="10.0.0.1", connect_ms=1.0, own="192.0.2.10").reached(http=False)


@pytest.mark.parametrize(
    ("body", "seen"),
    [("192.0.2.10 10.0.0.1\n", "192.0.2.10"), ("::ffff:192.0.2.10 x", "192.0.2.10"), ("<html>", ""), ("", ""), ("1.2.3 x", "")],
)
def test_the_address_that_a_page_begins_with(body: str, seen: str) -> None:
    assert seen_in(body) == seen


def test_nothing_chosen_is_an_error_and_no_success() -> None:
    with pytest.raises(NoTargetError, match="pool nix: no address is in use; pools with addresses in use: pool"):
        chosen([allocation()], Choice(pool="nix"))


def test_everything_is_chosen_without_a_choice() -> None:
    assert len(chosen([allocation()], Choice())) == 1
