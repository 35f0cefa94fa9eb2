"""I/O: /metrics, /healthz and /readyz over HTTP, on loopback only: nothing of the node is opened to the network.

Two replicas on one node share its loopback: the second one takes the port when the first one ends, and works meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
AGAIN_SECONDS = 5.0

Problem = Callable[[], str]
"""Says in words what is wrong; empty: nothing is."""


@asynccontextmanager
async def serving(port: int, metrics: Callable[[], bytes], *, health: Problem, readiness: Problem) -> AsyncIterator[None]:
    """Answer while the body runs; port 0 answers nobody."""
    if not port:
        yield
        return
    runner = web.AppRunner(application(metrics, health, readiness), access_log=None)
    await runner.setup()
    opening = asyncio.create_task(listen(runner, port))
    try:
        yield
    finally:
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await runner.cleanup()


async def listen(runner: web.AppRunner, port: int) -> None:
    """Take the port, now or when whoever has it ends."""
    told = False
    while True:
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if not told:
                log.warning("port_in_use address=%s:%s next=it is tried again each %g s", LOOPBACK, port, AGAIN_SECONDS)
            told = True
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            log.info("answering address=%s:%s paths=/metrics,/healthz,/readyz", LOOPBACK, port)
            return


def application(metrics: Callable[[], bytes], health: Problem, readiness: Problem) -> web.Application:
    """The three pages."""

    async def answer_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": TEXT})

    def page(problem: Problem) -> Callable[[web.Request], object]:
        async def answer(_: web.Request) -> web.Response:
            words = problem()
            return web.Response(text=f"{words or 'ok'}\n", status=503 if words else 200)

        return answer

    made = web.Application()
    made.router.add_get("/metrics", answer_metrics)
    made.router.add_get("/healthz", page(health))  # type: ignore[arg-type] # an inner coroutine function
    made.router.add_get("/readyz", page(readiness))  # type: ignore[arg-type] # as above
    return made
