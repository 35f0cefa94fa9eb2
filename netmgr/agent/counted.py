"""Counts and times each CNI call, and logs it; what is answered is somebody else's."""

from __future__ import annotations

import asyncio
import logging
import time

from cni.config import Call
from cni.errors import CniError
from cni.protocol import Answer
from cni.server import Answerer
from netmgr.agent.metrics import Metrics

log = logging.getLogger(__name__)
TOLD = {"ADD", "DEL"}
"""Commands that come a few times in a Pod's life; the others are asked all the time, and logged only where they fail."""


class Counted:
    """An `Answerer` around another one."""

    def __init__(self, inner: Answerer, metrics: Metrics) -> None:
        self._inner, self._metrics = inner, metrics

    async def answer(self, call: Call) -> Answer:
        """See Answerer."""
        began, outcome = time.perf_counter(), "Failed"
        try:
            result = await self._inner.answer(call)
            outcome = "ok" if isinstance(result, bytes) else "handed_over"
        except CniError as error:
            outcome = type(error).__name__
            raise
        except asyncio.CancelledError:
            outcome = "hung_up"
            raise
        finally:
            seconds = time.perf_counter() - began
            self._metrics.called(call.command, outcome, seconds)
            if call.command in TOLD:  # after the answer is written: the runtime need not wait for a line of log
                asyncio.get_running_loop().call_soon(_tell, call, outcome, seconds)
        return result


def _tell(call: Call, outcome: str, seconds: float) -> None:
    log.info(
        "answered command=%s outcome=%s pod=%s/%s attachment=%s milliseconds=%.2f",
        call.command,
        outcome,
        call.pod_namespace,
        call.pod_name,
        call.key,
        seconds * 1000,
    )
