"""Every reason that the code records is in the list and in the page, and the other way round."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from ipam.conditions import OBSTACLES
from netmgr.api.reasons import CONDITIONS, EVENTS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "events.md").read_text()
WORD = re.compile(r"([A-Z][a-z]+)+")
QUIET = frozenset({"Pending"})
"""Reasons that stand for something that was not looked at yet: never recorded."""
FIRST = frozenset({"Refusal", "Unsized", "Problem"})
"""Values whose first word is a reason."""


def trees(*folders: str) -> Iterator[ast.AST]:
    for path in chain.from_iterable(sorted((ROOT / folder).rglob("*.py")) for folder in folders):
        yield ast.parse(path.read_text(), str(path))


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Each call with the last word of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")), node


def words(*nodes: ast.expr) -> set[str]:
    """Reasons that stand literally in expressions: a word, or one of two words."""
    found = {part.value for node in nodes for part in ast.walk(node) if isinstance(part, ast.Constant)}
    return {one for one in found if isinstance(one, str) and WORD.fullmatch(one)}


def literal(nodes: list[ast.expr]) -> list[ast.expr]:
    return [node for node in nodes if isinstance(node, ast.Constant)]


def recorded() -> set[str]:
    """Reasons of Events in the code: where they are recorded, and in the values that are recorded later."""
    found: set[str] = set()
    for name, call in chain.from_iterable(
        calls(tree) for tree in trees("netmgr/controller", "netmgr/kube", "netmgr/agent", "netmgr/speaker")
    ):
        if name in FIRST:
            found |= words(*call.args[:1])
        elif name == "record":
            found |= words(*call.args[2:3])
        elif name == "_tell":
            found |= words(*literal(call.args))
    return found | accepted() | {one for type_ in ("Exhausted", "ReservedInUse") for one in CONDITIONS[type_]["True"]}


def accepted() -> set[str]:
    """Reasons of refusals in acceptance."""
    found: set[str] = set()
    for tree in trees("ipam"):
        for name, call in calls(tree):
            if name == "Acceptance":
                found |= words(*(one.value for one in call.keywords if one.arg == "reason"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "reason":
                found |= words(node.value)
    return found


def said() -> set[str]:
    """Reasons of conditions in the code."""
    tree = ast.parse((ROOT / "ipam" / "conditions.py").read_text())
    told = {one for name, call in calls(tree) if name == "Told" for one in words(*call.args[2:3])}
    return told | set(OBSTACLES) | accepted() | {"Accepted", "Ready"}


def test_each_reason_recorded_in_the_code_is_listed_and_the_other_way_round() -> None:
    assert recorded() - QUIET == set(EVENTS)


def test_each_listed_reason_is_in_the_page_with_what_it_is_recorded_on_and_the_other_way_round() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([A-Z]?[\w, ]+) \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE)
    assert {reason: frozenset(kinds.split(", ")) for reason, kinds in rows} == EVENTS


def test_each_condition_in_the_page_is_listed_and_the_other_way_round() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(True|False)` \| ([^|]+) \|$", PAGE, re.MULTILINE)
    table: dict[str, dict[str, frozenset[str]]] = {}
    for type_, status, reasons in rows:
        table.setdefault(type_, {})[status] = frozenset(re.findall(r"`(\w+)`", reasons))
    assert table == CONDITIONS


def test_each_condition_reason_in_the_code_is_listed_and_the_other_way_round() -> None:
    listed = {one for by_status in CONDITIONS.values() for reasons in by_status.values() for one in reasons}
    assert said() == listed


@pytest.mark.parametrize("reason", EVENTS)
def test_a_reason_is_one_word_in_camel_case(reason: str) -> None:
    assert WORD.fullmatch(reason)
