"""Pools as selection sees them, made once and kept until they change: a claim must not cost as much as the cluster has pools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ipam.acceptance import Acceptance
from ipam.prefix import AddressFamily
from ipam.selection import PoolView
from netmgr.api.spider import SpiderIPPool
from netmgr.controller import codec

Free = Callable[[str], tuple[Acceptance | None, int]]
"""The verdict on a pool and its number of free addresses, by name."""


class PoolViews(Mapping[str, PoolView]):
    """By name. `put` and `forget` follow the watch; `expire` says that verdicts have changed."""

    def __init__(self, free: Free) -> None:
        self._free = free
        self._pools: dict[str, SpiderIPPool] = {}
        self._made: dict[str, PoolView] = {}
        self._defaults: dict[AddressFamily, set[str]] = {family: set() for family in AddressFamily}

    def put(self, pool: SpiderIPPool) -> None:
        """A pool is new or has changed."""
        name = pool.metadata.name
        self.forget(name)
        self._pools[name] = pool
        if pool.spec.default:
            self._defaults[codec.family_of(pool.spec.subnet)].add(name)

    def forget(self, name: str) -> None:
        """A pool is gone."""
        self._pools.pop(name, None)
        self._made.pop(name, None)
        for names in self._defaults.values():
            names.discard(name)

    def expire(self, name: str = "") -> None:
        """What is accepted of a pool has changed; without a name, of all."""
        if name:
            self._made.pop(name, None)
        else:
            self._made.clear()

    def defaults(self, family: AddressFamily) -> tuple[str, ...]:
        """Pools with `spec.default`, by name."""
        return tuple(sorted(self._defaults[family]))

    def __getitem__(self, name: str) -> PoolView:
        pool = self._pools[name]
        verdict, free = self._free(name)
        made = self._made.get(name)
        if made is None or made.free != free:
            made = replace(made, free=free) if made is not None else codec.pool_view(pool, verdict, free)
            self._made[name] = made
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._pools)

    def __len__(self) -> int:
        return len(self._pools)
