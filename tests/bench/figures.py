"""What a driver hands back: figures, each with the machine's own floor of the same run and the bound that it is held to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`value` in `unit`. `floor` is what the machine needs for the same without netmgr. `at_most` and `at_least` are bounds."""

    what: str
    value: float
    unit: str
    floor: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the bound is kept; empty where there is none."""
        if self.at_most is None and self.at_least is None:
            return ""
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return "kept" if low <= self.value <= high else "missed"

    @property
    def bound(self) -> str:
        """The bound, as written in the table."""
        if self.at_least is not None:
            return f">= {shown(self.at_least)}"
        return "" if self.at_most is None else f"<= {shown(self.at_most)}"

    def document(self) -> dict[str, Any]:
        """The figure as JSON."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "")} | {"verdict": self.verdict}


def shown(value: float) -> str:
    """Three digits that matter."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def quantile(values: Iterable[float], part: float) -> float:
    """The smallest value that at least `part` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * part) - 1)]


def table_of(results: dict[str, Sequence[Figure]]) -> Table:
    """One row per figure, in the order of the drivers."""
    table = Table("driver", "what", "figure", "unit", "floor", "bound", "verdict")
    for driver, figures in results.items():
        for number, one in enumerate(figures):
            floor = "" if one.floor is None else shown(one.floor)
            style = "red" if one.verdict == "missed" else ""
            row = (driver if number == 0 else "", one.what, shown(one.value), one.unit, floor, one.bound, one.verdict)
            table.add_row(*row, style=style)
    return table
