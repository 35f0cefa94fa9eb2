"""Whatever the server does, the copy ends up equal to the server, and the events tell the same story."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netmgr.api.meta import PartialObject
from netmgr.kube.client import Api
from netmgr.kube.config import ApiAccess
from netmgr.kube.reflector import EventKind, Reflector
from tests.carriers import CARRIERS, Carrier
from tests.unit.netmgr.kube.hostile import PATH, Fault, HostileServer

Reported = list[tuple[EventKind, str, str]]
Step = tuple[str, str]

STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("abcdef")),
    st.tuples(st.just("delete"), st.sampled_from("abcdef")),
    st.tuples(st.just("fault"), st.sampled_from([fault.value for fault in Fault])),
    st.tuples(st.just("forget"), st.just("")),
    st.tuples(st.just("pause"), st.just("")),
)


@asynccontextmanager
async def reflecting(server: HostileServer, reported: Reported, transport: Carrier) -> AsyncIterator[Reflector[PartialObject]]:
    def note(kind: EventKind, item: PartialObject, old: PartialObject | None) -> None:
        reported.append((kind, item.metadata.name, (old or item).metadata.uid if kind is EventKind.DELETED else item.metadata.uid))

    async with Api(ApiAccess(server.url), timeout=2.0, transport=transport) as api:
        reflector = Reflector(api, PATH, PartialObject, on_event=note, page=2, silence=0.2, longest_pause=0.02)
        task = asyncio.create_task(reflector.run())
        try:
            yield reflector
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def told(reported: Reported) -> dict[str, str]:
    """The world as one knows it from the events alone; an event that does not fit what came before is an error."""
    world: dict[str, str] = {}
    for kind, name, uid in reported:
        expected = {EventKind.ADDED: None}.get(kind, uid)
        assert world.get(name) == expected, f"{kind} {name} {uid} after {world}"
        world[name] = uid
        if kind is EventKind.DELETED:
            del world[name]
    return world


async def play(
    steps: Sequence[Step], first_faults: Sequence[Fault], transport: Carrier
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The server's objects, the copy and what the events told, by name to UID, once all is quiet."""
    reported: Reported = []
    async with HostileServer() as server:
        await server.put("first")
        server.faults = list(first_faults)
        async with reflecting(server, reported, transport) as reflector:
            for what, name in steps:
                if what == "put":
                    await server.put(name)
                elif what == "delete":
                    await server.delete(name)
                elif what == "fault":
                    server.faults.append(Fault(name))
                elif what == "forget":
                    server.forget_history()
                else:
                    await asyncio.sleep(0.01)
            server.faults.clear()
            await server.put("last")
            await reflector.wait_at_least(str(server.version), timeout=10)
            theirs = {name: thing["metadata"]["uid"] for name, thing in server.objects.items()}
            ours = {item.metadata.name: item.metadata.uid for item in reflector.store.values()}
    return theirs, ours, told(reported)


@pytest.mark.parametrize("transport", CARRIERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=25), st.lists(st.sampled_from(list(Fault)), max_size=4))
def test_the_copy_and_the_events_end_up_equal_to_the_server(transport: Carrier, steps: list[Step], faults: list[Fault]) -> None:
    theirs, ours, reported = asyncio.run(play(steps, faults, transport))
    assert ours == theirs
    assert reported == theirs


@pytest.mark.parametrize("transport", CARRIERS)
def test_an_object_that_was_made_anew_while_nobody_watched_is_deleted_then_added(transport: Carrier) -> None:
    async def scene() -> Reported:
        reported: Reported = []
        async with HostileServer() as server:
            await server.put("a")
            async with reflecting(server, reported, transport) as reflector:
                await reflector.synced.wait()
                server.faults = [Fault.SILENT]
                server.forget_history()
                await server.put("wake")
                await reflector.wait_at_least(str(server.version))
                reported.clear()
                server.faults = [Fault.GONE]
                server.forget_history()
                await server.delete("a")
                await server.put("a")
                await reflector.wait_at_least(str(server.version))
        return reported

    events = asyncio.run(scene())
    assert [kind for kind, name, _ in events if name == "a"] == [EventKind.DELETED, EventKind.ADDED]


@pytest.mark.parametrize("transport", CARRIERS)
def test_an_expired_page_begins_the_list_anew_and_tells_nothing_twice(transport: Carrier) -> None:
    async def scene() -> Reported:
        reported: Reported = []
        async with HostileServer() as server:
            for name in "abcde":
                await server.put(name)
            server.faults = [Fault.NONE, Fault.EXPIRED_PAGE]
            async with reflecting(server, reported, transport) as reflector:
                await reflector.synced.wait()
        return reported

    assert sorted(name for _, name, _ in asyncio.run(scene())) == list("abcde")


@pytest.mark.parametrize("transport", CARRIERS)
def test_a_silent_watch_is_given_up(transport: Carrier) -> None:
    async def scene() -> int:
        reported: Reported = []
        async with HostileServer() as server:
            server.faults = [Fault.NONE, Fault.SILENT]
            async with reflecting(server, reported, transport) as reflector:
                await reflector.synced.wait()
                await server.put("a")
                await reflector.wait_at_least(str(server.version), timeout=3)
        return len(reported)

    assert asyncio.run(scene()) == 1
