"""How many cases a property is tried with: few where somebody waits, many in `make nightly` (HYPOTHESIS_PROFILE=nightly)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture]


def fuzzed(few: int = 500, many: int = 10_000) -> settings:
    """Inputs that nobody should send."""
    return settings(max_examples=many if NIGHTLY else few, deadline=None, suppress_health_check=SLOW)


def lives(few: int, many: int, steps: int) -> settings:
    """Sequences of what happens to a cluster."""
    return settings(max_examples=many if NIGHTLY else few, stateful_step_count=steps, deadline=None, suppress_health_check=SLOW)
