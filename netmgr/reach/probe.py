"""I/O: opens TCP connections and asks HTTP questions, at the vantage point.

`python -m netmgr.reach.probe` reads a question as JSON from its standard input and writes what it saw to its standard output, one
line for each address.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator

import aiohttp
import msgspec

from netmgr.reach.verdict import Sighting, seen_in

AT_ONCE = 64


class Question(msgspec.Struct, frozen=True):
    """What to ask. `path` empty: TCP only. `seconds` bounds each connection and each answer; `wait` repeats until then."""

    addresses: list[str]
    port: int = 80
    path: str = "/whoami"
    seconds: float = 3.0
    wait: float = 0.0


async def probe(question: Question) -> AsyncIterator[Sighting]:
    """What was seen at each address, as it is seen; an address that fails is asked again until `wait` seconds have passed."""
    deadline = time.monotonic() + question.wait
    limit = asyncio.Semaphore(AT_ONCE)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=question.seconds)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def persist(address: str) -> Sighting:
            while True:
                async with limit:
                    seen = await look(session, address, question)
                if seen.reached(http=bool(question.path)) or time.monotonic() >= deadline:
                    return seen
                await asyncio.sleep(0.2)

        for task in asyncio.as_completed([persist(address) for address in question.addresses]):
            yield await task


async def look(session: aiohttp.ClientSession, address: str, question: Question) -> Sighting:
    """One TCP connection and, if wanted, one HTTP request."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(question.seconds):
            _, writer = await asyncio.open_connection(address, question.port)
    except OSError as error:
        return Sighting(address=address, error=f"TCP: {os.strerror(error.errno) if error.errno else error}")
    except TimeoutError:
        return Sighting(address=address, error=f"TCP: no answer within {question.seconds:g} s")
    connected = milliseconds(began)
    own = str(writer.get_extra_info("sockname")[0])
    writer.close()
    if not question.path:
        return Sighting(address=address, connect_ms=connected, own=own)
    host = f"[{address}]" if ":" in address else address
    began = time.monotonic()
    try:
        async with session.get(f"http://{host}:{question.port}{question.path}", allow_redirects=False) as answer:
            seen = seen_in((await answer.content.read(256)).decode(errors="replace")) if answer.ok else ""
            return Sighting(
                address=address, connect_ms=connected, status=answer.status, answer_ms=milliseconds(began), own=own, seen=seen
            )
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        words = str(error) or f"no answer within {question.seconds:g} s"
        return Sighting(address=address, connect_ms=connected, own=own, error=f"HTTP: {words}")


def milliseconds(began: float) -> float:
    """Since then, rounded to microseconds."""
    return round((time.monotonic() - began) * 1000, 3)


async def main() -> None:
    """Answer the question on standard input."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    async for seen in probe(question):
        sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
