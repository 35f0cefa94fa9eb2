"""What the agent counts and times, and its text for Prometheus (format 0.0.4). Pure: numbers in, bytes out.

Names are stable and listed in `docs/metrics.md`. No label is an address, a Pod or a container. Written by hand, since the
library for it costs 2.5 MiB on each node.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds. An ADD from memory takes a tenth of the first; one that waits for its allocation ends within the last."""
COMMANDS = ("ADD", "DEL", "CHECK", "GC", "STATUS")
OTHER = "other"

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of one name, counter or gauge, as they are now."""

    name: str
    kind: str
    text: str
    samples: Mapping[Labels, float]


class Times:
    """One histogram."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """One more observation; a value on a bound belongs to its bucket."""
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class Metrics:
    """The counters of one agent process."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.spooled = 0
        self._seconds = {command: Times() for command in COMMANDS}

    def called(self, command: str, outcome: str, seconds: float) -> None:
        """A CNI call has ended."""
        known = self._seconds.get(command)
        self.calls[command if known else OTHER, outcome] += 1
        if known:
            known.add(seconds)

    def request(self, verb: str, code: int, _seconds: float, _reason: str) -> None:
        """A request to the API server has ended."""
        self.requests[verb, code] += 1

    def text(self, now: Iterable[Family]) -> bytes:
        """Everything: what was counted, and what is so `now`."""
        calls: dict[Labels, float] = {
            (("command", command), ("outcome", outcome)): n for (command, outcome), n in self.calls.items()
        }
        requests: dict[Labels, float] = {(("verb", verb), ("code", str(code))): n for (verb, code), n in self.requests.items()}
        counted = [
            Family("netmgr_agent_calls_total", "counter", "CNI calls answered, by what came of them.", calls),
            Family("netmgr_agent_api_requests_total", "counter", "Requests to the API server, by HTTP status.", requests),
            Family("netmgr_agent_spooled_dels_total", "counter", "DELs that came while the agent was away.", {(): self.spooled}),
        ]
        lines = [line for one in (*counted, *now) for line in _lines(one)]
        return "\n".join([*lines, *self._histogram(), ""]).encode()

    def _histogram(self) -> Iterable[str]:
        name = "netmgr_agent_call_seconds"
        yield from _head(name, "histogram", "Seconds from a whole CNI call to its answer.")
        for command, times in self._seconds.items():
            so_far = 0
            for bound, number in zip((*BUCKETS, "+Inf"), times.buckets, strict=True):
                so_far += number
                yield f'{name}_bucket{{command="{command}",le="{bound}"}} {so_far}'
            yield f'{name}_sum{{command="{command}"}} {times.total:.9g}'
            yield f'{name}_count{{command="{command}"}} {so_far}'


def one(name: str, kind: str, text: str, value: float) -> Family:
    """A family of a single sample without labels."""
    return Family(name, kind, text, {(): value})


def _lines(family: Family) -> Iterable[str]:
    yield from _head(family.name, family.kind, family.text)
    for labels, value in sorted(family.samples.items()):
        inner = ",".join(f'{key}="{text}"' for key, text in labels)
        yield f"{family.name}{{{inner}}} {value:.15g}" if inner else f"{family.name} {value:.15g}"


def _head(name: str, kind: str, text: str) -> Iterable[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
