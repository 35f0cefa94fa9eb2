"""Minutes of churn and kills leave nothing wrong and nothing behind. `make soak` runs it for 15 minutes; SEED repeats a run."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.soak import SPACE, Soak
from tests.e2e.test_kills import violations

MINUTES = float(os.environ.get("MINUTES", "2"))
pytestmark = [pytest.mark.lab, pytest.mark.timeout(MINUTES * 60 + 900)]


@pytest.fixture
def soak(cluster: Cluster) -> Iterator[Soak]:
    """A run in a namespace of its own; the seed is printed before anything happens."""
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"soak: SEED={seed} MINUTES={MINUTES:g}")
    cluster.kubectl("create", "namespace", SPACE)
    yield Soak(cluster, seed)
    cluster.kubectl("delete", "namespace", SPACE, "--wait")


def test_after_churn_kills_and_aborted_calls_everything_agrees_and_nothing_is_left(soak: Soak, cluster: Cluster) -> None:
    began = time.monotonic()
    soak.churn(MINUTES * 60)
    seconds = time.monotonic() - began
    to_settle = soak.settled(lambda: violations(cluster))
    soak.removed()
    figures = soak.figures(seconds, to_settle)
    print(json.dumps(figures))
    Path("build").mkdir(exist_ok=True)
    Path("build/soak.json").write_text(json.dumps(figures, indent=2))
    assert violations(cluster) == []
    assert soak.handed_out
