"""How many cases a property is tried with: few and the same where somebody waits, many each night (HYPOTHESIS_PROFILE=nightly)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture]


def fuzzed(few: int = 500, many: int = 10_000) -> settings:
    """Inputs that nobody should send."""
    examples = many if NIGHTLY else few
    return settings(max_examples=examples, derandomize=not NIGHTLY, deadline=None, suppress_health_check=SLOW)


def lives(few: int, many: int, steps: int) -> settings:
    """Sequences of what happens to a cluster."""
    return settings(fuzzed(few, many), stateful_step_count=steps)
