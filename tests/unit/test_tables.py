"""The tables of promises and of defects name tests that exist and run; examples and buckets are what the tables say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from netmgr.agent import metrics as agent_metrics
from netmgr.controller import metrics as controller_metrics
from tests.conformance import CONFORMANCE
from tests.defects import DEFECTS
from tests.rows import ROOT, Row, collected, faults

EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
PARTS = {
    "Selection",
    "Auto pools",
    "StatefulSet",
    "Dual stack and several interfaces",
    "Release and repair",
    "Admission",
    "Import",
    "Metrics and Events",
}


@pytest.fixture(scope="module")
def known() -> dict[str, frozenset[str]]:
    """Every test, with its marks."""
    return collected()


def test_every_promise_is_shown_by_tests_that_exist_and_run(known: dict[str, frozenset[str]]) -> None:
    assert faults((row for rows in CONFORMANCE.values() for row in rows), known) == []


def test_every_part_of_what_is_promised_has_rows() -> None:
    assert {part for part, rows in CONFORMANCE.items() if rows} == PARTS


def test_every_defect_is_prevented_by_tests_that_exist_and_run(known: dict[str, frozenset[str]]) -> None:
    assert faults(DEFECTS, known) == []


def test_no_row_stands_twice() -> None:
    rows = [row.what for rows in (*CONFORMANCE.values(), DEFECTS) for row in rows]
    assert sorted(set(rows)) == sorted(rows)


def test_no_test_decides_by_itself_that_it_does_not_run() -> None:
    words = ("pytest" + ".skip(", "importor" + "skip(", "pytest" + ".xfail(")
    assert [str(file) for file in (ROOT / "tests").rglob("*.py") if any(word in file.read_text() for word in words)] == []


def test_the_checker_finds_rows_without_tests_and_tests_that_do_not_exist_or_never_run() -> None:
    rows = (Row("a", ()), Row("b", ("x.py::gone",)), Row("c", ("x.py::off",)), Row("d", ("x.py::on",)))
    there = {"tests/x.py::off": frozenset({"skip"}), "tests/x.py::on": frozenset({"lab"})}
    assert faults(rows, there) == ["a: no test", "b: x.py::gone does not exist", "c: x.py::off does not run"]


def annotations_in(thing: Any) -> list[Any]:
    """The values of all annotations in a document."""
    if isinstance(thing, list):
        return [value for one in thing for value in annotations_in(one)]
    if not isinstance(thing, dict):
        return []
    own = list((thing.get("annotations") or {}).values()) if isinstance(thing.get("annotations"), dict) else []
    return own + [value for one in thing.values() for value in annotations_in(one)]


@pytest.mark.parametrize("file", EXAMPLES, ids=[file.stem for file in EXAMPLES])
def test_every_annotation_of_an_example_is_a_string(file: Path) -> None:
    values = [value for document in yaml.safe_load_all(file.read_text()) for value in annotations_in(document)]
    assert all(isinstance(value, str) for value in values)


@pytest.mark.parametrize("buckets", [agent_metrics.BUCKETS, controller_metrics.BUCKETS], ids=["agent", "controller"])
def test_latency_is_told_from_half_a_millisecond_on(buckets: tuple[float, ...]) -> None:
    assert buckets[0] == 0.0005
    assert list(buckets) == sorted(buckets)
