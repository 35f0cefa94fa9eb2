"""Measure netmgr; one table on the screen, the same as JSON in build/bench.json.

Figures are of one run on one machine: compare the ratios in one run, not absolutes of two.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import plugin, rollout

RESULT = Path(__file__).parents[2] / "build" / "bench.json"


def main() -> int:
    """Measure and report."""
    load = os.getloadavg()[0]
    figures = plugin.measure() | rollout.measure()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"milliseconds": figures, "loadBefore": load, "cpus": os.cpu_count()}, indent=2) + "\n")
    table = Table("what", "ms")
    for what, value in figures.items():
        table.add_row(what, f"{value:.2f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
