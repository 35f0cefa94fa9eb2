"""Rows of the tables that say which test shows what, and the reading of pytest's own list of tests."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEVER_RUN = frozenset({"skip", "skipif", "xfail"})


@dataclass(frozen=True, slots=True)
class Row:
    """A promise or a defect, and the tests that show it: ids without parameters, `tests/` left out."""

    what: str
    tests: tuple[str, ...]


def collected() -> dict[str, frozenset[str]]:
    """Every test of the project by its id without parameters, with its marks."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        argv = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "tests.rows", f"--rows-to={file.name}", "tests"]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, list[str]] = json.loads(Path(file.name).read_text())
    return {name: frozenset(marks) for name, marks in found.items()}


def faults(rows: Iterable[Row], known: dict[str, frozenset[str]]) -> list[str]:
    """Rows without a test, or with one that does not exist or never runs."""
    found: list[str] = []
    for row in rows:
        found += [] if row.tests else [f"{row.what}: no test"]
        found += [f"{row.what}: {test} does not exist" for test in row.tests if f"tests/{test}" not in known]
        found += [f"{row.what}: {test} does not run" for test in row.tests if known.get(f"tests/{test}", frozenset()) & NEVER_RUN]
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    """The file to write to."""
    parser.addoption("--rows-to", default="")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write ids and marks."""
    target = session.config.getoption("--rows-to")
    found: dict[str, set[str]] = {}
    for item in session.items:
        found.setdefault(item.nodeid.partition("[")[0], set()).update(mark.name for mark in item.iter_markers())
    if target:
        Path(target).write_text(json.dumps({name: sorted(marks) for name, marks in found.items()}))
