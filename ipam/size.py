"""How many addresses an auto pool needs."""

from __future__ import annotations

from ipam.annotations import IpNumber


def desired_size(number: IpNumber | None, replicas: int, surge: int = 1) -> int:
    """Addresses for `replicas` Pods; without a number, replicas + what a rollout may add at one time (at least 1)."""
    if number is None:
        return replicas + max(1, surge)
    return replicas + number.count if number.flexible else number.count


def surge_of(replicas: int, max_surge: str | int | None) -> int:
    """Pods that a rolling update may add: a number, or a percentage of the replicas rounded up (25 % by default)."""
    chosen = "25%" if max_surge is None else max_surge
    if isinstance(chosen, int):
        return chosen
    percent = int(chosen.rstrip("%")) if chosen.rstrip("%").isdigit() else 25
    return -(-replicas * percent // 100)
