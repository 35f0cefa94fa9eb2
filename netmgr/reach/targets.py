"""Which addresses to ask: those that Pods hold, chosen by pool, application or Pod. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netmgr.api.allocation import IPAllocation


class NoTargetError(Exception):
    """Nothing was chosen; the message says what there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the user named; all empty: every address in use. `application` is `kind/name`, the kind in any case."""

    pool: str = ""
    application: str = ""
    pod: str = ""
    namespace: str = "default"

    def takes(self, one: IPAllocation) -> bool:
        """Whether an allocation was chosen."""
        spec = one.spec
        kind, _, name = self.application.partition("/")
        return (
            (not self.pool or spec.pool == self.pool)
            and (not self.pod or (spec.pod.namespace, spec.pod.name) == (self.namespace, self.pod))
            and (
                not self.application
                or (spec.claimant.kind.lower(), spec.claimant.namespace, spec.claimant.name) == (kind.lower(), self.namespace, name)
            )
        )

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}"
        parts = [f"pool {self.pool}"] if self.pool else []
        parts += [f"application {self.application}{where}"] if self.application else []
        parts += [f"Pod {self.pod}{where}"] if self.pod else []
        return " and ".join(parts) or "the whole cluster"


def chosen(allocations: Iterable[IPAllocation], choice: Choice) -> list[IPAllocation]:
    """The chosen allocations by address; NoTargetError where there are none: an empty check must not look like a good one."""
    everything = list(allocations)
    found = [one for one in everything if choice.takes(one)]
    if not found:
        pools = ", ".join(sorted({one.spec.pool for one in everything})[:10]) or "none"
        raise NoTargetError(f"{choice}: no address is in use; pools with addresses in use: {pools}")
    return sorted(found, key=lambda one: one.metadata.name)
