"""The ways in which requests travel: one contract, each test of it runs with both."""

from __future__ import annotations

from collections.abc import Callable

from netmgr.kube.config import ApiAccess
from netmgr.kube.lean import LeanTransport
from netmgr.kube.pooled import PooledTransport
from netmgr.kube.transport import Transport

Carrier = Callable[[ApiAccess], Transport]
CARRIERS: tuple[Carrier, ...] = (PooledTransport, LeanTransport)
